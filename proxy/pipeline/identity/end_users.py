"""end_users: who stands behind a token that speaks for others.

Fails closed: a header that any client could have written counts from a trusted token only; a JWT counts from every
token, because its signature says who wrote it. A name without proof is refused, never booked as the token's owner.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from msgspec import Struct, field

from proxy.config.schema import EndUsers
from proxy.config.values import NAME
from proxy.core.errors import CallerError
from proxy.pipeline.values.allowance import Allowance
from proxy.providers.key import Key
from proxy.wire.user_jwt import UserJwtError, UserJwtReader


class HeaderLookup(Protocol):
    """The part of a multi-dict of headers that this needs."""

    def getall(self, key: str, default: list[str]) -> list[str]: ...


class NamedUser(Struct, frozen=True):
    """An end user and what they may use. is_new: never seen before, and without a row yet."""

    group: str | None
    allowance: Allowance
    own_keys: Mapping[str, Key] = field(default_factory=dict)
    expires_ms: int | None = None
    disabled: bool = False
    is_new: bool = False


class UserNaming:
    """How a service names its end users: headers, and the JWT if a secret is configured."""

    def __init__(self, settings: EndUsers) -> None:
        self._headers = settings.user_header
        self._jwt_header = settings.jwt_header
        self._claims = settings.jwt_claim
        secret = settings.jwt_secret
        self._reader = None if secret is None else UserJwtReader(secret.reveal())

    @property
    def takes_jwt(self) -> bool:
        return self._reader is not None

    def name(self, headers: HeaderLookup, now_ms: int, *, trusted: bool) -> str | None:
        """Return the end user's name, or None if nobody is named.

        Raises CallerError 401 for an invalid JWT, 400 for an impossible name.
        """
        if self._reader is not None and (given := headers.getall(self._jwt_header, [])):
            return self._signed(given, self._reader, now_ms)
        return self._written(headers) if trusted else None

    def _signed(self, given: Sequence[str], reader: UserJwtReader, now_ms: int) -> str:
        if len(set(given)) > 1:
            raise _not_believed(f"The request has several different {self._jwt_header} headers. Send one.")
        try:
            claims = reader.claims(given[0].strip(), now_ms / 1000)
        except UserJwtError as error:
            problem = str(error)
        else:
            name = _usable(claims.get(claim) for claim in self._claims)
            if name is not None:
                return name
            problem = f"holds no usable name in {_listed(self._claims)}: {_RULE}"
        raise _not_believed(f"The JWT in {self._jwt_header} {problem}.")

    def _written(self, headers: HeaderLookup) -> str | None:
        found: list[str] = []
        for header in self._headers:
            values = {value.strip() for value in headers.getall(header, [])} - {""}
            if len(values) > 1:
                raise _no_name(f"The request has several different {header} headers. Send one.")
            found += values
        if not found:
            return None
        name = _usable(found)
        if name is None:
            raise _no_name(f"None of {_listed(self._headers)} holds a usable name: {_RULE}.")
        return name


_RULE = "1 to 64 letters, digits, and . _ @ + - only"


def _usable(values: Any) -> str | None:
    return next((value for value in values if isinstance(value, str) and NAME.fullmatch(value)), None)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)


def _not_believed(text: str) -> CallerError:
    return CallerError(401, "invalid_user_jwt", f"{text} Your token is fine.")


def _no_name(text: str) -> CallerError:
    return CallerError(400, "invalid_end_user", text)
