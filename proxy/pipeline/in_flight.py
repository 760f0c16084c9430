"""The calls that are being answered; shutdown waits for them."""

import asyncio

from proxy.pipeline.call import Call


class InFlight:
    """A set of calls and the wait for it to be empty."""

    def __init__(self) -> None:
        self._calls: set[Call] = set()
        self._empty: asyncio.Future[None] | None = None

    def __len__(self) -> int:
        return len(self._calls)

    def waiting(self) -> list[Call]:
        """Return the calls for whose streams a sign of life may be put in, and whose clients are there."""
        return [call for call in self._calls if call.waits_since_s and not call.gone]

    def ids(self) -> frozenset[int]:
        return frozenset([call.id for call in self._calls])

    def add(self, call: Call) -> None:
        self._calls.add(call)

    def remove(self, call: Call) -> None:
        self._calls.discard(call)
        if self._empty is not None and not self._calls and not self._empty.done():
            self._empty.set_result(None)

    async def wait_empty(self, timeout_s: float) -> int:
        """Wait until no call is left, at most timeout_s; give how many are."""
        if self._calls:
            self._empty = asyncio.get_running_loop().create_future()
            await asyncio.wait((self._empty,), timeout=timeout_s)
        return len(self._calls)
