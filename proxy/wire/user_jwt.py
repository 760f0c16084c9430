"""A signed JWT that names an end user, as Open WebUI sends it: HS256 and nothing else, with an end (RFC 7519, 7515)."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jwt.types import Options

_ALGORITHMS = ["HS256"]  # pinned: a token must not choose how it is checked
_CHECKED: "Options" = {  # only the signature: the time is handed in, and no other claim concerns us
    "verify_signature": True,
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
    "verify_aud": False,
    "verify_iss": False,
    "verify_sub": False,
    "verify_jti": False,
}


class UserJwtError(ValueError):
    """Why a JWT is not accepted; the text quotes nothing of it."""


class UserJwtReader:
    """Checks signature and time with one secret."""

    def __init__(self, secret: str) -> None:
        import jwt  # noqa: PLC0415 - 0.1 s and 15 MB, which only those pay who configure a secret

        self._jwt = jwt
        self._secret = secret

    def claims(self, text: str, now_s: float) -> Mapping[str, Any]:
        """Return the claims of a JWT that is valid at now_s; raises UserJwtError."""
        claims = self._verified(text)
        ends_s = _moment_s(claims.get("exp"))
        if ends_s is None:
            raise UserJwtError("has no exp, the time at which it expires")
        if now_s >= ends_s:
            raise UserJwtError("has expired")
        begins_s = _moment_s(claims.get("nbf", 0))
        if begins_s is None or now_s < begins_s:
            raise UserJwtError("is not valid yet (nbf)")
        return claims

    def _verified(self, text: str) -> Mapping[str, Any]:
        errors = self._jwt.exceptions
        try:
            found: Mapping[str, Any] = self._jwt.decode(text, self._secret, algorithms=_ALGORITHMS, options=_CHECKED)
        except errors.InvalidSignatureError:
            problem = "is signed with another secret than end_users.jwt_secret"
        except errors.InvalidAlgorithmError:
            problem = "is not signed with HS256"
        except (errors.PyJWTError, ValueError, RecursionError):  # RecursionError: a head of brackets
            problem = "is not a JWT"
        else:
            return found
        raise UserJwtError(problem)  # outside the except block, whose error would hold the token


def _moment_s(value: object) -> int | float | None:
    """Return a time as JSON's number has it; an int may be larger than any float."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if isinstance(value, int) or math.isfinite(value) else None
