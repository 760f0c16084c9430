"""Which hours of the roll-up lie whole within a day. Pure."""

from typing import NamedTuple
from zoneinfo import ZoneInfo

from proxy.policy.quota.window import HOUR_MS, window_bounds


class DaySpan(NamedTuple):
    """The hours of UTC from start_ms up to end_ms (epoch ms): all of a day but what is before or after a full hour."""

    start_ms: int
    end_ms: int

    def covers(self, at_ms: int) -> bool:
        """Return whether an instant lies within it."""
        return self.start_ms <= at_ms < self.end_ms


def day_span(zone: ZoneInfo, at_ms: int) -> DaySpan:
    """Return the whole hours of the day of a zone that an instant lies in."""
    start_ms, end_ms = window_bounds("day", zone, at_ms)
    assert end_ms is not None  # calendar windows end
    return DaySpan(-(-start_ms // HOUR_MS) * HOUR_MS, end_ms // HOUR_MS * HOUR_MS)
