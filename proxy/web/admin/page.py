"""Pages of a list: after which entry one begins, and how many entries it may have."""

import base64
import binascii
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import TypeVar

import orjson
from msgspec import Struct

from proxy.core.errors import CallerError

LIMIT_DEFAULT = 100
LIMIT_MAX = 1000
_CURSOR_MAX_CHARS = 2000
_PARTS_MAX = 8
Cursor = tuple[str | int, ...]  # what the last entry of a page is sorted by
T = TypeVar("T")


class PageRequest(Struct, frozen=True):
    """Up to limit entries, those behind after; None: from the first on."""

    limit: int = LIMIT_DEFAULT
    after: Cursor | None = None

    def of(self, entries: Sequence[T], key: Callable[[T], Cursor]) -> tuple[list[T], str | None]:
        """Return a page of a whole list, sorted by its key, which no two entries share, and the next page's cursor."""
        ordered = sorted(entries, key=key)
        if self.after is not None:
            try:
                ordered = [entry for entry in ordered if key(entry) > self.after]
            except TypeError:  # the cursor of another list
                raise invalid_cursor() from None
        return self._cut(ordered, key)

    def of_ordered(self, entries: Sequence[T], key: Callable[[T], Cursor]) -> tuple[list[T], str | None]:
        """Do the same for a list that is in the order of its key already: only what is shown is looked at."""
        if self.after is None:
            return self._cut(entries, key)
        try:
            first = bisect_right(entries, self.after, key=key)
        except TypeError:  # the cursor of another list
            raise invalid_cursor() from None
        return self._cut(entries[first : first + self.limit + 1], key)

    def of_sorted(
        self, entries: Sequence[T], key: Callable[[T], Cursor], *, is_down: bool
    ) -> tuple[list[T], str | None]:
        """Do the same for a list that is sorted by its key, from the greatest down if is_down."""
        after = self.after
        if after is None:
            return self._cut(entries, key)
        try:
            left = [entry for entry in entries if (key(entry) < after if is_down else key(entry) > after)]
        except TypeError:  # the cursor of another list, or of another order
            raise invalid_cursor() from None
        return self._cut(left, key)

    def _cut(self, entries: Sequence[T], key: Callable[[T], Cursor]) -> tuple[list[T], str | None]:
        page = [*entries[: self.limit]]
        return page, cursor_text(key(page[-1])) if len(entries) > self.limit else None


def cursor_text(after: Cursor) -> str:
    """Return a cursor as a client sees it: opaque, and safe in a URL."""
    return base64.urlsafe_b64encode(orjson.dumps(after)).decode().rstrip("=")


def read_page(cursor: str | None, limit: str | None) -> PageRequest:
    """Return the page that a query asks for; raises CallerError 400."""
    found = LIMIT_DEFAULT
    if limit is not None:
        is_number = limit.isascii() and limit.isdigit() and len(limit) < 10
        if not is_number or not 1 <= int(limit) <= LIMIT_MAX:
            raise CallerError(400, "invalid_query", f"limit: a number from 1 to {LIMIT_MAX} is needed.", param="limit")
        found = int(limit)
    return PageRequest(found, None if cursor is None else _read_cursor(cursor))


def _read_cursor(text: str) -> Cursor:
    if len(text) > _CURSOR_MAX_CHARS:
        raise invalid_cursor()
    try:
        raw = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
        parts = orjson.loads(raw)
    except (UnicodeEncodeError, binascii.Error, orjson.JSONDecodeError):
        raise invalid_cursor() from None
    if not isinstance(parts, list) or not 0 < len(parts) <= _PARTS_MAX or not all(type(p) in (str, int) for p in parts):
        raise invalid_cursor()
    return tuple(parts)


def invalid_cursor() -> CallerError:
    return CallerError(
        400,
        "invalid_query",
        "cursor: send next_cursor of the page before, of the same list, unchanged.",
        param="cursor",
    )
