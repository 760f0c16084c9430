"""The requests that are being answered; shutdown waits for them."""

from proxy.core.latch import Latch
from proxy.pipeline.context import RequestContext


class InFlight:
    """A set of requests and a wait for it to be empty."""

    def __init__(self) -> None:
        self._calls: set[RequestContext] = set()
        self._empty: Latch | None = None

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
        if self._empty is not None and not self._calls:
            self._empty.set()

    async def wait_empty(self, timeout_s: float) -> int:
        """Wait until no call is left, at most timeout_s; return how many are."""
        if self._calls:
            self._empty = Latch()
            await self._empty.wait(timeout_s)
        return len(self._calls)
