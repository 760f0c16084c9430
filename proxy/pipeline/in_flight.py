"""The calls that are being answered; shutdown waits for them."""

import asyncio

from proxy.pipeline.context import RequestContext


class InFlight:
    """A set of calls and the wait for it to be empty."""

    def __init__(self) -> None:
        self._calls: set[RequestContext] = set()
        self._empty: asyncio.Future[None] | None = None

    def __len__(self) -> int:
        return len(self._calls)

    def waiting(self) -> list[RequestContext]:
        """Return the calls for whose streams a sign of life may be put in, and whose clients are there."""
        return [context for context in self._calls if context.waits_since_s and not context.gone]

    def ids(self) -> frozenset[int]:
        return frozenset([context.id for context in self._calls])

    def add(self, context: RequestContext) -> None:
        self._calls.add(context)

    def remove(self, context: RequestContext) -> None:
        self._calls.discard(context)
        if self._empty is not None and not self._calls and not self._empty.done():
            self._empty.set_result(None)

    async def wait_empty(self, timeout_s: float) -> int:
        """Wait until no call is left, at most timeout_s; give how many are."""
        if self._calls:
            self._empty = asyncio.get_running_loop().create_future()
            await asyncio.wait((self._empty,), timeout=timeout_s)
        return len(self._calls)
