"""Windows of time that a limit counts over, each computed from an instant: nothing is ever reset by a job.

=========  ==========================================================================================
minute     a minute of UTC; no zone has been off it by seconds since 1972
hour       an hour of the wall clock in the zone; where the clock shifts by less than an hour, the shift
           ends one window and begins the next
day        from the first instant at which the zone's date is that day (or later) to that of the next:
           a day of 23, 24, 23.5 or 25 hours, and none at all for a date that the zone left out
week       from Monday; month: from the 1st; both from the first instant of that day
Nh, Nd     rolling, in whole hours of UTC: the hour that runs and the N (or 24 N) before it
total      all time
=========  ==========================================================================================
"""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

MINUTE_MS = 60_000
HOUR_MS = 3_600_000
_DAY_MS = 24 * HOUR_MS
_HOUR_S = 3600
CALENDAR = ("minute", "hour", "day", "week", "month")
TOTAL = "total"
_ORDER_MS = {
    "minute": MINUTE_MS,
    "hour": HOUR_MS,
    "day": _DAY_MS,
    "week": 7 * _DAY_MS,
    "month": 31 * _DAY_MS,
    TOTAL: 1 << 62,
}


class Window(NamedTuple):
    """One window: what happened in [start_ms, end_ms) counts, and this holds for instants up to until_ms.

    A calendar window has until_ms = end_ms. A rolling window counts on without end (end_ms None) but moves at
    until_ms. The total has neither; its start is the beginning of time, 0.
    """

    start_ms: int
    end_ms: int | None
    until_ms: int | None


@lru_cache(maxsize=256)
def rolling_hours(window: str) -> int | None:
    """Return the hours of a rolling window such as 30d or 12h; None for the others."""
    number, unit = window[:-1], window[-1:]
    if not number.isdecimal() or not number.isascii() or unit not in ("d", "h"):
        return None
    return int(number) * (24 if unit == "d" else 1) or None


def length_ms(window: str) -> int:
    """Return the greatest length, for comparing windows; raises ValueError for an unknown window."""
    hours = rolling_hours(window)
    if hours is not None:
        return hours * HOUR_MS
    if window not in _ORDER_MS:
        raise ValueError(f"{window!r} is not a window: minute, hour, day, week, month, total, 30d or 12h")
    return _ORDER_MS[window]


def window_at(window: str, zone: ZoneInfo, now_ms: int) -> Window:
    """Return the window that an instant lies in. Raises ValueError for an unknown window."""
    hours = rolling_hours(window)
    if hours is not None:
        hour_ms = now_ms - now_ms % HOUR_MS
        return Window(hour_ms - hours * HOUR_MS, None, hour_ms + HOUR_MS)
    if window == TOTAL:
        return Window(0, None, None)
    start_ms, end_ms = _calendar(window, zone, now_ms)
    return Window(start_ms, end_ms, end_ms)


def window_bounds(window: str, zone: ZoneInfo, now_ms: int) -> tuple[int, int | None]:
    """Return (start_ms, end_ms) of the window that an instant lies in; the end of `total` is None.

    A rolling window ends, for this purpose, where it next moves.
    """
    found = window_at(window, zone, now_ms)
    return found.start_ms, found.until_ms


def first_instant_ms(zone: ZoneInfo, day: date) -> int:
    """Return the first instant at which the zone's date is this day or a later one."""
    return _day_start_s(zone, day) * 1000


def _calendar(window: str, zone: ZoneInfo, now_ms: int) -> tuple[int, int]:
    if window == "minute":
        start_ms = now_ms - now_ms % MINUTE_MS
        return start_ms, start_ms + MINUTE_MS
    now_s = now_ms // 1000
    if window == "hour":
        start_s, end_s = _hour(zone, now_s)
    elif window in ("day", "week", "month"):
        today = _today(zone, now_s)
        first = _first_day(window, today)
        start_s, end_s = _day_start_s(zone, first), _day_start_s(zone, _next_first(window, first))
    else:
        raise ValueError(f"{window!r} is not a window: minute, hour, day, week, month, total, 30d or 12h")
    return start_s * 1000, end_s * 1000


def _first_day(window: str, today: date) -> date:
    if window == "day":
        return today
    if window == "week":
        return today - timedelta(days=today.weekday())
    return today.replace(day=1)


def _next_first(window: str, first: date) -> date:
    if window == "month":
        return (first + timedelta(days=31)).replace(day=1)
    return first + timedelta(days=7 if window == "week" else 1)


def _local(zone: ZoneInfo, at_s: int) -> datetime:
    return datetime.fromtimestamp(at_s, UTC).astimezone(zone)


def _offset_s(zone: ZoneInfo, at_s: int) -> int:
    offset = _local(zone, at_s).utcoffset()
    return 0 if offset is None else offset // timedelta(seconds=1)


def _today(zone: ZoneInfo, now_s: int) -> date:
    """Return the latest date that the zone has reached: a clock set back over midnight reopens no day."""
    today = _local(zone, now_s).date()
    tomorrow = today + timedelta(days=1)
    return tomorrow if _day_start_s(zone, tomorrow) <= now_s else today


@lru_cache(maxsize=4096)
def _day_start_s(zone: ZoneInfo, day: date) -> int:
    """Return the first instant at which the zone's date is this day or a later one."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=zone)
    first_s = int(midnight.timestamp())  # fold 0: of a midnight that comes twice, the first
    if _local(zone, first_s).replace(tzinfo=None) == midnight.replace(tzinfo=None):
        return first_s
    # The clock jumped over this midnight: with fold 1 the instant is read by the offset after the jump, which
    # lies before it. The jump is between the two.
    before_s = int(midnight.replace(fold=1).timestamp())
    return _first_true(before_s, first_s, lambda at_s: _local(zone, at_s).date() >= day)


def _hour(zone: ZoneInfo, now_s: int) -> tuple[int, int]:
    offset_s = _offset_s(zone, now_s)
    start_s = now_s - (now_s + offset_s) % _HOUR_S
    end_s = start_s + _HOUR_S
    if (_offset_s(zone, start_s) - offset_s) % _HOUR_S:
        start_s = _first_true(start_s, now_s, lambda at_s: not (_offset_s(zone, at_s) - offset_s) % _HOUR_S)
    if (_offset_s(zone, end_s - 1) - offset_s) % _HOUR_S:
        end_s = _first_true(now_s, end_s - 1, lambda at_s: bool((_offset_s(zone, at_s) - offset_s) % _HOUR_S))
    return start_s, end_s


def _first_true(low_s: int, high_s: int, holds: Callable[[int], bool]) -> int:
    """Return the first second after low_s, up to high_s, from which on a condition is true."""
    while high_s - low_s > 1:
        middle_s = (low_s + high_s) // 2
        if holds(middle_s):
            high_s = middle_s
        else:
            low_s = middle_s
    return high_s
