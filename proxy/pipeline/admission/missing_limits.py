"""What a valid configuration may leave open by mistake: users without a cost limit, and limits that cover nobody."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from proxy.config.overlay import Overlay
from proxy.config.schema import Limits, Settings
from proxy.pipeline.admission.allowance import build_allowance
from proxy.pipeline.identity.user_lookup import stored_allowance
from proxy.policy.nearest import nearest
from proxy.providers.kinds import dialect_of

_NAMED_MAX = 5


class MissingLimit(NamedTuple):
    """One thing that is missing, and what to do about it; kind is a word for the log."""

    kind: str
    text: str
    fix: str


def find_missing_limits(
    overlay: Overlay, users: Sequence[Mapping[str, Any]], tokens: Sequence[Mapping[str, Any]]
) -> tuple[MissingLimit, ...]:
    """Return what is missing. users and tokens are rows of storage/sqlite/users.py."""
    return (*_unlimited(overlay.settings, users), *_without_token(overlay.file, users, tokens))


def _unlimited(settings: Settings, users: Sequence[Mapping[str, Any]]) -> Iterator[MissingLimit]:
    if not settings.providers or _costs_nothing(settings):
        return
    if _has_general(settings.limits):
        return  # it holds for everyone
    allowances = {row["name"]: stored_allowance(settings, row) for row in users if row["name"] not in settings.users}
    for name, user in settings.users.items():
        allowances[name] = build_allowance(settings, name, user.group, user)
    free = sorted(name for name, allowance in allowances.items() if not allowance.has_hard_cost)
    fix = "Set defaults.limits, such as {cost: $5/day} for each user, or limits: {cost: $100/month} for all together."
    if len(free) == len(allowances):
        if free or not _has_general(settings.defaults.limits):
            text = "Nobody has a hard cost limit: one user may spend everything that the provider gives credit for."
            yield MissingLimit("limits.missing", text, fix)
    elif free:
        yield MissingLimit("limits.missing", f"No hard cost limit applies to {_listed(free)}.", fix)


def _has_general(limits: Limits) -> bool:
    """Return whether a hard limit on cost counts all models: one on some of them leaves the others open."""
    return any(limit.mode == "hard" and not limit.models for limit in limits.of("cost"))


def _costs_nothing(settings: Settings) -> bool:
    """Return whether every provider is one of the operator's own, without a price."""
    return all(
        not dialect_of(provider).lists_prices
        and provider.prices
        and all(price.input == price.output == price.request == 0 for price in provider.prices.values())
        for provider in settings.providers.values()
    )


def _without_token(
    settings: Settings, users: Sequence[Mapping[str, Any]], tokens: Sequence[Mapping[str, Any]]
) -> Iterator[MissingLimit]:
    owners = {token["user"] for token in tokens}
    others = [row["name"] for row in users if row["name"] not in settings.users]
    is_named = settings.end_users.jwt_secret is not None or any(
        token.trusted for user in settings.users.values() for token in user.all_tokens
    )
    if is_named or any(token["trusted"] for token in tokens):
        return  # end users need no token of their own
    for name, user in settings.users.items():
        if user.all_tokens or name in owners:
            continue
        hint = nearest(name, others)
        did_you = f' Did you mean "{hint}"?' if hint else ""
        yield MissingLimit(
            "user.without_token",
            f"users.{name} has no token, so nobody can call as {name} and its limits apply to nobody.{did_you}",
            f"Make one: tollkeeper tokens add {name}",
        )


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _NAMED_MAX
    return ", ".join(names[:_NAMED_MAX]) + (f" and {more} more" if more > 0 else "")
