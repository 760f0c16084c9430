"""The calls of a day's bill as the event loop has them: of a quiet day in a thread, of a busy one in a process.

A process, for threads take turns with the event loop: beside half a minute of Python, requests would wait for it again
and again, however small the pieces. One takes half a second to start, so that a few calls are read in a thread.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, Final, Self

from proxy.core.child_pool import ChildPool
from proxy.jobs.reconciliation.call_process import CallProcess
from proxy.jobs.reconciliation.day_calls import BillSums, CallLook, CallSums, ComparisonSize, DayCalls
from proxy.policy.reconciliation.day_comparison import BilledCall, DayBooks, DayComparison, DriftEntry
from proxy.providers.account.source import TakenCosts
from proxy.storage.reconciliation import DayQuestion, LedgerDay

HERE_MAX_BYTES: Final = 1 << 15  # of answers in all: some hundred calls, of which one answer is parsed in half a ms
PART: Final = 500  # calls, differences or pairs that come from, or go to, a process at once


class BilledCalls:
    """Takes answers, lists them, and compares them with the ledger. processes None: it cannot be read elsewhere."""

    def __init__(
        self, day_ms: int, read_day: Callable[[DayQuestion], LedgerDay], processes: ChildPool[CallProcess] | None
    ) -> None:
        self._here = DayCalls(day_ms, read_day)
        self._day_ms, self._processes = day_ms, processes
        self._process: CallProcess | None = None
        self._taken_bytes = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None and self._processes is not None:
            await self._processes.give_back(self._process, is_well=error is None)

    @property
    def is_apart(self) -> bool:
        """Return whether they are in a process of their own."""
        return self._process is not None

    async def drop_taken(self) -> None:
        """Drop what was taken and is not listed."""
        await self._do("drop_taken")

    async def drop_all(self) -> None:
        """Drop all calls."""
        await self._do("drop_all")

    async def take(self, body: bytes) -> TakenCosts:
        """Read an answer of the provider; it is a TakeCosts."""
        self._taken_bytes += len(body)
        if self._process is None and self._processes is not None and self._taken_bytes > HERE_MAX_BYTES:
            self._process = self._processes.take()
            await self._do("begin", self._day_ms)
            await self._do("load", self._here.of_keys, self._here.pending)
        found: TakenCosts = await self._do("take", body)
        return found

    async def list_taken(self, key: str, from_ms: int, to_ms: int) -> None:
        """List what was taken of a time."""
        await self._do("list_taken", key, from_ms, to_ms)

    async def sums(self) -> CallSums:
        """Return what they come to."""
        found: CallSums = await self._do("sums")
        return found

    async def look(self, provider: str, keys: Mapping[str, str], own_key: str) -> CallLook:
        """Read the day from the ledger; raises LedgerError."""
        found: CallLook = await self._do("look", provider, keys, own_key)
        return found

    async def untold(self, look: CallLook) -> list[BilledCall]:
        """Return the calls that a look found to be asked about."""
        return [call for at in range(0, look.untold, PART) for call in await self._do("untold", at, PART)]

    async def compare(self, bill: BillSums, books: DayBooks, told: Iterable[BilledCall]) -> DayComparison:
        """Compare the day that was looked at; told: what is known of calls beside the bill."""
        known = [*told]
        for at in range(0, len(known), PART):
            await self._do("tell", known[at : at + PART])
        size: ComparisonSize = await self._do("compare", bill, books)
        entries = list[DriftEntry]()
        for at in range(0, size.entries, PART):
            entries += await self._do("entries", at, PART)
        pairs = dict[str, int]()
        for at in range(0, size.pairs, PART):
            pairs.update(await self._do("pairs", at, PART))
        return DayComparison(size.booked_pusd, size.billed_pusd, tuple(entries), pairs)

    async def _do(self, method: str, *arguments: Any) -> Any:
        if self._process is not None:
            return await asyncio.to_thread(self._process.do, method, arguments)
        return await asyncio.to_thread(getattr(self._here, method), *arguments)
