"""The requests that are being answered; shutdown waits for them."""

import asyncio
import time
from collections.abc import Iterator

from proxy.pipeline.context import RequestContext

_LOOK_S = 0.01


class InFlight:
    """A set of requests and a wait for it to be empty."""

    def __init__(self) -> None:
        self._calls: set[RequestContext] = set()
        self.add = self._calls.add
        self.remove = self._calls.discard

    def __len__(self) -> int:
        return len(self._calls)

    def __iter__(self) -> Iterator[RequestContext]:
        return iter(tuple(self._calls))

    def waiting(self) -> list[RequestContext]:
        """Return the calls for whose streams a sign of life may be put in, and whose clients are there."""
        return [context for context in self._calls if context.waits_since_s and not context.gone]

    def contexts(self) -> list[RequestContext]:
        """Return all of them, in no order."""
        return list(self._calls)

    def ids(self) -> frozenset[int]:
        return frozenset([context.id for context in self._calls])

    async def wait_empty(self, timeout_s: float) -> int:
        """Wait until no call is left, at most timeout_s; return how many are.

        Only shutdown waits, so it looks again and again: what ends a request pays nothing for it.
        """
        deadline_s = time.monotonic() + timeout_s
        while self._calls and time.monotonic() < deadline_s:  # noqa: ASYNC110 - as said above
            await asyncio.sleep(_LOOK_S)
        return len(self._calls)
