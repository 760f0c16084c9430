"""Processes that answer questions, kept for a while after they have answered well: to start one takes half a second."""

import asyncio
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from proxy.core.child_process import ChildProcess

C = TypeVar("C", bound=ChildProcess)
_KEPT_S: Final = 60.0


class ChildPool(Generic[C]):
    """Makes processes and keeps up to kept_max of them, until kept_s after the last one was given back."""

    def __init__(self, make: Callable[[], C], kept_max: int = 1, kept_s: float = _KEPT_S) -> None:
        self._make = make
        self._kept_max = kept_max
        self._kept_s = kept_s
        self._kept: list[C] = []
        self._end: asyncio.TimerHandle | None = None
        self._ending: asyncio.Future[None] | None = None
        self._is_closed = False

    def take(self) -> C:
        """Return one that is kept, or one that will be started."""
        return self._kept.pop() if self._kept else self._make()

    async def give_back(self, child: C, *, is_well: bool) -> None:
        """Keep a process; end one that may still be busy with what nobody waits for."""
        if not is_well or self._is_closed or len(self._kept) >= self._kept_max:
            await asyncio.shield(asyncio.to_thread(child.close))
            return
        self._kept.append(child)
        if self._end is not None:
            self._end.cancel()
        self._end = asyncio.get_running_loop().call_later(self._kept_s, self._end_kept)

    def _end_kept(self) -> None:
        kept, self._kept = self._kept, []
        if kept:
            self._ending = asyncio.get_running_loop().run_in_executor(None, _close_all, kept)

    async def close(self) -> None:
        """End those that are kept, and keep none any more."""
        self._is_closed = True
        if self._end is not None:
            self._end.cancel()
        self._end_kept()
        if self._ending is not None:
            await self._ending


def _close_all(kept: list[C]) -> None:
    for child in kept:
        child.close()
