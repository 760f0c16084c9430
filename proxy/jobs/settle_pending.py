"""Settle what is still open: look generations up until the provider knows them, or charge the reservation.

Fails closed: until a figure is on disk the reservation stays in force, over restarts too.
"""

import asyncio
import logging

from proxy.core.clock import Clock
from proxy.pipeline.desk import Desk
from proxy.pipeline.parts import Live
from proxy.pipeline.record import uncounted_tokens, word
from proxy.pipeline.settle import (
    CRASH,
    FAILED,
    Verdict,
    give_up,
    settle_looked_up,
)
from proxy.providers.generation import (
    Generation,
    GenerationUnavailableError,
    GenerationUnknownError,
    look_up,
)
from proxy.providers.rows import ProviderRow
from proxy.storage.ledger import Ledger
from proxy.storage.rows import AttemptEnd, RequestEnd, Unfinished

log = logging.getLogger("tollkeeper.settle")

# The record of an answer that ended well is there within a second or two, that of a broken stream takes longer.
_DELAYS_S = (0.3, 0.7, 1.0, 2.0, 4.0, 8.0, 15.0)
_DELAY_MAX_S = 30.0
_AT_ONCE = 8  # look-ups in parallel: a crash under load leaves hundreds


class SettlePending:
    """One task for each request that waits for its figure."""

    def __init__(self, ledger: Ledger, live: Live, clock: Clock, desk: Desk) -> None:
        self._ledger = ledger
        self._live = live
        self._clock = clock
        self._desk = desk
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._closed = False

    @property
    def waiting(self) -> int:
        return len(self._tasks)

    async def start(self) -> int:
        """Take up what the last run left; gives how many requests that is."""
        left = await self._ledger.unfinished()
        for row in left:
            self._begin(row.id)
        return len(left)

    def look_up_later(self, request_id: int) -> None:
        """Take a request up; after close() the next start does."""
        if not self._closed:
            self._begin(request_id)

    def _begin(self, request_id: int) -> None:
        task = asyncio.ensure_future(self._settle(request_id))
        self._tasks[request_id] = task
        task.add_done_callback(lambda done: self._ended(request_id, done))

    def _ended(self, request_id: int, task: asyncio.Task[None]) -> None:
        self._tasks.pop(request_id, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("settle.failed", extra={"request_id": request_id, "problem": repr(error)})

    async def close(self) -> None:
        """Stop asking; what has no figure yet stays pending on disk and is taken up at the next start."""
        self._closed = True
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _settle(self, request_id: int) -> None:
        rows = await self._ledger.unfinished(request_id)
        if not rows:
            return
        row = rows[0]
        flags = set((row.flags or "").split())
        if row.state == "open":
            flags.add(CRASH)
        provider = self._live.current.providers.get(row.provider or "")
        if row.generation_id is None or provider is None or not provider.dialect.has_generations:
            await self._write(row, _end(row, self._uncertain(row, provider, flags), None, self._clock.now_ms()))
            return
        found, always_unknown = await self._ask(provider, row.generation_id)
        if found is not None:
            verdict = settle_looked_up(found.cost_pusd, flags, row.reserved_pusd, exact=found.cost_exact)
        elif always_unknown and FAILED in flags:
            # it said that it failed, sent nothing, and has no record of it after minutes of asking
            verdict = Verdict("released", 0, "none", frozenset(flags))
        else:
            verdict = give_up(row.reserved_pusd, "reservation", flags)
        await self._write(row, _end(row, verdict, found, self._clock.now_ms()))

    async def _write(self, row: Unfinished, end: RequestEnd) -> None:
        """Count what exceeds the reservation before the commit, the rest after it."""
        excess_pusd = (end.cost_pusd or 0) - (row.reserved_pusd or 0)
        if excess_pusd > 0:
            self._desk.excess(end.id, excess_pusd)
        await self._ledger.end(end, lambda error: None if error is not None else self._desk.ended(end))

    def _uncertain(self, row: Unfinished, provider: ProviderRow | None, flags: set[str]) -> Verdict:
        if row.state == "open" and self._live.current.settings.ledger.crash_reservation == "release":
            return Verdict("released", 0, "none", frozenset(flags))
        reports_cost = provider is None or provider.dialect.reports_cost
        return give_up(row.reserved_pusd, "reservation" if reports_cost else "estimate", flags)

    async def _ask(self, provider: ProviderRow, generation_id: str) -> tuple[Generation | None, bool]:
        """Ask until it is known or time is up; also tell whether every answer was 'unknown'."""
        deadline_s = self._clock.monotonic_s() + self._live.current.settings.ledger.lookup_timeout_s
        always_unknown = True
        for n in range(1_000_000):
            left_s = deadline_s - self._clock.monotonic_s()
            delay_s = _DELAYS_S[n] if n < len(_DELAYS_S) else _DELAY_MAX_S
            await asyncio.sleep(max(0.0, min(delay_s, left_s)))
            try:
                async with self._slots:
                    return await look_up(provider, generation_id), False
            except GenerationUnknownError:
                pass
            except GenerationUnavailableError as error:
                always_unknown = False
                log.info("settle.unavailable", extra={"generation_id": generation_id, "problem": str(error)})
            if left_s <= delay_s:
                break
        return None, always_unknown


def _end(row: Unfinished, verdict: Verdict, found: Generation | None, now_ms: int) -> RequestEnd:
    """Give the end of a row with the figures that were found, the known ones kept."""
    crashed = row.state == "open"
    end = RequestEnd(
        id=row.id,
        started_ms=row.started_ms,
        user=row.user,
        group_name=row.group_name,
        use_case=row.use_case,
        finished_ms=row.finished_ms or now_ms,
        model=row.model or row.served_model or row.attempt_model,
        provider=row.provider,
        status=row.status or 500,
        finish_reason=row.finish_reason,
        input_tokens=row.input_tokens,
        output_tokens=row.output_tokens,
        cached_tokens=row.cached_tokens,
        reasoning_tokens=row.reasoning_tokens,
        cost_pusd=verdict.cost_pusd,
        cost_source=verdict.cost_source,
        state=verdict.state,
        ttft_ms=row.ttft_ms,
        duration_ms=row.duration_ms,
        attempts=row.attempts,
        generation_id=row.generation_id,
        error="crash" if crashed else row.error,
        flags=" ".join(sorted(verdict.flags)) or None,
        outcome="crash" if crashed else row.outcome or "ok",
        upstream_status=row.attempt_status,
        served_by=row.served_by or (found.served_by if found is not None else None),
        uncounted_tokens=uncounted_tokens(
            verdict, row.input_tokens is not None or row.output_tokens is not None, row.reserved_tokens
        ),
        last_attempt=None,
    )
    if found is not None:
        end = end._replace(
            model=row.model or found.model or end.model,
            finish_reason=row.finish_reason or word(found.finish_reason),
            input_tokens=found.input_tokens if row.input_tokens is None else row.input_tokens,
            output_tokens=found.output_tokens if row.output_tokens is None else row.output_tokens,
            cached_tokens=found.cached_tokens if row.cached_tokens is None else row.cached_tokens,
            reasoning_tokens=found.reasoning_tokens if row.reasoning_tokens is None else row.reasoning_tokens,
        )
    if row.attempt_n is None:
        return end
    return end._replace(last_attempt=_attempt_end(row, end, found, crashed=crashed))


def _attempt_end(row: Unfinished, end: RequestEnd, found: Generation | None, *, crashed: bool) -> AttemptEnd:
    assert row.attempt_n is not None
    return AttemptEnd(
        request_id=row.id,
        n=row.attempt_n,
        outcome="crash" if crashed else row.outcome or "ok",
        status=row.attempt_status,
        served_model=row.served_model or (found.model if found is not None else None),
        served_by=row.served_by or (found.served_by if found is not None else None),
        generation_id=row.generation_id,
        input_tokens=end.input_tokens,
        output_tokens=end.output_tokens,
        cached_tokens=end.cached_tokens,
        reasoning_tokens=end.reasoning_tokens,
        cost_pusd=end.cost_pusd,
        cost_source=end.cost_source,
        ttft_ms=row.attempt_ttft_ms,
        duration_ms=row.attempt_duration_ms,
    )
