"""What limits are held against: the totals of all scopes, what is held there, and who waits for room.

Fails closed: nothing passes that the limiter did not admit in one step.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from typing import Any, Final, Protocol

from proxy.core.done import NOTHING_LEFT, Done
from proxy.core.latch import Latch
from proxy.core.limit_kinds import NO_PIECES, Taken
from proxy.policy.quota import (
    NOT_KNOWN,
    Amounts,
    CountedLimit,
    LimitExceeded,
    LimitRow,
    ModelAnswer,
    Models,
    Quota,
    QuotaBook,
    Room,
    SettledRow,
    set_scope,
    use_case_scope,
)
from proxy.policy.quota.book import Targets

ReadPast = Callable[[set[Any]], Awaitable[tuple[Iterable[SettledRow], Iterable[SettledRow]]]]
"""Reads what was booked under a use case, or spent on a set of models, by hours and by rows, without these requests."""

HELD: Final[Awaitable[bool]] = Done(True)
"""What reserve_freely() returns where it is over: nobody need await it to know."""
_NOT_HELD: Final[Awaitable[bool]] = Done(False)


class Limiter(Protocol):
    """The totals that limits are held against.

    An operation begins when it is called. Those of one request happen in the order of the calls, whether they are
    awaited or not: one that returns nothing may be left to itself. reserve(), reserve_freely() and raise_hold() are
    single steps: all limits hold and the amounts are held in all scopes, or nothing is changed. now_ms is the wall
    clock (epoch ms) that goes into the ledger's row as well.
    """

    def reserve(
        self, id_: int, scopes: tuple[str, ...], now_ms: int, amounts: Amounts, quotas: Sequence[Quota]
    ) -> Awaitable[LimitExceeded | None]:
        """Hold the amounts for a request, or return the limit that has no room."""
        ...

    def reserve_freely(
        self,
        id_: int,
        scopes: tuple[str, ...],
        now_ms: int,
        taken: Taken,
        quotas: Sequence[Quota],
        room: Room,
    ) -> Awaitable[bool]:
        """Hold what a request takes, no pieces, where its limits leave more.

        room: how much, at least what is held. False: nothing is held, and reserve() may all the same find room for it.
        """
        ...

    def raise_hold(self, id_: int, more: Amounts, quotas: Sequence[Quota]) -> Awaitable[LimitExceeded | None]:
        """Hold more for an open request, in its own windows, or return the limit that has no room."""
        ...

    def undo_raise(self, id_: int, more: Amounts) -> Awaitable[None]:
        """Hold what was held before raise_hold(): the row of the attempt was never written."""
        ...

    def add_excess(self, id_: int, cost_pusd: int) -> Awaitable[None]:
        """Hold so much more, whatever the limits say: an attempt cost more than its share."""
        ...

    def raise_to(self, id_: int, cost_pusd: int) -> Awaitable[None]:
        """Hold at least so much, whatever the limits say: it cost more, and its row is not yet on disk."""
        ...

    def settle(
        self,
        id_: int,
        state: str,
        cost_pusd: int | None,
        tokens: int,
        pieces: tuple[int, ...] = NO_PIECES,
        answer: ModelAnswer = NOT_KNOWN,
    ) -> Awaitable[None]:
        """Count an end that is on disk: what lowers a total happens only now.

        state is that of the row: pending goes on holding, and no longer counts as running. tokens and pieces: what
        limits count of them. answer: what decides in which sets of models it counts; not known: in all that it holds.
        """
        ...

    def release(self, id_: int) -> Awaitable[None]:
        """Drop what a request holds whose row was never written: it counts for nothing."""
        ...

    def adjust(
        self, scopes: tuple[str, ...], at_ms: int, cost_pusd: int, answer: ModelAnswer = NOT_KNOWN
    ) -> Awaitable[None]:
        """Add to what was spent at an instant, or take from it where cost_pusd is below 0: a figure came late.

        answer as in settle(). Its row is on disk already; hold past_lock from before it is written until this is done.
        """
        ...

    @property
    def past_lock(self) -> asyncio.Lock:
        """Return what follow() holds while it reads the past: an amount is then in both, or in neither."""
        ...

    def headroom_pusd(self, quotas: Sequence[Quota], now_ms: int) -> Awaitable[int | None]:
        """Return what the tightest hard cost limit leaves, at least 0; None without one."""
        ...

    def refused(self, now_ms: int, amounts: Amounts, quotas: Sequence[Quota]) -> Awaitable[LimitExceeded | None]:
        """Return the limit that would refuse a request, if any; nothing is changed."""
        ...

    def limits(self, quotas: Sequence[Quota], now_ms: int) -> Awaitable[list[LimitRow]]:
        """Return a row for each limit, in their fixed order."""
        ...

    def follow(self, use_case: str, read_past: ReadPast, models: Models = ()) -> Awaitable[None]:
        """Keep totals of a use case from now on, if that is not done yet; its past is read and added.

        models: of a set of models within it.
        """
        ...

    def follow_models(self, models: Models, read_past: ReadPast) -> Awaitable[None]:
        """Keep totals of a set of models from now on, in every scope, as follow() does for a use case."""
        ...

    async def changed(self, timeout_s: float) -> None:
        """Wait until some hold ends, at most timeout_s."""
        ...

    def wake(self) -> None:
        """End all waits of changed(): those who wait have something else to look at."""
        ...

    # What is known here without asking anybody: of holds that were made through this limiter.

    def tightest(self, quotas: Sequence[Quota], now_ms: int) -> Sequence[tuple[CountedLimit, int]]:
        """Return of each kind the limit that leaves least, and what it leaves; as old as the last operation there."""
        ...

    def scopes_with(self, scopes: tuple[str, ...], use_case: str) -> tuple[str, ...]:
        """Add the scope of a use case whose totals are kept."""
        ...

    @property
    def model_sets(self) -> tuple[Models, ...]:
        """Return the sets of models whose totals are kept."""
        ...

    def with_models(self, scopes: tuple[str, ...], targets: Targets) -> tuple[str, ...]:
        """Add the scopes of the sets of models that one of the targets may be answered from; call it last."""
        ...

    def open_ids(self) -> Collection[int]:
        """Return the requests that hold something."""
        ...

    def open_in(self, scope: str) -> int:
        """Count the requests that hold something in a scope."""
        ...

    def held_pusd(self, id_: int) -> int:
        """Return what an open request holds."""
        ...


class MemoryLimiter:
    """A Limiter over one book in memory: each operation is over when its call returns, without a turn of the loop."""

    def __init__(self, book: QuotaBook) -> None:
        self.book = book
        self.model_sets = book.model_sets  # as the book's; read twice a request
        self.tightest = book.tightest
        self.scopes_with = book.with_kept
        self.with_models = book.with_models
        self.open_ids = book.open_ids
        self.open_in = book.open_in
        self.held_pusd = book.held_pusd
        self.past_lock = asyncio.Lock()
        self._waiting: set[Latch] = set()

    def reserve(
        self, id_: int, scopes: tuple[str, ...], now_ms: int, amounts: Amounts, quotas: Sequence[Quota]
    ) -> Awaitable[LimitExceeded | None]:
        outcome = self.book.check_and_reserve(id_, scopes, now_ms, amounts, quotas)
        return Done(outcome) if isinstance(outcome, LimitExceeded) else NOTHING_LEFT

    def reserve_freely(
        self,
        id_: int,
        scopes: tuple[str, ...],
        now_ms: int,
        taken: Taken,
        quotas: Sequence[Quota],
        room: Room,
    ) -> Awaitable[bool]:
        return HELD if self.book.reserve_freely(id_, scopes, now_ms, taken, quotas, room) else _NOT_HELD

    def raise_hold(self, id_: int, more: Amounts, quotas: Sequence[Quota]) -> Awaitable[LimitExceeded | None]:
        outcome = self.book.extend(id_, more, quotas)
        return Done(outcome) if isinstance(outcome, LimitExceeded) else NOTHING_LEFT

    def undo_raise(self, id_: int, more: Amounts) -> Awaitable[None]:
        self.book.take_back(id_, more)
        self.wake()
        return NOTHING_LEFT

    def add_excess(self, id_: int, cost_pusd: int) -> Awaitable[None]:
        self.book.note_excess(id_, cost_pusd)
        return NOTHING_LEFT

    def raise_to(self, id_: int, cost_pusd: int) -> Awaitable[None]:
        self.book.raise_to(id_, cost_pusd)
        return NOTHING_LEFT

    def settle(
        self,
        id_: int,
        state: str,
        cost_pusd: int | None,
        tokens: int,
        pieces: tuple[int, ...] = NO_PIECES,
        answer: ModelAnswer = NOT_KNOWN,
    ) -> Awaitable[None]:
        if state == "pending":
            self.book.stop_running(id_)
        elif state == "released":
            self.book.release(id_, answer)
        else:
            self.book.settle(id_, cost_pusd or 0, tokens, pieces, answer)
        if self._waiting:
            self.wake()
        return NOTHING_LEFT

    def release(self, id_: int) -> Awaitable[None]:
        self.book.release(id_, counts=False)
        self.wake()
        return NOTHING_LEFT

    def adjust(
        self, scopes: tuple[str, ...], at_ms: int, cost_pusd: int, answer: ModelAnswer = NOT_KNOWN
    ) -> Awaitable[None]:
        self.book.adjust(scopes, at_ms, cost_pusd, answer)
        if self._waiting:
            self.wake()
        return NOTHING_LEFT

    def headroom_pusd(self, quotas: Sequence[Quota], now_ms: int) -> Awaitable[int | None]:
        return Done(self.book.headroom_pusd(quotas, now_ms))

    def refused(self, now_ms: int, amounts: Amounts, quotas: Sequence[Quota]) -> Awaitable[LimitExceeded | None]:
        return Done(self.book.refused(now_ms, amounts, quotas))

    def limits(self, quotas: Sequence[Quota], now_ms: int) -> Awaitable[list[LimitRow]]:
        return Done(self.book.limits_view(quotas, now_ms))

    async def follow(self, use_case: str, read_past: ReadPast, models: Models = ()) -> None:
        """From the first moment what is let in counts; it is left out of the past, which is read meanwhile."""
        scope = set_scope(use_case_scope(use_case), models)
        async with self.past_lock:
            if self.book.keeps(scope):
                return
            counted, is_read = self.book.open_scope(scope), False
            try:
                self.book.load_past(scope, *await read_past(counted))
                is_read = True
            finally:
                if not is_read:
                    self.book.close_scope(scope)

    async def follow_models(self, models: Models, read_past: ReadPast) -> None:
        book = self.book
        async with self.past_lock:
            if models in book.model_sets:
                return
            counted, is_read = book.open_models(models), False
            self.model_sets = book.model_sets
            try:
                book.load_models(models, *await read_past(counted))
                is_read = True
            finally:
                if not is_read:
                    book.close_models(models)
                    self.model_sets = book.model_sets

    async def changed(self, timeout_s: float) -> None:
        latch = Latch()
        self._waiting.add(latch)
        try:
            await latch.wait(timeout_s)
        finally:
            self._waiting.discard(latch)

    def wake(self) -> None:
        for latch in self._waiting:
            latch.set()
