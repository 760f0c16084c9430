"""Write refusals into the ledger once a second, and remove those that are too old or too many."""

import asyncio
import logging
from collections.abc import Callable

from proxy.core.clock import Clock
from proxy.pipeline.refusal_log import RefusalLog
from proxy.pipeline.snapshot import Live
from proxy.storage.ledger import Ledger, LedgerUnavailableError
from proxy.storage.refusals import RefusalRow
from proxy.storage.reports import Reports

log = logging.getLogger("tollkeeper.refusals")

_EVERY_S = 1.0  # what a crash may lose
_TRIM_EVERY = 60  # of these
_SLICE = 500  # rows of one removal: some milliseconds of the writer's time
_PAUSE_S = 0.05  # between slices
_DAY_MS = 86_400_000


class KeepRefusals:
    """The job. What the ledger does not take is tried again; meanwhile the log counts what it has no room for."""

    def __init__(
        self,
        refusals: RefusalLog,
        ledger: Ledger,
        reports: Reports,
        live: Live,
        clock: Clock,
        clock_problem: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._refusals = refusals
        self._ledger = ledger
        self._reports = reports
        self._live = live
        self._clock = clock
        self._clock_problem = clock_problem  # while there is one none is too old: nobody knows how old they are
        self._unwritten: list[RefusalRow] = []
        self._turn = asyncio.Lock()  # the job writes, and who looks for a refusal of the last second

    async def run(self) -> None:
        """Run until cancelled."""
        turn = 0
        while True:
            await asyncio.sleep(_EVERY_S)
            await self.flush()
            turn += 1
            if turn % _TRIM_EVERY == 0:
                await self.trim()

    async def flush(self) -> bool:
        """Write what has come; return whether all of it is on disk."""
        async with self._turn:
            if self._unwritten and not await self._write():
                return False
            self._unwritten = self._refusals.take()
            return not self._unwritten or await self._write()

    async def _write(self) -> bool:
        try:
            await self._ledger.add_refusals(self._unwritten)
        except LedgerUnavailableError:  # the ledger has told the log, and /readyz
            return False
        self._unwritten = []
        return True

    async def trim(self) -> int:
        """Remove what is older or more than retention allows, in slices; return how many went."""
        kept = self._live.current.settings.retention
        age_days = kept.refusals_days
        aged = age_days is not None and self._clock_problem() is None
        before_ms = self._clock.now_ms() - (age_days or 0) * _DAY_MS if aged else 0
        upto_id = await asyncio.to_thread(self._reports.surplus_refusal, before_ms, kept.refusals_max)
        removed = 0
        while upto_id is not None:
            try:
                gone = await self._ledger.remove_refusals(upto_id, _SLICE)
            except LedgerUnavailableError:  # the next turn comes in a minute
                break
            removed += gone
            if gone < _SLICE:
                break
            await asyncio.sleep(_PAUSE_S)
        if removed:
            log.debug("refusals.removed", extra={"refusals": removed})
        return removed

    async def close(self) -> None:
        """Write what is left; what the ledger does not take then is lost, and told."""
        if not await self.flush():
            log.warning("refusals.unwritten", extra={"refusals": len(self._unwritten)})
