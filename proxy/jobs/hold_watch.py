"""Compare what is reserved with the running requests: a hold without an owner is reported.

Money is never freed in silence. A hold whose row is open is settled like the requests that a crash left open; one whose
row has ended ends as the row says; only one that has no row at all, so that nothing can have been sent, is given back.
"""

import asyncio
import logging

from proxy.core.errors import TollkeeperError
from proxy.jobs.settle_pending import SettlePending
from proxy.pipeline.services import Services
from proxy.storage.rows import id_text

log = logging.getLogger("tollkeeper.holds")

_EVERY_S = 1.0


class HoldWatch:
    """The job. count: holds that had no owner at the last look."""

    def __init__(self, services: Services, pending: SettlePending) -> None:
        self._services = services
        self._pending = pending
        self._seen: frozenset[int] = frozenset()  # without an owner at the check before
        self._told_places = 0
        self.count = 0

    async def run(self) -> None:
        """Run until cancelled."""
        while True:
            await asyncio.sleep(_EVERY_S)
            await self.check()

    async def check(self) -> None:
        """Check once. A hold that has had no owner twice in a row is logged and ended."""
        ownerless = self._ownerless()
        stale = sorted(ownerless & self._seen)
        self._seen = ownerless
        places = self._places()
        self.count = len(ownerless) + places
        if places > self._told_places:
            log.warning("hold.without_owner", extra={"kind": "line or key", "count": places})
        self._told_places = places
        for request_id in stale:
            await self._end(request_id)

    def _ownerless(self) -> frozenset[int]:
        services = self._services
        owners = services.in_flight.ids() | self._pending.ids()
        held = {*services.limiter.open_ids()} | services.claims.ids()
        return frozenset(held - owners)

    def _places(self) -> int:
        """Count the places in providers' lines beyond the requests that run: each of these has one at most."""
        views = self._services.health.views().values()
        return sum(max(0, (view.running or 0) - len(self._services.in_flight)) for view in views)

    async def _end(self, request_id: int) -> None:
        """End a hold by what the ledger says, read after all queued writes, so that an end under way comes first."""
        services, limiter = self._services, self._services.limiter
        services.claims.drop(request_id)
        try:
            row = await services.ledger.state(request_id)
        except TollkeeperError:
            return  # the disk refuses: the writer keeps the end, and is its owner until it lands
        if request_id not in limiter.open_ids():
            return
        extra = {"request_id": id_text(request_id), "held_pusd": limiter.held_pusd(request_id)}
        if row is None:
            log.warning("hold.without_owner", extra={**extra, "kind": "quota", "then": "given back: it has no row"})
            await limiter.release(request_id)
        elif row.state in ("open", "pending"):
            log.warning("hold.without_owner", extra={**extra, "kind": "quota", "then": "being settled"})
            await limiter.settle(request_id, "pending", None, 0)
            services.look_up_later(request_id)
        else:
            log.warning("hold.without_owner", extra={**extra, "kind": "quota", "then": "ended as its row"})
            await limiter.settle(request_id, row.state, row.cost_pusd, row.tokens, row.pieces, row.answer)
