"""One-time codes: what the command line hands to a browser, so that the person at it need not type a token.

They live in memory alone, as digests: a minute each, and for one login.
"""

import secrets
from collections import OrderedDict
from typing import Final, NamedTuple

from proxy.core.user_token import token_hash

LIFE_MS: Final = 60_000
CODES_MAX: Final = 100


class _Waiting(NamedTuple):
    """Whom a code lets in, and until when (ms since 1970)."""

    name: str
    until_ms: int


class LoginCodes:
    """The codes that were made and not used yet."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[str, _Waiting] = OrderedDict()  # by digest

    def make(self, name: str, now_ms: int) -> tuple[str, int]:
        """Return a code that lets somebody of this name in once, as an admin, and the moment of its end."""
        code, until_ms = secrets.token_urlsafe(32), now_ms + LIFE_MS
        self._waiting[token_hash(code)] = _Waiting(name, until_ms)
        while len(self._waiting) > CODES_MAX:
            self._waiting.popitem(last=False)
        return code, until_ms

    def use(self, code: str, now_ms: int) -> str | None:
        """Return whom a code lets in, and forget it; None for one that is unknown, used or too old."""
        found = self._waiting.pop(token_hash(code), None)
        return None if found is None or now_ms >= found.until_ms else found.name
