"""Book costs that become known late, and move what is kept in memory with them: the one way to do both.

Fails closed: nothing in memory moves before its row is on disk, and then all of it does, whoever waits for it or not.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

from msgspec.structs import replace

from proxy.core.clock import Clock
from proxy.core.money import pusd_to_usd
from proxy.jobs.settle_pending import SettlePending
from proxy.pipeline.admission.limiter import Limiter
from proxy.pipeline.events import Publisher
from proxy.pipeline.upstream.key_limits import KeyUse
from proxy.policy.quota import scopes_of
from proxy.storage.adjustment import Booked, Correction, UnattachedCost
from proxy.storage.audit import Actor
from proxy.storage.ledger import Ledger
from proxy.storage.rows import id_text

log = logging.getLogger("tollkeeper.settle")

_AT_ONCE = 100  # of one transaction: a few milliseconds of the writer's time

T = TypeVar("T")


class LateTruths:
    """Books what requests cost after all, for whoever learns it: look-ups that come late, the reconciliation."""

    def __init__(
        self,
        ledger: Ledger,
        limiter: Limiter,
        key_use: KeyUse,
        clock: Clock,
        events: Publisher,
        pending: SettlePending,
    ) -> None:
        self._ledger = ledger
        self._limiter = limiter
        self._key_use = key_use
        self._clock = clock
        self._events = events
        self._pending = pending
        self._writing: set[asyncio.Future[tuple[Booked, ...]]] = set()

    async def correct(self, corrections: Sequence[Correction], actor: Actor | None = None) -> tuple[Booked, ...]:
        """Book what requests cost after all; one result each, in order. actor: the person who says so.

        A request that waits for its cost is settled. Raises LedgerUnavailableError: then some of them, from the last
        on, are not booked, and the same call again books only these.
        """
        found: list[Booked] = []
        for part in _slices(corrections):
            found += await self._correct(part, actor)
        for place, booked in enumerate(found):
            if booked.how == "pending":
                found[place] = await self._settle(corrections[place], booked, actor)
        return tuple(found)

    async def book_unattached(self, costs: Sequence[UnattachedCost]) -> tuple[Booked, ...]:
        """Book what belongs to no request; one result each, in order. Raises as correct() does."""
        found: list[Booked] = []
        for part in _slices(costs):
            found += await self._book(partial(self._ledger.book_unattached, part, self._clock.now_ms(), self._move))
        return tuple(found)

    async def close(self) -> None:
        """Return once all that is on its way to the disk is there."""
        await asyncio.gather(*self._writing, return_exceptions=True)

    async def _settle(self, correction: Correction, booked: Booked, actor: Actor | None) -> Booked:
        """Settle a request that waits for its cost, then correct what could not be settled so."""
        is_settled = await self._pending.settle_at(
            correction.request_id, correction.actual_pusd, is_bill=correction.is_bill
        )
        (found,) = await self._correct((correction,), actor)
        if not is_settled:
            return found
        return replace(found, how="settled", booked_pusd=0, amount_pusd=found.actual_pusd - booked.booked_pusd)

    def _correct(self, corrections: Sequence[Correction], actor: Actor | None) -> Awaitable[tuple[Booked, ...]]:
        return self._book(partial(self._ledger.correct, corrections, self._clock.now_ms(), self._move, actor))

    async def _book(self, write: Callable[[], Awaitable[tuple[Booked, ...]]]) -> tuple[Booked, ...]:
        """Write, in a task of its own: what was begun ends with what is in memory, also where its caller is cut off."""

        async def locked() -> tuple[Booked, ...]:
            async with self._limiter.past_lock:
                return await write()

        task = asyncio.ensure_future(locked())
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)
        return await asyncio.shield(task)

    def _move(self, booked: tuple[Booked, ...]) -> None:
        """Move what is kept in memory; called by the ledger right after the commit."""
        for one in booked:
            if one.adjustment_id is None or one.spending is None:
                continue
            spending, limiter = one.spending, self._limiter
            scopes = scopes_of(spending.user, spending.group or None, None, spending.above or None)
            if spending.use_case:
                scopes = limiter.scopes_with(scopes, spending.use_case)
            limiter.adjust(scopes, one.at_ms, one.amount_pusd, spending.answer)
            if one.charged is not None:
                requests = int(one.is_new)  # a row that was lost is a request that was never counted
                self._key_use.adjust(one.charged.provider, one.charged.key, one.at_ms, one.amount_pusd, requests)
            self._events.adjusted(one)
            _log(one)


def _log(one: Booked) -> None:
    log.info(
        "cost.adjusted",
        extra={
            "request_id": None if one.request_id is None else id_text(one.request_id),
            "reference": one.reference,
            "user": one.spending.user if one.spending is not None else None,
            "booked_usd": pusd_to_usd(one.booked_pusd),
            "actual_usd": pusd_to_usd(one.actual_pusd),
            "amount_usd": pusd_to_usd(one.amount_pusd),
            "reason": one.reason,
            "source": one.source,
        },
    )


def _slices(all_of_them: Sequence[T]) -> list[Sequence[T]]:
    return [all_of_them[at : at + _AT_ONCE] for at in range(0, len(all_of_them), _AT_ONCE)]
