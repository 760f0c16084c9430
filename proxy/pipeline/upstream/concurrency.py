"""A queue for a provider that takes only so many attempts at once: first come, first served, with both bounded."""

import asyncio
from collections import deque
from typing import Literal

from proxy.core.latch import Latch
from proxy.pipeline.context import RequestContext

Unserved = Literal["queue_full", "queue_timeout"]


class ConcurrencyLimit:
    """At most ``most`` attempts run, at most ``queue_max`` wait. Both may change while some do."""

    def __init__(self, most: int, queue_max: int) -> None:
        self.most = most
        self.queue_max = queue_max
        self.running = 0
        self._waiting: deque[Latch] = deque()

    def __len__(self) -> int:
        """Count those that wait."""
        return len(self._waiting)

    async def enter(self, context: RequestContext, timeout_s: float) -> Unserved | None:
        """Acquire a place, which leave() frees, or return why there is none. One whose client goes stops waiting."""
        if self.running < self.most and not self._waiting:
            self.running += 1
            return None
        if len(self._waiting) >= self.queue_max:
            return "queue_full"
        return None if await self._served(context, timeout_s) else "queue_timeout"

    async def _served(self, context: RequestContext, timeout_s: float) -> bool:
        place = Latch()
        self._waiting.append(place)
        try:
            return await context.wait_for(place, timeout_s)
        except asyncio.CancelledError:
            if place.has_come:
                self.leave()
            raise
        finally:
            if place in self._waiting:
                self._waiting.remove(place)

    def leave(self) -> None:
        """Free a place."""
        self.running -= 1
        self.serve()

    def serve(self) -> None:
        """Admit waiting requests while places are free; also to be called when ``most`` has grown."""
        while self._waiting and self.running < self.most:
            place = self._waiting.popleft()
            if place.is_open:
                self.running += 1
                place.set()
