"""Which days are compared with the bill, and when. Days are UTC's; the hour of the day is of the configured zone."""

from collections.abc import Collection, Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from msgspec import Struct

KEPT_DAYS: Final = 30  # how far back a provider tells of days
_HOUR_MS: Final = 3_600_000
_SETTLED_AFTER_MS: Final = 2 * _HOUR_MS  # after midnight, when the bill shows all that began before it


class DayState(Struct, frozen=True):
    """What is known of the comparison of a day. is_pending: something of it is still awaited."""

    compared_ms: int
    is_final: bool
    is_pending: bool


def days_between(first: date, last: date) -> list[date]:
    """Return the days from first to last, both included."""
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]


def day_of(ms: int) -> date:
    """Return the UTC day of an instant."""
    return datetime.fromtimestamp(ms / 1000, UTC).date()


def start_ms(day: date) -> int:
    """Return when a UTC day begins."""
    return int(datetime.combine(day, time(), UTC).timestamp()) * 1000


def last_daily_ms(now_ms: int, zone: ZoneInfo, at: time) -> int:
    """Return when the hour of the day came last. One that a change of the clocks skips comes when they have changed."""
    today = datetime.fromtimestamp(now_ms / 1000, zone).date()
    moments = (datetime.combine(today - timedelta(days=back), at, zone) for back in range(3))
    found = (int(moment.timestamp() * 1000) for moment in moments)
    return next(ms for ms in found if ms <= now_ms)


def is_hour_over(last_ms: int | None, now_ms: int) -> bool:
    """Return whether an hour has passed since a look; one that is ahead was made before the clock was set back."""
    return last_ms is None or not 0 <= now_ms - last_ms < _HOUR_MS


def hourly_days(now_ms: int, known: Mapping[date, DayState]) -> list[date]:
    """Return the days that are looked at each hour: those of which something is awaited, and today."""
    today = day_of(now_ms)
    awaited = [day for day in past_days(today) if day in known and known[day].is_pending]
    return [*awaited, today]


def daily_days(now_ms: int, zone: ZoneInfo, at: time, known: Mapping[date, DayState]) -> list[date]:
    """Return the days that the last daily look should have compared and has not: yesterday, and days that were missed.

    A day that is not final is looked at again once a day, as long as the provider tells of it.
    """
    due_ms = last_daily_ms(now_ms, zone, at)
    found = []
    for day in past_days(day_of(now_ms)):
        state = known.get(day)
        if start_ms(day + timedelta(days=1)) + _SETTLED_AFTER_MS > now_ms:
            continue
        if state is None or (not state.is_final and state.compared_ms < due_ms):
            found.append(day)
    return found


def changed_days(known: Mapping[str, int], told: Mapping[str, int], final: Collection[date]) -> list[date]:
    """Return the final days of which the provider tells another sum than it did, by day as text; oldest first."""
    return [day for day in sorted(final) if told.get(day.isoformat(), 0) != known.get(day.isoformat(), 0)]


def past_days(today: date) -> list[date]:
    """Return the days before today that a provider still tells of, the oldest first."""
    return days_between(today - timedelta(days=KEPT_DAYS), today - timedelta(days=1))
