"""What a window of time comes to at its end, from what it has come to so far. Amounts are integers of any unit.

It goes on as it began: what is used, times what the whole window weighs, over what has passed of it. A day weighs what
its weekday weighed in the weeks before, so that a month that began with a weekend foretells no thrift. In the first
tenth of a window, where a single request would foretell a fortune, it goes on as the time before it instead.
"""

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from msgspec import Struct

from proxy.policy.quota.window import window_bounds

FORECAST_FROM: Final = 10  # percent of a window
WEEKS: Final = 8  # that weekdays are weighed by
_WEEKS_MIN = 2  # with fewer each day weighs the same
_DAYS = 7


class Weekdays(Struct, frozen=True):
    """What a millisecond of each weekday weighs, from Monday on; all above 0."""

    weights: tuple[int, ...]

    @classmethod
    def of_days(cls, amounts: Mapping[date, int], until: date) -> "Weekdays":
        """Weigh weekdays by the whole weeks before until that anything is known of, up to WEEKS.

        One week in which every day is alike is added, so that no day weighs nothing.
        """
        known = [day for day in amounts if day < until]
        weeks = min((until - min(known)).days // _DAYS, WEEKS) if known else 0
        span = [until - timedelta(days=n) for n in range(1, weeks * _DAYS + 1)]
        total = sum(max(amounts.get(day, 0), 0) for day in span)
        if weeks < _WEEKS_MIN or not total:
            return EVEN
        sums = [0] * _DAYS
        for day in span:
            sums[day.weekday()] += max(amounts.get(day, 0), 0)
        return cls(tuple(len(span) * each + total for each in sums))

    def weigh(self, zone: ZoneInfo, start_ms: int, end_ms: int) -> int:
        """Return what [start_ms, end_ms) weighs."""
        if len(set(self.weights)) == 1:
            return self.weights[0] * max(end_ms - start_ms, 0)
        found = 0
        while start_ms < end_ms:
            first_ms, next_ms = window_bounds("day", zone, start_ms)
            assert next_ms is not None
            weekday = datetime.fromtimestamp((first_ms + next_ms) / 2000, zone).weekday()
            found += self.weights[weekday] * (min(next_ms, end_ms) - start_ms)
            start_ms = next_ms
        return found


EVEN: Final = Weekdays((1,) * _DAYS)


class WindowWeights(NamedTuple):
    """What has passed of a window, all of it, and the time before it that may stand for it, by Weekdays.weigh()."""

    passed: int
    whole: int
    before: int = 0


def weigh_window(weekdays: Weekdays, zone: ZoneInfo, start_ms: int, end_ms: int, now_ms: int) -> WindowWeights:
    """Return the weights of a window at a time within it."""
    return WindowWeights(weekdays.weigh(zone, start_ms, min(now_ms, end_ms)), weekdays.weigh(zone, start_ms, end_ms))


def forecast(used: int, weights: WindowWeights, used_before: int = 0) -> int | None:
    """Return what a window comes to at its end, never less than is used.

    used_before: what was used in the time that weights.before is of. None: it is too early to say, and nothing is known
    of a time before.
    """
    passed, whole, before = weights
    if passed > 0 and passed * 100 >= whole * FORECAST_FROM:
        return max(used, used * whole // passed)
    if before > 0:
        return used + max(used_before, 0) * (whole - passed) // before
    return None
