"""Long work on the event loop, in steps between which requests have their turn."""

import asyncio
import time
from typing import Final

_MOST_S: Final = 0.0005  # what a request may wait for


class LoopTurn:
    """How long the event loop has been held: rest() in each pass of a loop that may be a long one.

    For what must run there, as it reads what only the loop may change; all else belongs into a thread.
    """

    __slots__ = ("_since_s",)

    def __init__(self) -> None:
        self._since_s = time.perf_counter()

    async def rest(self) -> None:
        """Let others run, if it has been held for half a millisecond."""
        if time.perf_counter() - self._since_s >= _MOST_S:
            await asyncio.sleep(0)
            self._since_s = time.perf_counter()
