"""authenticate: token -> identity. There is no default identity: this returns one or raises."""

import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from proxy.core.errors import CallerError
from proxy.core.user_token import PREFIX, is_well_formed, token_hash
from proxy.pipeline.admission.allowance import Allowance
from proxy.pipeline.identity.end_users import HeaderLookup, UserNaming
from proxy.pipeline.identity.user_lookup import UserLookup
from proxy.providers.key import Key

_OPENROUTER_PREFIX = "sk-or-"
_KEY_HEADERS = ("x-api-key", "api-key", "x-goog-api-key")  # Anthropic's, Azure's and Google's programs
_TOKEN_CHARS_MAX = 512  # longer ones are nobody's token; hashing a megabyte would be work for free


@dataclass(frozen=True, slots=True)
class Identity:
    """Who asks, by which token, and what that user may use; own_keys are keys of the user's own, by provider.

    is_new: an end user whom the token named for the first time; enrol() makes them before anything is booked.
    """

    user: str
    group: str | None
    token_id: str
    allowance: Allowance
    own_keys: Mapping[str, Key] = field(default_factory=dict)
    is_new: bool = False


@dataclass(frozen=True, slots=True)
class TokenRow:
    """One token of the directory; hash is the SHA-256 in hex. trusted: it speaks for others by plain headers."""

    hash: str
    identity: Identity
    expires_ms: int | None
    disabled: bool
    user_disabled: bool
    trusted: bool = False


class Directory:
    """Every token that may come in, by its hash, and the people whom some of them may name."""

    def __init__(
        self, rows: Iterable[TokenRow], people: UserLookup | None = None, naming: UserNaming | None = None
    ) -> None:
        self._rows: Mapping[str, TokenRow] = {row.hash: row for row in rows}
        self._people = people
        self._naming = naming
        self.takes_jwt = naming is not None and naming.takes_jwt

    def __len__(self) -> int:
        return len(self._rows)

    def find(self, hash_: str) -> TokenRow | None:
        row = self._rows.get(hash_)
        return row if row is not None and hmac.compare_digest(row.hash, hash_) else None

    def end_user(self, headers: HeaderLookup, row: TokenRow, now_ms: int) -> Identity:
        """Give the one whom the token names, or its owner where it names nobody; raises CallerError."""
        if self._people is None or self._naming is None:
            return row.identity
        name = self._naming.name(headers, now_ms, trusted=row.trusted)
        if name is None:
            return row.identity
        person = self._people.find(name)
        if person.disabled:
            raise _refused(403, "token_disabled", f"User {name!r} is disabled. Ask the operator.")
        if person.expires_ms is not None and now_ms >= person.expires_ms:
            raise _refused(401, "token_expired", f"The time of user {name!r} is over. Ask the operator.")
        token_id = row.identity.token_id
        return Identity(name, person.group, token_id, person.allowance, person.own_keys, person.is_new)

    def add_person(self, row: Mapping[str, Any]) -> None:
        """Note an end user who has just been made; row is that of storage/sqlite/users.py."""
        if self._people is not None:
            self._people.add(row)


class CredentialHeaders(Protocol):
    """Headers, and the hash of the token that they hold; None: not read yet."""

    @property
    def headers(self) -> HeaderLookup: ...

    token_hash: str | None


def authenticate(said: CredentialHeaders, directory: Directory, now_ms: int) -> Identity:
    """Find who asks; raises CallerError 401 or 403 that says what is wrong with the token."""
    row = directory.find(said.token_hash or hash_of_token(said))
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
    if row.trusted or directory.takes_jwt:
        return directory.end_user(said.headers, row, now_ms)
    return row.identity


class HeaderSource(Protocol):
    """What sent the headers."""

    @property
    def said(self) -> CredentialHeaders: ...


class IdentifiedRequest(Protocol):
    """What is read and noted of a call (context.py)."""

    started_ms: int
    user: str | None

    @property
    def client(self) -> HeaderSource: ...


def identify(call: IdentifiedRequest, directory: Directory) -> Identity:
    """Return who asks, noted for the log; raises CallerError."""
    identity = authenticate(call.client.said, directory, call.started_ms)
    call.user = identity.user
    return identity


def hash_of_token(said: CredentialHeaders) -> str:
    """Give the hash of the one token, worked out once; raises CallerError where there is none, or more than one."""
    if said.token_hash is None:
        said.token_hash = token_hash(credential(said.headers))
    return said.token_hash


def credential(headers: HeaderLookup) -> str:
    """Take the one token out of Authorization or the headers beside it; several that differ are refused."""
    found = {_bearer(value) for value in headers.getall("Authorization", [])}
    for name in _KEY_HEADERS:
        found.update(value.strip() for value in headers.getall(name, []))
    if len(found) > 1:  # a program that has keys of several services may send more than one of them
        found = {token for token in found if token.startswith(PREFIX)} or found
    if len(found) > 1:
        raise _refused(401, "invalid_api_key", "Several different tokens came in one request. Send one.")
    token = found.pop() if found else ""
    if not token:
        raise _refused(401, "invalid_api_key", 'No token came with the request. Send "Authorization: Bearer tk-...".')
    return token


def _bearer(value: str) -> str:
    """Return the token of an Authorization header; the word before it may be missing, or be there twice."""
    scheme, _, token = value.strip().partition(" ")
    while scheme.lower() == "bearer" and token.lower().startswith("bearer "):
        token = token[len("bearer ") :]
    if scheme.startswith(PREFIX) and not token:
        return scheme
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
