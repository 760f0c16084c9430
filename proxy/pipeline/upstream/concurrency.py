"""A line before a provider that takes only so many attempts at once: first come, first served, bounded both ways."""

import asyncio
from collections import deque
from typing import Literal

from proxy.pipeline.context import RequestContext

Unserved = Literal["queue_full", "queue_timeout"]


class ConcurrencyLimit:
    """At most ``most`` attempts run, at most ``queue_max`` wait. Both may change while some do."""

    def __init__(self, most: int, queue_max: int) -> None:
        self.most = most
        self.queue_max = queue_max
        self.running = 0
        self._waiting: deque[asyncio.Future[bool]] = deque()

    def __len__(self) -> int:
        """Count those that wait."""
        return len(self._waiting)

    async def enter(self, context: RequestContext, timeout_s: float) -> Unserved | None:
        """Take a place, which leave() gives back; or tell why there is none. One whose client goes stops waiting."""
        if self.running < self.most and not self._waiting:
            self.running += 1
            return None
        if len(self._waiting) >= self.queue_max:
            return "queue_full"
        return None if await self._served(context, timeout_s) else "queue_timeout"

    async def _served(self, context: RequestContext, timeout_s: float) -> bool:
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[bool] = loop.create_future()
        self._waiting.append(waiter)
        timer = loop.call_later(timeout_s, _tell, waiter)
        context.when_gone(lambda: _tell(waiter))
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.result():
                self.leave()
            raise
        finally:
            timer.cancel()
            context.when_gone(None)
            if waiter in self._waiting:
                self._waiting.remove(waiter)

    def leave(self) -> None:
        """Give a place back."""
        self.running -= 1
        self.serve()

    def serve(self) -> None:
        """Let in whoever there is a place for; also to be called when ``most`` has grown."""
        while self._waiting and self.running < self.most:
            waiter = self._waiting.popleft()
            if not waiter.done():
                self.running += 1
                waiter.set_result(True)


def _tell(waiter: asyncio.Future[bool]) -> None:
    if not waiter.done():
        waiter.set_result(False)
