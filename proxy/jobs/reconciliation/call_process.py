"""The process that goes over the calls of busy days; one for all days of a sync, kept a while for the next."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from proxy.core.child_process import ChildGoneError, ChildProcess
from proxy.providers.account.source import AccountError

_MAKER: Final = "proxy.jobs.reconciliation.day_calls:open_calls"
_KEPT_S: Final = 60.0


class LedgerPlace(NamedTuple):
    """How another process reads the ledger: by which function, as package.module:function, from which file."""

    opened_by: str
    path: Path


class CallProcess:
    """Asked for methods of DayCalls, after begin(DAY_MS). do() blocks, and is for threads."""

    def __init__(self, place: LedgerPlace) -> None:
        self.child = ChildProcess(_MAKER, place.opened_by, str(place.path.absolute()))

    def do(self, method: str, arguments: Sequence[Any]) -> Any:
        """Return what a method returns; raises LedgerError, or AccountError where the process is gone."""
        try:
            return self.child.do(method, arguments)
        except ChildGoneError as error:
            text = (
                f"The process that reads the bill {error}: what it said is on the proxy's standard error; a system that"
                " runs out of memory kills without a word. Nothing was compared. Try again: tollkeeper sync."
            )
            # the provider is not to blame: not asked again and again
            raise AccountError("unreadable", text, was_sent=False) from None


class CallProcesses:
    """Starts processes, and keeps one that has ended a day well for the next: to start takes half a second."""

    def __init__(self, place: LedgerPlace, kept_s: float = _KEPT_S) -> None:
        self._place = place
        self._kept_s = kept_s
        self._kept: CallProcess | None = None
        self._end: asyncio.TimerHandle | None = None
        self._ending: asyncio.Future[None] | None = None
        self._is_closed = False

    def take(self) -> CallProcess:
        """Return the one that is kept, or one that will be started."""
        kept, self._kept = self._kept, None
        if self._end is not None:
            self._end.cancel()
        return kept or CallProcess(self._place)

    async def give_back(self, process: CallProcess, *, is_well: bool) -> None:
        """Keep a process for a while; end one that may still be busy with what nobody waits for."""
        if not is_well or self._is_closed or self._kept is not None:
            await asyncio.shield(asyncio.to_thread(process.child.close))
            return
        self._kept = process
        self._end = asyncio.get_running_loop().call_later(self._kept_s, self._end_kept)

    def _end_kept(self) -> None:
        kept, self._kept = self._kept, None
        if kept is not None:
            self._ending = asyncio.get_running_loop().run_in_executor(None, kept.child.close)

    async def close(self) -> None:
        """End the one that is kept, and keep none any more."""
        self._is_closed = True
        if self._end is not None:
            self._end.cancel()
        self._end_kept()
        if self._ending is not None:
            await self._ending
