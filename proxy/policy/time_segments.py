"""Time cut into the hours, days, weeks and months of a zone, each with the label that reports show it under."""

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from proxy.policy.quota.window import window_bounds

TIME_WORDS: Final = ("hour", "day", "week", "month")
_HOUR: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d[+-]\d\d:\d\d(:\d\d)?", re.ASCII)


class TimeSegment(NamedTuple):
    """What lies in [start_ms, end_ms); a label for each word, such as 2026-11-03 or 2026-W45."""

    labels: tuple[str, ...]
    start_ms: int
    end_ms: int


def time_segments(start_ms: int, end_ms: int, zone: ZoneInfo, words: Sequence[str]) -> Iterator[TimeSegment]:
    """Yield [start_ms, end_ms) in pieces that lie in one window of each word; without words it is one piece.

    words are of TIME_WORDS.
    """
    if not words and start_ms < end_ms:
        yield TimeSegment((), start_ms, end_ms)
        return
    while start_ms < end_ms:
        windows = [_window(word, zone, start_ms) for word in words]
        next_ms = min(end_ms, *(window_end_ms for _, window_end_ms in windows))
        labels = tuple(time_label(word, zone, *window) for word, window in zip(words, windows, strict=True))
        yield TimeSegment(labels, start_ms, next_ms)
        start_ms = next_ms


def time_label(word: str, zone: ZoneInfo, start_ms: int, end_ms: int) -> str:
    """Return the name of a window; that of an hour has its offset, for an hour may come twice in a day.

    A date is read in the middle: where clocks change at midnight, a day's first instant may lie in the day before.
    """
    if word == "hour":
        return datetime.fromtimestamp(start_ms / 1000, zone).isoformat(timespec="minutes")
    middle = datetime.fromtimestamp((start_ms + end_ms) / 2000, zone).date()
    if word == "week":
        year, week, _ = middle.isocalendar()
        return f"{year}-W{week:02}"
    return middle.isoformat() if word == "day" else f"{middle:%Y-%m}"


@lru_cache(maxsize=10_000)
def label_order(text: str) -> str:
    """Return what sorts labels, as texts, in the order of time: of an hour when it begins in UTC, else the text itself.

    Where clocks go back, 02:00+01:00 comes after 02:00+02:00.
    """
    if _HOUR.fullmatch(text) is None:
        return text
    try:
        return datetime.fromisoformat(text).astimezone(UTC).isoformat(timespec="seconds")
    except (ValueError, OverflowError):  # a name of somebody's that looks like an hour
        return text


def _window(word: str, zone: ZoneInfo, at_ms: int) -> tuple[int, int]:
    first_ms, next_ms = window_bounds(word, zone, at_ms)
    assert next_ms is not None  # calendar windows end
    return first_ms, next_ms
