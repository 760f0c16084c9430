"""The period that a page is about: ?period=24h, 7d, 30d, month, last-month, or a month such as 2026-11. Pure."""

import re
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from msgspec import Struct

from proxy.policy.period import read_moment, read_month

_MONTH = re.compile(r"[0-9]{4}-[0-9]{2}", re.ASCII)
USUAL: Final = "30d"
_HOUR_MS: Final = 3_600_000
CHOICES: Final = {
    "24h": "24 h",
    "7d": "7 d",
    "30d": "30 d",
    "month": "This month",
    "last-month": "Last month",
}
_TITLES: Final = {"24h": "last 24 hours", "7d": "last 7 days", "30d": "last 30 days"}


class Period(Struct, frozen=True):
    """From since_ms to before until_ms, milliseconds since 1970; title: in words; word: as it is in the address.

    before_ms: the start of the period of the same kind before this one, which ends at since_ms.
    """

    word: str
    title: str
    since_ms: int
    until_ms: int
    before_ms: int

    @property
    def since(self) -> str:
        """Return the start for the operator's API."""
        return _iso(self.since_ms)

    @property
    def until(self) -> str:
        """Return the end for the operator's API."""
        return _iso(self.until_ms)

    @property
    def before(self) -> str:
        """Return the start of the period before, for the operator's API."""
        return _iso(self.before_ms)


def read_period(word: str | None, zone: ZoneInfo, now_ms: int) -> Period:
    """Return the period that a word names; raises ValueError that says what may be written."""
    word = word or USUAL
    if word in _TITLES:
        since_ms = _first_hour(word, zone, now_ms)
        before_ms = since_ms - (now_ms - since_ms)
        if word != "24h":  # of days before days an hour more or less says nothing, and takes reading all its rows
            before_ms -= before_ms % _HOUR_MS
        return Period(word, _TITLES[word], since_ms, now_ms, before_ms)
    name = {"month": "this-month", "last-month": "last-month"}.get(word, word)
    if word not in CHOICES and not _MONTH.fullmatch(word):
        raise ValueError(f"{word[:40]!r} is not a period. Choose {', '.join(CHOICES)}, or a month such as 2026-11.")
    since_ms, until_ms = read_month(name, zone, now_ms)
    month = datetime.fromtimestamp(since_ms / 1000, zone)
    day_before = datetime.fromtimestamp(since_ms / 1000 - 1, zone)
    before_ms, _ = read_month(f"{day_before:%Y-%m}", zone, now_ms)
    return Period(word, f"{month:%B %Y}", since_ms, min(until_ms, max(now_ms, since_ms + 1)), before_ms)


def _first_hour(word: str, zone: ZoneInfo, now_ms: int) -> int:
    """Return where a span of hours or days begins: at a whole hour, or at midnight so that every day is whole."""
    since_ms = read_moment(word, zone, now_ms)
    if word == "24h":
        return since_ms - since_ms % _HOUR_MS + _HOUR_MS  # with the hour that runs: 24 in all
    first = datetime.fromtimestamp(since_ms / 1000, zone).date() + timedelta(days=1)  # today counts as one
    return round(datetime(first.year, first.month, first.day, tzinfo=zone).timestamp() * 1000)


def _iso(moment_ms: int) -> str:
    return datetime.fromtimestamp(moment_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
