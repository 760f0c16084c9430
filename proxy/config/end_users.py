"""Settings of the people behind a service: how it names them, and what each of them may use."""

from typing import Annotated

from proxy.config.block import setting
from proxy.config.check import FewestEntries, Reader, Rule
from proxy.config.diagnostic import SettingError
from proxy.config.user import Limits, UserLimits
from proxy.config.values import FilePath, HeaderName, SecretText, Text, UserName, Whole, as_list
from proxy.core.secret import Secret

_TRAVELLING = ("http-referer", "x-title", "x-session-id", "traceparent", "tracestate", "openai-beta")
_TRAVELLING_PREFIXES = ("x-openrouter-", "x-anthropic-", "anthropic-", "helicone-")
_TAKEN = ("x-api-key", "api-key", "cookie", "content-type", "idempotency-key", "x-tollkeeper-tags")
_SECRET_MIN_CHARS = 32  # RFC 7518, 3.2: a key for HS256 is not shorter than its hash


def _names_people(name: str) -> str:
    """Return the header's name; refuse one that is sent on to providers or has another meaning."""
    lower = name.lower()
    if lower in _TRAVELLING or lower.startswith(_TRAVELLING_PREFIXES):
        raise SettingError("is a header that is sent on to the provider, which must not learn names", show=False)
    if lower in _TAKEN:
        raise SettingError("is a header with a meaning of its own", show=False)
    return name


def _long_enough(secret: Secret) -> Secret:
    if len(secret.reveal()) < _SECRET_MIN_CHARS:
        raise SettingError(
            f"is shorter than the {_SECRET_MIN_CHARS} characters that HS256 requires",
            "Make one with: openssl rand -hex 32",
            show=False,
        )
    return secret


_Naming = Annotated[HeaderName, Rule(_names_people)]
_Listed = Reader(as_list)


class EndUsers(UserLimits):
    """People whom a trusted token or a signed JWT names; the rest of the block is what each of them may use."""

    user_header: Annotated[tuple[_Naming, ...], FewestEntries(1), _Listed] = setting(
        ("X-OpenWebUI-User-Email", "X-OpenWebUI-User-Id"),
        "Headers by which a trusted token names the end user; the first that holds a usable name counts.",
        "What Open WebUI sends: an address says more than an id.",
    )
    jwt_header: _Naming = setting(
        "X-OpenWebUI-User-Jwt", "The header with a signed JWT that names the end user.", "What Open WebUI sends."
    )
    jwt_secret: Annotated[SecretText, Rule(_long_enough)] | None = setting(
        None,
        "The secret (HS256) that signs it, 32 characters or more; then it is trusted with any token.",
        "None: the header is ignored.",
    )
    jwt_secret_file: FilePath | None = setting(None, "A file that holds it; in place of jwt_secret.", "None.")
    jwt_claim: Annotated[tuple[Text, ...], FewestEntries(1), _Listed] = setting(
        ("email", "sub"), "Claims of the JWT that name the user; the first usable one counts.", "As for the headers."
    )
    users_max: Whole = setting(
        1000,
        "How many end users may be created on first sight; any more are refused.",
        "A service that invents names cannot fill the disk.",
        ge=1,
        le=1_000_000,
    )
    group: UserName | None = setting(None, "The group whose limits apply to them too.", "None.")
    limits: Limits = setting(Limits, "What each of them may use.", "Those of defaults.")
