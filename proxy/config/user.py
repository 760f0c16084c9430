"""Settings of users: limits, and what users, groups and everyone may use."""

from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

from proxy.config.block import Block, check_block, required, setting
from proxy.config.check import EditorSchema, FewestEntries, Reader, Rule
from proxy.config.diagnostic import SettingError
from proxy.config.limit import MODES, Limit, parse_limit
from proxy.config.limit_entries import limits_by_kind
from proxy.config.on_spent import FORMS as ON_SPENT_FORMS
from proxy.config.preferences import PreferenceSettings
from proxy.config.values import Flag, Moment, ProviderName, SecretText, Text, TokenHash, UserName, Whole, as_list
from proxy.core.limit_kinds import KINDS, NAMES

_TERMS: dict[str, Any] = {
    "models": {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]},
    "on_spent": ON_SPENT_FORMS,
}
_LIMIT_FORMS: dict[str, Any] = {
    "anyOf": [
        {"type": ["string", "number"]},
        {
            "type": "object",
            "additionalProperties": False,
            "required": ["amount"],
            "properties": {
                "amount": {"type": ["string", "number"]},
                "window": {"type": "string"},
                "mode": {"enum": list(MODES)},
                **_TERMS,
            },
        },
    ]
}
_ONE_OR_MORE_FORMS: dict[str, Any] = {"anyOf": [*_LIMIT_FORMS["anyOf"], {"type": "array", "items": _LIMIT_FORMS}]}
_ONE_OR_MORE = EditorSchema(_ONE_OR_MORE_FORMS)


def _no_twins(limits: tuple[Limit, ...]) -> tuple[Limit, ...]:
    seen = set()
    for limit in limits:
        if limit.place in seen:
            models = f" for {', '.join(limit.models)}" if limit.models else ""
            raise SettingError(
                f"has two limits over {limit.window or 'open requests'}{models}", "Keep the lower one.", show=False
            )
        seen.add(limit.place)
    return limits


_LISTED = (Reader(as_list), Rule(_no_twins), _ONE_OR_MORE)


def _one(kind: str) -> Reader:
    return Reader(partial(parse_limit, kind))


CostLimits = Annotated[tuple[Annotated[Limit, _one("cost")], ...], *_LISTED]
RequestLimits = Annotated[tuple[Annotated[Limit, _one("requests")], ...], *_LISTED]


class LimitsBlock(Block):
    """What may be used; each is one limit or a list, and all of them hold. A list of entries is another form of it."""

    @check_block(mode="before")
    @classmethod
    def _entries(cls, data: object) -> object:
        return limits_by_kind(data, tuple(cls.fields)) if isinstance(data, list | tuple) else data

    def of(self, kind: str) -> tuple[Limit, ...]:
        """Return the limits of one kind."""
        found: tuple[Limit, ...] = getattr(self, kind, ())
        return found

    @property
    def all(self) -> tuple[Limit, ...]:
        return tuple(limit for kind in NAMES for limit in self.of(kind))


if TYPE_CHECKING:
    Limits = LimitsBlock
else:
    Limits = type(
        "Limits",
        (LimitsBlock,),
        {
            "__module__": __name__,
            "__doc__": LimitsBlock.__doc__,
            "__annotations__": {
                kind.name: Annotated[tuple[Annotated[Limit, _one(kind.name)], ...], *_LISTED] for kind in KINDS
            },
            **{kind.name: setting((), kind.help, "No limit.") for kind in KINDS},
        },
    )


class UserLimits(PreferenceSettings):
    """What is the same for everyone, a group and a user."""

    limits: Limits = setting(Limits, "What each of them may use.", "No limit.")
    models: Annotated[tuple[Text, ...], FewestEntries(1), Reader(as_list)] | None = setting(
        None, "Models and presets that may be asked for; * stands for any text.", "All."
    )
    max_tokens: Whole | None = setting(
        None,
        "Largest max_tokens of one request; more is lowered to it.",
        "The model's own maximum.",
        ge=1,
        le=10**9,
    )
    preferences: Flag | None = setting(
        None,
        "Let each of them set default_model, parameters and the like for themselves: /v1/me/preferences.",
        "No: what a request does is what its client and the operator say.",
    )


class Defaults(UserLimits):
    """For each user who has no value of their own and whose group has none."""


class Group(UserLimits):
    limits: Limits = setting(Limits, "What the members may use together.", "No limit.")
    parent: UserName | None = setting(
        None,
        "The group that this one is part of: its limits, and those of all groups above it, count the members here too.",
        "None.",
    )


class Token(Block):
    """One of several tokens of a user."""

    hash: TokenHash = required("sha256: and the 64 hex digits of the token's SHA-256; kept as the digits alone.")
    name: UserName | None = setting(
        None, "What the token is called in lists and in the ledger.", "The first digits of the hash."
    )
    expires_at: Moment | None = setting(None, "When the token expires, like 2027-01-31T00:00:00Z.", "Never.")
    disabled: Flag = setting(False, "Refuse it.", "Tokens do not expire by default.")
    trusted: Flag = setting(
        False,
        "Let the token name end users by the headers of end_users.user_header; each has limits of their own.",
        "Anybody can write such a header.",
    )

    @property
    def label(self) -> str:
        return self.name or self.hash[:8]


class User(UserLimits):
    token_hash: TokenHash | None = setting(
        None,
        "sha256: and the 64 hex digits of the SHA-256 of the user's only token.",
        "The token itself is never stored.",
    )
    token_hashes: tuple[TokenHash, ...] = setting((), "The same for several tokens.", "One is the usual case.")
    tokens: tuple[Token, ...] = setting(
        (), "The same, each with a name, an expiry or a switch.", "One is the usual case."
    )
    group: UserName | None = setting(None, "The group whose limits apply to this user too.", "None.")
    provider_keys: dict[ProviderName, SecretText] = setting(
        {},
        "Keys of the user's own, by provider, best as ${VAR}; they are used instead of the provider's.",
        "The provider's keys. Limits apply all the same.",
    )
    disabled: Flag = setting(False, "Refuse all requests of this user.", "Users are enabled by default.")
    expires_at: Moment | None = setting(None, "When the user is locked out, like 2027-01-31T00:00:00Z.", "Never.")

    @property
    def all_tokens(self) -> tuple[Token, ...]:
        """Return every token of the user, ``token`` and ``tokens`` alike."""
        plain = (self.token_hash, *self.token_hashes) if self.token_hash else self.token_hashes
        return (*(Token.unchecked(hash=digits) for digits in plain), *self.tokens)


def _entries_schema(kinds: tuple[str, ...], terms: dict[str, Any]) -> dict[str, Any]:
    """Return the JSON Schema of limits as a list of entries."""
    return {
        "type": "array",
        "items": {
            "type": "object",
            "additionalProperties": False,
            "properties": {**dict.fromkeys(kinds, _ONE_OR_MORE_FORMS), **terms},
            "anyOf": [{"required": [kind]} for kind in kinds],
        },
    }


LIMIT_ENTRIES = _entries_schema(NAMES, {"mode": {"enum": list(MODES)}, **_TERMS})
KEY_LIMIT_ENTRIES = _entries_schema(("cost", "requests"), {"mode": {"enum": list(MODES)}})
