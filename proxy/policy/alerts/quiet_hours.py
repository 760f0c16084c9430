"""Hours of the day in which only what is urgent is sent; the rest waits for their end."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from msgspec import Struct


class QuietHours(Struct, frozen=True):
    """From starts up to ends by the clock of the zone; over midnight where ends is the earlier one."""

    starts: time
    ends: time
    zone: ZoneInfo

    def end_ms(self, now_ms: int) -> int | None:
        """Return when the quiet hours end that now_ms (epoch ms) lies in; None outside of them."""
        if self.starts == self.ends:
            return None
        now = datetime.fromtimestamp(now_ms / 1000, UTC).astimezone(self.zone)
        clock = now.time()
        over_midnight = self.starts > self.ends
        is_evening, is_morning = clock >= self.starts, clock < self.ends
        if not ((is_evening or is_morning) if over_midnight else (is_evening and is_morning)):
            return None
        day = now.date() + timedelta(days=1 if over_midnight and is_evening else 0)
        end_ms = round(datetime.combine(day, self.ends, self.zone).timestamp() * 1000)
        # an hour that the clock shows twice: its first ending may be over, then the second one counts
        return end_ms if end_ms > now_ms else end_ms + 3_600_000
