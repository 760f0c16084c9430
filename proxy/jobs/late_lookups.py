"""Ask again what was charged in full: a provider may tell hours later what a broken-off answer cost.

Fails closed: what was charged stays charged until a figure is there. An attempt is asked for ever more rarely, until
the provider has forgotten it.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Final

from msgspec import Struct

from proxy.core.clock import Clock
from proxy.jobs.late_truths import LateTruths
from proxy.jobs.lookup_place import LookupPlace, place_by_name
from proxy.pipeline.snapshot import Live
from proxy.providers.generation import (
    GenerationRecord,
    GenerationUnavailableError,
    GenerationUnknownError,
    look_up,
)
from proxy.storage.adjustment import Correction
from proxy.storage.late_lookup import LateLookup, LookupNote
from proxy.storage.ledger import Ledger
from proxy.storage.reports import Reports

log = logging.getLogger("tollkeeper.settle")

_EVERY_S = 60.0
_FIRST_MS: Final = 60_000
_LONGEST_MS: Final = 24 * 3_600_000
_REMEMBERED_MS: Final = 30 * 24 * 3_600_000  # as long as OpenRouter's activity reaches back
_AT_ONCE = 8  # look-ups in parallel
_SLICE = 200

REASON = "the provider told the cost later"


class LookupCounts(Struct, frozen=True):
    """What became of the attempts that were asked for: told their cost, asked for again later, or given up."""

    told: int = 0
    waiting: int = 0
    given_up: int = 0

    def plus(self, other: "LookupCounts") -> "LookupCounts":
        return LookupCounts(self.told + other.told, self.waiting + other.waiting, self.given_up + other.given_up)


class LateLookups:
    """The job, and the one who asks at once for whoever does not want to wait for it."""

    def __init__(
        self,
        ledger: Ledger,
        reports: Reports,
        live: Live,
        clock: Clock,
        late: LateTruths,
        clock_problem: Callable[[], str | None],
    ) -> None:
        self._ledger = ledger
        self._reports = reports
        self._live = live
        self._clock = clock
        self._late = late
        self._clock_problem = clock_problem  # while there is one nobody knows what is due
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._asking = asyncio.Lock()

    async def run(self) -> None:
        """Run until cancelled."""
        while True:
            await asyncio.sleep(_EVERY_S)
            if self._clock_problem() is None:
                await self.ask(self._clock.now_ms())

    async def ask(self, due_ms: int | None = None) -> LookupCounts:
        """Ask for what is due by then, or for all of it, and book what is told."""
        counts, after = LookupCounts(), (-1, -1)
        async with self._asking:
            while True:
                found = await asyncio.to_thread(self._reports.late_lookups, due_ms, after, _SLICE)
                if not found:
                    return counts
                after = found[-1].request_id, found[-1].attempt
                counts = counts.plus(await self._ask_for(found))

    async def _ask_for(self, lookups: Sequence[LateLookup]) -> LookupCounts:
        places = [self._place(one) for one in lookups]
        records = await asyncio.gather(*map(self._record, lookups, places))
        moved: defaultdict[int, int] = defaultdict(int)  # of requests with several attempts, by those before
        notes, counts, now_ms = [], LookupCounts(), self._clock.now_ms()
        for one, place, record in zip(lookups, places, records, strict=True):
            if record is not None:
                actual_pusd = record.cost_pusd + place.request_pusd(one.model)
                correction = Correction(
                    one.request_id,
                    one.others_pusd + moved[one.request_id] + actual_pusd,
                    REASON,
                    "generation",
                    attempt=one.attempt,
                )
                (booked,) = await self._late.correct((correction,))
                moved[one.request_id] += booked.amount_pusd
            next_ms = None if record is not None or not place.accesses else _next_ms(one, now_ms)
            notes.append(LookupNote(one.request_id, one.attempt, next_ms))
            if record is not None:
                counts = counts.plus(LookupCounts(told=1))
            else:
                counts = counts.plus(LookupCounts(given_up=1) if next_ms is None else LookupCounts(waiting=1))
        await self._ledger.note_lookups(notes)
        return counts

    def _place(self, one: LateLookup) -> LookupPlace:
        return place_by_name(self._live.current, one.provider, one.key, one.user, one.group)

    async def _record(self, one: LateLookup, place: LookupPlace) -> GenerationRecord | None:
        """Return what the provider says of an attempt; None where it says nothing."""
        for access in place.accesses:
            try:
                async with self._slots:
                    return await look_up(access, one.generation_id)
            except GenerationUnknownError:
                pass
            except GenerationUnavailableError as error:
                log.info("settlement.delayed", extra={"generation_id": one.generation_id, "problem": str(error)})
        return None


def _next_ms(one: LateLookup, now_ms: int) -> int | None:
    """Return when to ask again: after a minute, then twice as long each time, up to a day; None: it is forgotten."""
    if one.started_ms < now_ms - _REMEMBERED_MS:
        return None
    return now_ms + min(_LONGEST_MS, _FIRST_MS << min(one.tries, 20))
