"""What was spent on each day of the last weeks: what forecasts go by."""

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from msgspec import Struct

from proxy.policy.forecast import WEEKS, Weekdays
from proxy.policy.quota.window import first_instant_ms
from proxy.storage.reports import Reports
from proxy.storage.spending import UsageSelection

RATE_DAYS = 28  # whole days that a run-rate is the mean of


class SpentDays(Struct, frozen=True):
    """Pico-USD by day, up to the day before today."""

    today: date
    pusd: Mapping[date, int]

    @property
    def weekdays(self) -> Weekdays:
        return Weekdays.of_days(self.pusd, self.today)

    @property
    def rate_days(self) -> int:
        """Return how many whole days the run-rate is the mean of: RATE_DAYS, or those since the first with spending."""
        known = [day for day in self.pusd if day < self.today]
        return min(RATE_DAYS, (self.today - min(known)).days) if known else 0

    @property
    def rate_pusd(self) -> int:
        """Return what these days cost together."""
        return sum(self.pusd.get(self.today - timedelta(days=n), 0) for n in range(1, self.rate_days + 1))

    def rate_span_ms(self, zone: ZoneInfo) -> tuple[int, int]:
        """Return the time that the run-rate is of."""
        first = self.today - timedelta(days=self.rate_days)
        return first_instant_ms(zone, first), first_instant_ms(zone, self.today)


def spent_by_day(reports: Reports, zone: ZoneInfo, now_ms: int) -> SpentDays:
    """Read the whole days of the last WEEKS weeks before a time."""
    today = datetime.fromtimestamp(now_ms / 1000, zone).date()
    since_ms = first_instant_ms(zone, today - timedelta(weeks=WEEKS))
    wanted = UsageSelection(("day",), since_ms, first_instant_ms(zone, today))
    rows = reports.usage(wanted, zone).rows
    return SpentDays(today, {date.fromisoformat(row.key[0]): row.cost_pusd for row in rows})
