"""A wait that ends once, by what comes first: an event, a timer, a client that goes.

Neither needs a task, as asyncio.timeout() does, so that what an EagerTask runs can wait by it too. Those who wait go on
in a turn of the loop of their own, never within set().
"""

import asyncio


class Latch:
    """Something that one waits for. Only the first set() counts, and one that comes before the wait is not lost."""

    __slots__ = ("_future", "_loop")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._future: asyncio.Future[bool] = self._loop.create_future()

    @property
    def is_open(self) -> bool:
        """Return whether nothing has ended the wait yet."""
        return not self._future.done()

    @property
    def has_come(self) -> bool:
        """Return whether what is waited for has come, be it after its wait was cancelled."""
        return self._future.done() and not self._future.cancelled() and self._future.result()

    def set(self) -> None:
        """End the wait: what is waited for has come."""
        if not self._future.done():
            self._future.set_result(True)

    def give_up(self) -> None:
        """End the wait: it will not come, or nobody needs it any more."""
        if not self._future.done():
            self._future.set_result(False)

    async def wait(self, timeout_s: float | None = None) -> bool:
        """Return whether it came, within timeout_s if that is given."""
        timer = None if timeout_s is None else self._loop.call_later(timeout_s, self.give_up)
        try:
            return await self._future
        finally:
            if timer is not None:
                timer.cancel()
