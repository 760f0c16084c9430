"""Read what limits stand at, some at a time, and no more often than it is worth."""

import asyncio
import time
from collections.abc import Callable, Sequence

from proxy.core.loop_turn import LoopTurn
from proxy.jobs.retention import configured_quotas
from proxy.pipeline.services import Services
from proxy.pipeline.snapshot import Snapshot
from proxy.policy.quota import LimitRow, Quota
from proxy.storage.reports import Reports

SelectLimits = Callable[[Snapshot, Reports], list[Quota]]
"""Return the limits of a configuration that are read; may block, and raises LedgerError."""

_AT_ONCE = 8  # limits whose windows are known that are looked at between two looks at how long requests have waited
_NEW_AT_ONCE = 2  # of those whose windows are summed first, of thousands of buckets each
_NEVER_MS = 1 << 62
_EVERY_S = 5.0  # what is looked at no more often needs no rest
_REST = 50  # times as long as reading all limits took nothing is read: two percent of a core, however many there are


class LimitReadings:
    """Reads the limiter; what it has read holds until it is due again, a window ends, or the configuration changes."""

    def __init__(self, services: Services, select: SelectLimits) -> None:
        self._services = services
        self._select = select
        self._snapshot: Snapshot | None = None
        self._quotas: list[Quota] = []
        self._rows: list[LimitRow] = []
        self._rows_ms = 0
        self._until_ms = 0  # when the first of their windows is over
        self._due_s = 0.0  # when they are read again
        self._cost_s = 0.0
        self._reading = asyncio.Lock()
        self._begun = 0  # readings; one that began after somebody asked is theirs too

    async def rows(self, now_ms: int) -> Sequence[LimitRow]:
        """Return the limits; raises LedgerError."""
        before = self._begun
        async with self._reading:
            snapshot, now_s = self._services.live.current, self._services.clock.monotonic_s()
            is_another_time = not self._rows_ms <= now_ms < self._until_ms
            is_due = (now_s >= self._due_s or is_another_time) and self._begun == before  # else somebody has just read
            if is_due or snapshot is not self._snapshot:
                self._begun += 1
                await self._read(snapshot, now_ms)
                self._due_s = now_s + max(0.0, self._cost_s * _REST - _EVERY_S)
            return self._rows

    async def _read(self, snapshot: Snapshot, now_ms: int) -> None:
        """Read all limits, some at a time; cost_s: how long that took of the event loop's time."""
        if snapshot is not self._snapshot:
            self._quotas = await asyncio.to_thread(self._select, snapshot, self._services.reports)
        rows: list[LimitRow] = []
        cost_s, turn = 0.0, LoopTurn()
        at_once = _AT_ONCE if snapshot is self._snapshot and now_ms < self._until_ms else _NEW_AT_ONCE
        for first in range(0, len(self._quotas), at_once):
            begin_s = time.thread_time()  # what others do meanwhile does not count
            rows += await self._services.limiter.limits(self._quotas[first : first + at_once], now_ms)
            cost_s += time.thread_time() - begin_s
            await turn.rest()
        self._rows, self._rows_ms, self._cost_s, self._snapshot = rows, now_ms, cost_s, snapshot
        self._until_ms = min((row.resets_at_ms for row in rows if row.resets_at_ms is not None), default=_NEVER_MS)


def every_limit(snapshot: Snapshot, reports: Reports) -> list[Quota]:
    """Return all limits of a configuration. Blocks; raises LedgerError."""
    return list(configured_quotas(snapshot.settings, reports.list_users()))
