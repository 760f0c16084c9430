"""Sum days that are over, in small slices between the commits of requests, so that reports read fewer rows."""

import asyncio
import logging
from collections.abc import Callable

from proxy.core.clock import Clock
from proxy.pipeline.snapshot import Live
from proxy.storage.ledger import Ledger
from proxy.storage.reports import Reports

log = logging.getLogger("tollkeeper.daily_usage")

_EVERY_S = 600.0
_FIRST_S = 10.0  # not right after a start, which is busy enough
_AFTER_MS = 3_600_000  # of a day's end: most that began on it has ended by then, and need not be added later
_SLICE = 60  # rows of the hours in one transaction: about a millisecond of the writer's time
_PAUSE_S = 0.02  # between slices: the writer is free for most of it


class DailyUsage:
    """The job. Days of another zone than the configured one are given up for its own."""

    def __init__(
        self, ledger: Ledger, reports: Reports, live: Live, clock: Clock, clock_problem: Callable[[], str | None]
    ) -> None:
        self._ledger, self._reports, self._live, self._clock = ledger, reports, live, clock
        self._clock_problem = clock_problem  # while there is one nobody knows which days are over

    async def run(self) -> None:
        """Run until cancelled."""
        await asyncio.sleep(_FIRST_S)
        while True:
            await self.sum_past()
            await asyncio.sleep(_EVERY_S)

    async def sum_past(self, slice_: int = _SLICE, pause_s: float = _PAUSE_S) -> int:
        """Sum all days that are over; return how many steps it took."""
        if self._clock_problem() is not None:
            return 0
        zone, until_ms = self._live.current.zone, self._clock.now_ms() - _AFTER_MS
        days = await asyncio.to_thread(self._reports.past_days, zone, until_ms)
        steps = 0
        while await self._ledger.sum_days(days, slice_):
            steps += 1
            await asyncio.sleep(pause_s)
        if steps:
            log.info("usage.summed", extra={"days": len(days), "steps": steps})
        return steps
