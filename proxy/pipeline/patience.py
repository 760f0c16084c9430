"""How long the end of an answer waits for the disk: one timer for all that wait, in place of one for each."""

import asyncio
from collections import deque
from collections.abc import Callable

from proxy.core.waiter import Waiter


class Patience:
    """Those that wait, in the order in which they began."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[float, Waiter[None], Callable[[Waiter[None]], None]]] = deque()
        self._is_timed = False

    def expect(self, written: Waiter[None], wait_s: float, give_up: Callable[[Waiter[None]], None]) -> None:
        """Have give_up called with a waiter that is not done after wait_s, or little later."""
        waiting = self._waiting
        while waiting and waiting[0][1].is_done:  # they hold whole requests, and the disk takes them in order
            waiting.popleft()
        loop = written.loop
        waiting.append((loop.time() + wait_s, written, give_up))
        if not self._is_timed:
            self._is_timed = True
            loop.call_later(wait_s, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        waiting = self._waiting
        while waiting and (waiting[0][1].is_done or waiting[0][0] <= loop.time()):
            _, written, give_up = waiting.popleft()
            if not written.is_done:
                give_up(written)
        self._is_timed = bool(waiting)
        if waiting:
            loop.call_at(waiting[0][0], self._look, loop)
