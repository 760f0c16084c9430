"""The limiter: the book of totals, and the requests that wait for a reservation to end.

Fails closed: nothing passes that the book did not admit in one step without an await.
"""

from collections.abc import Sequence

from proxy.core.latch import Latch
from proxy.core.limit_kinds import NO_PIECES
from proxy.policy.quota import Amounts, Hold, LimitExceeded, Quota, QuotaBook


class MemoryLimiter:
    """One book and the requests that wait; everything is called from the event loop."""

    def __init__(self, book: QuotaBook) -> None:
        self.book = book
        self.reserve = book.check_and_reserve
        self.open_in = book.open_in  # counts the reservations that are open in a scope
        self._waiting: set[Latch] = set()

    def cancel(self, id_: int) -> None:
        """Cancel a reservation whose row was never written."""
        self.book.release(id_, counts=False)
        self._wake()

    def extend(self, id_: int, more: Amounts, quotas: Sequence[Quota]) -> Hold | LimitExceeded:
        """Hold more for an open request, before an attempt after one that may be billed."""
        return self.book.extend(id_, more, quotas)

    def take_back(self, id_: int, more: Amounts) -> None:
        """Undo a raised reservation whose row was never written."""
        self.book.take_back(id_, more)
        self._wake()

    def excess(self, id_: int, cost_pusd: int) -> None:
        """Hold what an attempt cost above its share, whatever the limits say."""
        self.book.note_excess(id_, cost_pusd)

    def cover(self, id_: int, cost_pusd: int) -> None:
        """Hold at least so much for a request that cost more than was reserved, before its row is on disk."""
        excess_pusd = cost_pusd - self.book.held_pusd(id_)
        if excess_pusd > 0:
            self.book.note_excess(id_, excess_pusd)

    def ended(
        self, id_: int, state: str, cost_pusd: int | None, tokens: int, pieces: tuple[int, ...] = NO_PIECES
    ) -> None:
        """Count an end that is on disk: what lowers a total happens only now. tokens, pieces: what limits count."""
        if state == "pending":
            self.book.stop_running(id_)
        elif state == "released":
            self.book.release(id_)
        else:
            self.book.settle(id_, cost_pusd or 0, tokens, pieces)
        if self._waiting:
            self._wake()

    async def changed(self, timeout_s: float) -> None:
        """Wait until some reservation ends, at most timeout_s."""
        latch = Latch()
        self._waiting.add(latch)
        try:
            await latch.wait(timeout_s)
        finally:
            self._waiting.discard(latch)

    def _wake(self) -> None:
        for latch in self._waiting:
            latch.set()
