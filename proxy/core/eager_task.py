"""Run a coroutine without a task: it begins at once, and goes on within whatever ends its wait.

A task would cost a turn of the loop at the start and at each wait. In return there is no current task: what needs one
(asyncio.timeout) must be given a task of its own and be awaited.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from proxy.core.inline_future import InlineFuture

T = TypeVar("T")
Ended = Callable[[T | None, BaseException | None], None]  # what it returned, or what it raised


class EagerTask(Generic[T]):
    """One coroutine that awaits Waiters and asyncio's futures."""

    __slots__ = ("_coroutine", "_ended", "_loop", "_waits_for")

    def __init__(self, loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, None, T], ended: Ended[T]) -> None:
        self._loop = loop
        self._coroutine = coroutine
        self._ended = ended
        self._waits_for: Any = None

    def step(self, _future: object = None) -> None:
        """Run until the next wait or to the end."""
        self._waits_for = None
        try:
            future = self._coroutine.send(None)
        except StopIteration as stop:
            self._ended(stop.value, None)
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - handed on, as a task hands it on
            self._ended(None, error)
        else:
            if future.__class__ is not InlineFuture:
                self._wait(future)
                return
            self._waits_for = future
            future._asyncio_future_blocking = False  # noqa: SLF001 - by this name tasks take a future over
            future.step = self.step

    def cancel(self) -> None:
        """Raise CancelledError where the coroutine waits."""
        if self._waits_for is not None:
            self._waits_for.cancel()

    def _wait(self, future: Any) -> None:
        if future is None:  # asyncio.sleep(0)
            self._loop.call_soon(self.step)
            return
        self._waits_for = future
        future._asyncio_future_blocking = False  # noqa: SLF001 - as above
        future.add_done_callback(self.step)
