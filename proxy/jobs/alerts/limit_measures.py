"""What limits and spending come to, for rules that watch them."""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence

from proxy.config.alerts import AlertRule
from proxy.core.money import usd_to_pusd
from proxy.jobs.alerts.limit_readings import LimitReadings
from proxy.jobs.retention import configured_quotas
from proxy.pipeline.services import Services
from proxy.pipeline.snapshot import Snapshot
from proxy.policy.alerts import measures
from proxy.policy.alerts.measures import AlertReading
from proxy.policy.forecast import EVEN, Weekdays, WindowWeights, weigh_window
from proxy.policy.quota import LimitRow, Quota
from proxy.policy.quota.window import CALENDAR, window_at
from proxy.storage.reports import Reports
from proxy.storage.spending import UsageSelection
from proxy.storage.spent_days import spent_by_day

_TURN = 1000  # rows that are compared before requests have their turn
_NEAR = 0.5  # of the lowest threshold: what is further away is at rest
_WEEK_MS = 7 * 86_400_000
_SPENDING_EVERY_MS = 60_000  # a look at the roll-up is no work for every few seconds
_WEEKDAYS_EVERY_MS = 3_600_000
_OF_DAYS = ("week", "month")


class LimitMeasures:
    """Reads the limiter and the ledger; what it has worked out for a configuration is kept while that is in force."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._readings = LimitReadings(services, _with_window)
        self._spending: dict[float, tuple[int, dict[str, int], dict[str, int]]] = {}
        self._weekdays: tuple[int, Weekdays] = -_WEEKDAYS_EVERY_MS, EVEN

    async def limit_share(self, rule: AlertRule, known: Collection[str], now_ms: int) -> list[AlertReading]:
        """Return the limits that are near a threshold, those in known, and the one that is used most.

        known: the subjects that the rule stands anywhere with. All others are at rest: most limits are at any time.
        """
        worth, most, most_value = [], None, -1.0
        near, with_reserved = rule.levels[0] * _NEAR, rule.with_reserved
        async for row in self._limits(rule, now_ms):
            value = measures.share_of(row, with_reserved=with_reserved)
            if value >= near or (known and measures.limit_subject(row) in known):
                worth.append(row)
            elif value > most_value:
                most, most_value = row, value
        if not worth and most is not None:
            worth.append(most)
        return [measures.limit_share(row, self._start_ms(row, now_ms), with_reserved=with_reserved) for row in worth]

    async def forecast(self, rule: AlertRule, known: Collection[str], now_ms: int) -> list[AlertReading]:
        """Return the limits with an end of their window that anything is used of."""
        found = []
        zone = self._services.live.current.zone
        weekdays = await self._weighed(now_ms)
        windows: dict[str, tuple[int, WindowWeights]] = {}
        async for row in self._limits(rule, now_ms):
            if row.window in CALENDAR and (row.used or (known and measures.limit_subject(row) in known)):
                if row.window not in windows:
                    start_ms, end_ms, _ = window_at(row.window, zone, now_ms)
                    assert end_ms is not None
                    by = weekdays if row.window in _OF_DAYS else EVEN
                    windows[row.window] = start_ms, weigh_window(by, zone, start_ms, end_ms, now_ms)
                found.append(measures.limit_forecast(row, *windows[row.window]))
        return [reading for reading in found if reading is not None]

    async def _weighed(self, now_ms: int) -> Weekdays:
        """Return what weekdays weigh, by what was spent on them; read anew each hour."""
        if not 0 <= now_ms - self._weekdays[0] < _WEEKDAYS_EVERY_MS:
            days = await asyncio.to_thread(
                spent_by_day, self._services.reports, self._services.live.current.zone, now_ms
            )
            self._weekdays = now_ms, days.weekdays
        return self._weekdays[1]

    async def spend_rate(self, rule: AlertRule, now_ms: int) -> list[AlertReading]:
        least_pusd, _ = usd_to_pusd(str(rule.min_usd))
        now, before = await self._spent(rule.span_s, now_ms)
        return [measures.spend_rate(scope, now[scope], before.get(scope, 0), least_pusd) for scope in now]

    def _start_ms(self, row: LimitRow, now_ms: int) -> int:
        """Return when the window of a limit began; 0 for one that has no beginning of its own."""
        if row.window not in CALENDAR:
            return 0
        return window_at(row.window, self._services.live.current.zone, now_ms).start_ms

    async def _limits(self, rule: AlertRule, now_ms: int) -> AsyncIterator[LimitRow]:
        """Yield the limits of a rule's kinds; others have their turn now and then."""
        kinds = rule.limits
        for number, row in enumerate(await self._readings.rows(now_ms), 1):
            if row.kind in kinds:
                yield row
            if number % _TURN == 0:
                await asyncio.sleep(0)

    async def _spent(self, span_s: float, now_ms: int) -> tuple[dict[str, int], dict[str, int]]:
        """Return what each scope has spent within the span that ends now, and within that of a week before."""
        known = self._spending.get(span_s)
        if known is not None and 0 <= now_ms - known[0] < _SPENDING_EVERY_MS:
            return known[1], known[2]
        span_ms = round(span_s * 1000)
        now = await asyncio.to_thread(self._spent_within, now_ms - span_ms, now_ms)
        before = await asyncio.to_thread(self._spent_within, now_ms - span_ms - _WEEK_MS, now_ms - _WEEK_MS)
        self._spending[span_s] = now_ms, now, before
        return now, before

    def _spent_within(self, since_ms: int, until_ms: int) -> dict[str, int]:
        zone = self._services.live.current.zone
        sums = self._services.reports.usage(UsageSelection(("user", "group"), since_ms, until_ms), zone)
        found = {"all": 0}
        for row in sums.rows:
            user, group = row.key
            for scope in _scopes(user, group):
                found[scope] = found.get(scope, 0) + row.cost_pusd
        return found


def _with_window(snapshot: Snapshot, reports: Reports) -> list[Quota]:
    """Return every limit that counts over a window; those of concurrency are full and empty by the second."""
    return [quota for quota in configured_quotas(snapshot.settings, reports.list_users()) if quota.window]


def _scopes(user: str, group: str) -> Sequence[str]:
    return ("all", f"user:{user}", f"group:{group}") if group else ("all", f"user:{user}")
