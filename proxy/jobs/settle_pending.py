"""Settle open requests: look generations up until the provider knows them, or charge the reservation.

Fails closed: until a figure is on disk the reservation stays in force, over restarts too.
"""

import asyncio
import logging
from collections.abc import KeysView, Mapping, Sequence
from itertools import chain, repeat
from types import MappingProxyType

from msgspec import Struct

from proxy.core.clock import Clock
from proxy.core.limit_kinds import Pieces
from proxy.jobs.lookup_place import LookupPlace, place_by_name
from proxy.pipeline.admission.limiter import Limiter
from proxy.pipeline.counters import Counters
from proxy.pipeline.settlement.end_rows import other_models, word
from proxy.pipeline.settlement.overrun import report_overrun
from proxy.pipeline.settlement.settle import TIMED_OUT, give_up, settle_looked_up, with_request_price
from proxy.pipeline.settlement.sum_attempts import SettledAttempt, add_up
from proxy.pipeline.snapshot import Live
from proxy.pipeline.values.settlement import CHECKS, CRASH, FAILED, INEXACT, OVER, Settlement
from proxy.providers.generation import (
    GenerationAccess,
    GenerationRecord,
    GenerationUnavailableError,
    GenerationUnknownError,
    look_up,
)
from proxy.providers.provider import ProviderRow
from proxy.storage.ledger import Ledger
from proxy.storage.rows import (
    AttemptEnd,
    BilledEndpoint,
    RequestEnd,
    Reserved,
    UnfinishedAttempt,
    UnfinishedRequest,
    id_text,
)

log = logging.getLogger("tollkeeper.settle")

# The record of an answer that ended well is there within a second or two, that of a broken stream takes longer.
_DELAYS_S = (0.3, 0.7, 1.0, 2.0, 4.0, 8.0, 15.0)
_DELAY_MAX_S = 30.0
_AGAIN_S = (1.0, 5.0, 15.0, 60.0)  # after a failure of the disk, or of ours
_AT_ONCE = 8  # look-ups in parallel: a crash under load leaves hundreds


class SettlePending:
    """One task for each request that waits for its figure."""

    def __init__(self, ledger: Ledger, live: Live, clock: Clock, limiter: Limiter, counters: Counters) -> None:
        self._ledger = ledger
        self._live = live
        self._clock = clock
        self._limiter = limiter
        self._counters = counters
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._made_with: dict[int, Mapping[int, GenerationAccess]] = {}  # as long as the task runs
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._closed = False

    @property
    def waiting(self) -> int:
        return len(self._tasks)

    def ids(self) -> KeysView[int]:
        """Return the requests that wait, as a view."""
        return self._tasks.keys()

    async def start(self) -> int:
        """Start settling the requests that the last run left open; return how many they are."""
        left = await self._ledger.unfinished()
        for row in left:
            self._begin(row.id)
        return len(left)

    def look_up_later(
        self, request_id: int, made_with: Mapping[int, GenerationAccess] = MappingProxyType({}), /
    ) -> None:
        """Queue a request; after close() it is left to the next start. made_with: by number what attempts used."""
        if not self._closed:
            if made_with:
                self._made_with[request_id] = made_with
            self._begin(request_id)

    def _begin(self, request_id: int) -> None:
        if request_id in self._tasks:
            return
        task = asyncio.ensure_future(self._settled(request_id))
        self._tasks[request_id] = task
        task.add_done_callback(lambda done: self._ended(request_id, done))

    def _ended(self, request_id: int, task: asyncio.Task[None]) -> None:
        self._tasks.pop(request_id, None)
        self._made_with.pop(request_id, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("settlement.failed", extra={"request_id": request_id, "problem": repr(error)})

    async def close(self) -> None:
        """Stop asking; what has no figure yet stays pending on disk and is taken up at the next start."""
        self._closed = True
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _settled(self, request_id: int) -> None:
        """Settle a request, whatever it takes: what fails is tried again, later each time."""
        for delay_s in chain(_AGAIN_S, repeat(_AGAIN_S[-1])):
            try:
                await self._settle(request_id)
            except Exception:
                if self._closed:
                    return
                log.exception("settlement.failed", extra={"request_id": id_text(request_id)})
            else:
                return
            await asyncio.sleep(delay_s)

    async def _settle(self, request_id: int) -> None:
        rows = await self._ledger.unfinished(request_id)
        if not rows:
            return
        row = rows[0]
        shared = zip(row.attempts, row.shares(), strict=True)
        found = await asyncio.gather(*(self._figure(row, attempt, share) for attempt, share in shared))
        await self._write(row, found)

    async def settle_at(self, request_id: int, actual_pusd: int, *, is_bill: bool = False) -> bool:
        """Settle a request that waits for its cost at what others know of it; return whether it still waited.

        What attempts are known to have cost stays, and those that are not known get the rest, within their shares of
        the reservation but for the last one; is_bill: each of these also what the operator asks for a request on top.
        Nobody asks the provider any more.
        """
        made_with, task = self._made_with.get(request_id, {}), self._tasks.get(request_id)
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        is_settled = False
        try:
            rows = await self._ledger.unfinished(request_id)
            if not rows or rows[0].state != "pending":
                return False
            prices = [self._own_price(rows[0], one) if is_bill else 0 for one in rows[0].attempts]
            await self._write(rows[0], _figures_at(rows[0], actual_pusd, prices))
            is_settled = True
        finally:
            if task is not None and not is_settled:
                self.look_up_later(request_id, made_with)
        return True

    async def _write(self, row: UnfinishedRequest, found: Sequence["_Figure"]) -> None:
        """Write the end of a request, and count it."""
        end = _end(row, found, self._clock.now_ms())
        await self._limiter.raise_to(
            end.id, end.cost_pusd or 0
        )  # what exceeds the reservation counts before the commit
        if OVER in (end.flags or "").split():
            report_overrun(self._counters, end.id, end.user, end.model, end.cost_pusd or 0, row.reserved_pusd or 0)

        def written(error: Exception | None) -> None:
            if error is None:
                self._limiter.settle(end.id, end.state, end.cost_pusd, end.quota_tokens, end.pieces, end.answer)
                self._counters.settled(end, was_pending=row.state == "pending")

        await self._ledger.end(end, written)

    async def _figure(self, row: UnfinishedRequest, attempt: UnfinishedAttempt, share: Reserved) -> "_Figure":
        """Return what an attempt cost: the known figure, the provider's own record, or its share of the reservation."""
        if attempt.outcome != "open" and attempt.cost_pusd is not None:
            return _Figure(SettledAttempt(_known(row, attempt), _attempt_end(row, attempt, share, None)), None)
        flags = set((row.flags or "").split())
        if attempt.outcome == "open":
            flags.add(CRASH)
        provider = self._live.current.providers.get(attempt.provider)
        found = None
        where = self._where(row, attempt)
        if attempt.generation_id is None or not where.accesses:
            settlement = self._uncertain(attempt, provider, share.cost_pusd, flags)
        else:
            found, always_unknown = await self._ask(where, attempt.generation_id)
            if found is not None:
                settlement = settle_looked_up(found.cost_pusd, flags, share.cost_pusd, exact=found.cost_exact)
                settlement = with_request_price(settlement, where.request_pusd(attempt.model), share.cost_pusd)
            elif always_unknown and _said_that_it_failed(row, attempt):
                # it reported a failure, sent nothing, and has no record after minutes of asking
                settlement = Settlement("released", 0, "none", frozenset(flags))
            else:
                settlement = give_up(share.cost_pusd, "reservation", flags)
        end = _attempt_end(row, attempt, share, found)
        end = end._replace(cost_pusd=settlement.cost_pusd, cost_source=settlement.cost_source)
        return _Figure(SettledAttempt(settlement, end), found)

    def _uncertain(
        self, attempt: UnfinishedAttempt, provider: ProviderRow | None, share_pusd: int | None, flags: set[str]
    ) -> Settlement:
        if attempt.outcome == "open" and self._live.current.settings.ledger.after_crash == "release":
            return Settlement("released", 0, "none", frozenset(flags))
        reports_cost = provider is None or provider.dialect.reports_cost
        return give_up(share_pusd, "reservation" if reports_cost else "estimate", flags)

    def _where(self, row: UnfinishedRequest, attempt: UnfinishedAttempt) -> LookupPlace:
        """Return where to ask for an attempt, and with which keys: that which it went out with, or by its name."""
        made = self._made_with.get(row.id, {}).get(attempt.n)
        if made is not None:
            return LookupPlace((made,) if made.provider.dialect.has_generations else (), is_its_own=True)
        return place_by_name(self._live.current, attempt.provider, attempt.key, row.user, row.group_name)

    def _own_price(self, row: UnfinishedRequest, attempt: UnfinishedAttempt) -> int:
        """Return what the operator asks for a request that this attempt answered."""
        where = self._where(row, attempt)
        return where.request_pusd(attempt.model) if where.accesses else 0

    async def _ask(self, where: LookupPlace, generation_id: str) -> tuple[GenerationRecord | None, bool]:
        """Ask until the cost is known or time is up; also return whether every answer was a reliable 'unknown'."""
        deadline_s = self._clock.monotonic_s() + self._live.current.settings.ledger.lookup_timeout_s
        always_unknown = where.is_its_own
        for n in range(1_000_000):
            left_s = deadline_s - self._clock.monotonic_s()
            delay_s = _DELAYS_S[n] if n < len(_DELAYS_S) else _DELAY_MAX_S
            await asyncio.sleep(max(0.0, min(delay_s, left_s)))
            for access in where.accesses:
                try:
                    async with self._slots:
                        return await look_up(access, generation_id), False
                except GenerationUnknownError:
                    pass
                except GenerationUnavailableError as error:
                    always_unknown = False
                    log.info("settlement.delayed", extra={"generation_id": generation_id, "problem": str(error)})
            if left_s <= delay_s:
                break
        return None, always_unknown


class _Figure(Struct, frozen=True):
    """What one attempt cost, and the provider's record if it was looked up."""

    part: SettledAttempt
    found: GenerationRecord | None


def _figures_at(row: UnfinishedRequest, actual_pusd: int, prices: Sequence[int]) -> list[_Figure]:
    """Return what attempts cost where only the sum of a request is known. prices: of the operator's own, of each."""
    shares = row.shares()
    is_known = [attempt.outcome != "open" and attempt.cost_pusd is not None for attempt in row.attempts]
    last = max((place for place, known in enumerate(is_known) if not known), default=None)
    left_pusd = actual_pusd - sum(attempt.cost_pusd or 0 for attempt in row.attempts)
    flags = set((row.flags or "").split())
    figures = []
    for place, (attempt, share) in enumerate(zip(row.attempts, shares, strict=True)):
        end = _attempt_end(row, attempt, share, None)
        if is_known[place]:
            figures.append(_Figure(SettledAttempt(_known(row, attempt), end), None))
            continue
        cost_pusd = max(0, left_pusd if place == last else min(left_pusd, share.cost_pusd or 0))
        left_pusd -= cost_pusd
        settlement = settle_looked_up(cost_pusd, flags, share.cost_pusd, exact=True)
        settlement = with_request_price(settlement, prices[place], share.cost_pusd)
        end = end._replace(cost_pusd=settlement.cost_pusd, cost_source=settlement.cost_source)
        figures.append(_Figure(SettledAttempt(settlement, end), None))
    return figures


def _known(row: UnfinishedRequest, attempt: UnfinishedAttempt) -> Settlement:
    """Return the verdict stored in the row of an attempt. Flags of the request may be its own."""
    if attempt.cost_source == "none":
        return Settlement("released", 0, "none", frozenset())
    flags = frozenset((row.flags or "").split())
    if attempt.cost_source in ("provider", "generation", "price"):
        flags -= INEXACT
    return Settlement("settled", attempt.cost_pusd, attempt.cost_source, flags)


def _said_that_it_failed(row: UnfinishedRequest, attempt: UnfinishedAttempt) -> bool:
    """Return whether the provider said that it failed, before any content.

    Of those that others followed only one that a preset's checks turned down can have had any: it answered.
    """
    flags = (row.flags or "").split()
    if attempt.n < row.attempts[-1].n:
        was_answer = attempt.status is not None and attempt.status < 300
        if was_answer and any(flag.startswith(CHECKS) for flag in flags):
            return False
        return attempt.outcome == "upstream_error" and attempt.status not in TIMED_OUT
    failed = FAILED in flags
    return failed and (attempt.n == 1 or (attempt.outcome == "upstream_error" and attempt.ttft_ms is None))


def _end(row: UnfinishedRequest, figures: Sequence[_Figure], now_ms: int) -> RequestEnd:
    """Return the end of a request's row with the figures that were found; those already known stay."""
    crashed = row.state == "open"
    last, found = row.attempts[-1], figures[-1].found
    model = row.model or (found.model if found is not None else None) or last.served_model or last.model
    paid = [
        f"{attempt.provider}/{attempt.model}"
        for attempt, figure in zip(row.attempts, figures, strict=True)
        if figure.part.settlement.state != "released" or attempt is last
    ]
    end = RequestEnd(
        id=row.id,
        started_ms=row.started_ms,
        user=row.user,
        group_name=row.group_name,
        use_case=row.use_case,
        streamed=row.streamed,
        fell_back=int((last.provider, last.model) != (row.attempts[0].provider, row.attempts[0].model)),
        finished_ms=row.finished_ms or now_ms,
        model=model,
        provider=last.provider,
        status=row.status or 500,
        finish_reason=row.finish_reason or (word(found.finish_reason) if found is not None else None),
        input_tokens=None,
        output_tokens=None,
        cached_tokens=None,
        reasoning_tokens=None,
        cost_pusd=None,
        cost_source="none",
        state="settled",
        ttft_ms=row.ttft_ms,
        duration_ms=row.duration_ms,
        attempts=0,
        generation_id=None,
        error="crash" if crashed else row.error,
        flags=None,
        outcome="ok",
        upstream_status=None,
        served_by=None,
        other_models=other_models(paid, last.provider, model),
        is_byok=None,
        upstream_cost_pusd=None,
        groups_above=row.groups_above,
        uncounted_tokens=0,
        attempt_ends=tuple(figure.part.end for figure in figures),
    )
    return add_up(
        end, [figure.part for figure in figures], Reserved(row.reserved_pusd, row.reserved_tokens), Pieces(row.pieces)
    )


def _attempt_end(
    row: UnfinishedRequest, attempt: UnfinishedAttempt, share: Reserved, found: GenerationRecord | None
) -> AttemptEnd:
    """Return the end of an attempt as far as it is known; the share of the last one is not written."""
    is_last = attempt.n == row.attempts[-1].n
    return AttemptEnd(
        request_id=row.id,
        n=attempt.n,
        outcome="crash" if attempt.outcome == "open" else attempt.outcome,
        status=attempt.status,
        served_model=attempt.served_model or (found.model if found is not None else None),
        served_by=attempt.served_by or (found.served_by if found is not None else None),
        generation_id=attempt.generation_id,
        input_tokens=_first(attempt.input_tokens, found.input_tokens if found is not None else None),
        output_tokens=_first(attempt.output_tokens, found.output_tokens if found is not None else None),
        cached_tokens=_first(attempt.cached_tokens, found.cached_tokens if found is not None else None),
        reasoning_tokens=_first(attempt.reasoning_tokens, found.reasoning_tokens if found is not None else None),
        cost_pusd=attempt.cost_pusd,
        cost_source=attempt.cost_source,
        ttft_ms=attempt.ttft_ms,
        duration_ms=attempt.duration_ms,
        reserved_pusd=None if is_last else share.cost_pusd,
        reserved_tokens=None if is_last else share.tokens,
        is_byok=_first(attempt.is_byok, found.is_byok if found is not None else None),
        upstream_cost_pusd=_first(attempt.upstream_cost_pusd, found.upstream_cost_pusd if found is not None else None),
        counts=attempt.counts,
        billed=_billed(attempt, found),
    )


def _billed(attempt: UnfinishedAttempt, found: GenerationRecord | None) -> BilledEndpoint | None:
    if found is None or (found.endpoint_id is None and found.permaslug is None):
        return attempt.billed
    return BilledEndpoint(found.endpoint_id, found.permaslug)


def _first(known: int | None, found: int | None) -> int | None:
    return found if known is None else known
