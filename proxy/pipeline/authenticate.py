"""authenticate: token -> identity. There is no default identity: this returns one or raises."""

import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from proxy.core.errors import CallerError
from proxy.core.token import PREFIX, is_well_formed
from proxy.pipeline.allowance import Allowance
from proxy.providers.key import Key

_OPENROUTER_PREFIX = "sk-or-"
_TOKEN_CHARS_MAX = 512  # longer ones are nobody's token; hashing a megabyte would be work for free


@dataclass(frozen=True, slots=True)
class Identity:
    """Who asks, by which token, and what that user may use; own_keys are keys of the user's own, by provider."""

    user: str
    group: str | None
    token_id: str
    allowance: Allowance
    own_keys: Mapping[str, Key] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TokenRow:
    """One token of the directory; hash is the SHA-256 in hex."""

    hash: str
    identity: Identity
    expires_ms: int | None
    disabled: bool
    user_disabled: bool


class Directory:
    """Every token that may come in, by its hash."""

    def __init__(self, rows: Iterable[TokenRow]) -> None:
        self._rows: Mapping[str, TokenRow] = {row.hash: row for row in rows}

    def __len__(self) -> int:
        return len(self._rows)

    def find(self, hash_: str) -> TokenRow | None:
        row = self._rows.get(hash_)
        return row if row is not None and hmac.compare_digest(row.hash, hash_) else None


class Headers(Protocol):
    """What is needed of a multi-dict of headers."""

    def getall(self, key: str, default: list[str]) -> list[str]: ...


class Said(Protocol):
    """Headers, and the hash of the token that they hold."""

    @property
    def headers(self) -> Headers: ...

    @property
    def token_hash(self) -> str: ...


def authenticate(said: Said, directory: Directory, now_ms: int) -> Identity:
    """Find who asks; raises CallerError 401 or 403 that says what is wrong with the token."""
    row = directory.find(said.token_hash)
    if row is None:
        raise _unknown(credential(said.headers))
    if row.disabled or row.user_disabled:
        what = f"User {row.identity.user!r}" if row.user_disabled else f"This token of user {row.identity.user!r}"
        raise _refused(403, "token_disabled", f"{what} is disabled. Ask the operator.")
    if row.expires_ms is not None and now_ms >= row.expires_ms:
        raise _refused(
            401,
            "token_expired",
            f"This token of user {row.identity.user!r} has expired. Ask the operator for a new one.",
        )
    return row.identity


def credential(headers: Headers) -> str:
    """Take the one token out of Authorization, x-api-key or api-key; several that differ are refused."""
    found = {_bearer(value) for value in headers.getall("Authorization", [])}
    found.update(headers.getall("x-api-key", []))
    found.update(headers.getall("api-key", []))
    if len(found) > 1:
        raise _refused(401, "invalid_api_key", "Several different tokens came in one request. Send one.")
    token = found.pop().strip() if found else ""
    if not token:
        raise _refused(401, "invalid_api_key", 'No token came with the request. Send "Authorization: Bearer tk-...".')
    return token


def _bearer(value: str) -> str:
    scheme, _, token = value.strip().partition(" ")
    if scheme.lower() != "bearer":
        raise _refused(401, "invalid_api_key", 'The Authorization header must read "Bearer tk-...".')
    return token.strip()


def _unknown(token: str) -> CallerError:
    if token.startswith(_OPENROUTER_PREFIX):
        return _refused(
            401,
            "invalid_api_key",
            "You sent an OpenRouter key. Use the token that tollkeeper printed (tk-...).",
        )
    if not token.startswith(PREFIX):
        return _refused(401, "invalid_api_key", "That is no token of this proxy: its tokens begin with tk-.")
    if len(token) > _TOKEN_CHARS_MAX or not is_well_formed(token):
        return _refused(
            401,
            "invalid_api_key",
            "The token has a typing mistake or was cut off: its checksum does not hold.",
        )
    return _refused(
        401,
        "invalid_api_key",
        f"Token {token[:7]}... is not known. Make one with: tollkeeper tokens add NAME",
    )


def _refused(status: int, code: str, text: str) -> CallerError:
    type_ = "invalid_request_error" if status == 401 else "permission_error"
    return CallerError(status, code, text, type_=type_)
