"""Long looks at the ledger by a process of their own, which gives way to requests; short ones by a thread."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Final, TypeVar

from proxy.core.child_pool import ChildPool
from proxy.core.child_process import ChildGoneError, ChildProcess
from proxy.core.errors import CallerError
from proxy.storage.ledger_place import LedgerPlace
from proxy.storage.reports import Reports

log = logging.getLogger("tollkeeper.reports")
T = TypeVar("T")
_MAKER: Final = "proxy.storage.report_process:open_reader"
_AT_ONCE: Final = 2  # processes
# Below it a look takes less than it takes to start a process: some hundred thousand requests.
_LARGE_BYTES: Final = 100_000_000


class LongLooks:
    """Reads for whoever asks the operator's API. place None: no other process can, and threads do it."""

    def __init__(self, reports: Reports, place: LedgerPlace | None, large_bytes: int = _LARGE_BYTES) -> None:
        self._reports = reports
        self._place = place
        self._large_bytes = large_bytes
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._pool: ChildPool[ChildProcess] = ChildPool(self._make, _AT_ONCE)

    async def read(self, report: Callable[..., T], *arguments: Any) -> T:
        """Return report(reports, *arguments): a function of a module, what can be pickled, and the least of it.

        What it returns is bytes best: while they are taken over, nobody else has the interpreter. A look that nobody
        waits for any more ends. Raises what the report raises.
        """
        if self._place is None or await asyncio.to_thread(self._reports.size_bytes) < self._large_bytes:
            return await asyncio.to_thread(report, self._reports, *arguments)
        async with self._turns:
            found: tuple[bool, T] = await self._read_apart(report, arguments)
        is_answer, answer = found
        if is_answer:
            return answer
        return await asyncio.to_thread(report, self._reports, *arguments)

    async def _read_apart(self, report: Callable[..., T], arguments: Sequence[Any]) -> Any:
        """Return what LongReader.read() does; also where its process is gone."""
        child, is_well = self._pool.take(), False
        try:
            found = await asyncio.to_thread(child.do, "read", (report, arguments))
            is_well = True
        except ChildGoneError as error:
            log.warning("reports.process_gone", extra={"problem": f"the process that reads reports {error}"})
            found = (False, None)
        finally:
            await self._pool.give_back(child, is_well=is_well)
        return found

    def _make(self) -> ChildProcess:
        assert self._place is not None
        return ChildProcess(_MAKER, self._place.opened_by, str(self._place.path.absolute()))

    async def close(self) -> None:
        """End the processes."""
        await self._pool.close()


class LongReader:
    """What the process is asked for."""

    def __init__(self, reports: Reports) -> None:
        self._reports = reports

    def read(self, report: Callable[..., T], arguments: Sequence[Any]) -> tuple[bool, T | None]:
        """Return whether there is an answer, and it; who asked for what is refused is told why by who asked us."""
        try:
            return True, report(self._reports, *arguments)
        except CallerError:
            return False, None


def open_reader(opened_by: str, path: str) -> LongReader:
    """Return what reads a ledger; opened_by names what opens path for reports, as package.module:function."""
    module, _, name = opened_by.partition(":")
    return LongReader(getattr(import_module(module), name)(Path(path)))
