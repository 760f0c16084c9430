"""Book what the bill knows better than the ledger: a request at what it cost, a call without a request apart."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, Protocol
from zoneinfo import ZoneInfo

from proxy.pipeline.snapshot import Live
from proxy.policy.reconciliation.day_comparison import DriftEntry
from proxy.policy.reconciliation.drift_class import BY_NAME
from proxy.storage.adjustment import Booked, Correction, UnattachedCost
from proxy.storage.reconciliation import SOURCE

_AT_ONCE: Final = 200  # of one transaction: some milliseconds of the writer's time
_PAUSE_S: Final = 0.02  # for the requests that wait behind it


class LateBooking(Protocol):
    """What books in the ledger, and moves what is kept of it in memory."""

    async def correct(self, corrections: Sequence[Correction]) -> tuple[Booked, ...]:
        """Book what requests cost after all."""
        ...

    async def book_unattached(self, costs: Sequence[UnattachedCost]) -> tuple[Booked, ...]:
        """Book what belongs to no request."""
        ...


class BillCorrections:
    """Turns differences into bookings."""

    def __init__(self, booking: LateBooking, live: Live) -> None:
        self._booking = booking
        self._live = live

    @property
    def are_wanted(self) -> bool:
        """Return whether the configuration lets differences be booked."""
        return self._live.current.settings.reconcile.apply == "adjust"

    async def book(self, provider: str, entries: Sequence[DriftEntry], keys: Mapping[str, str]) -> bool:
        """Book what follows from the differences, and return whether anything has changed. keys: names by hash."""
        zone = self._live.current.zone
        corrections = corrections_of(provider, entries)
        costs = costs_apart(provider, entries, keys, zone)
        has_changed = False
        for at in range(0, len(corrections), _AT_ONCE):
            booked = await self._booking.correct(corrections[at : at + _AT_ONCE])
            has_changed = has_changed or any(one.amount_pusd for one in booked)
            await asyncio.sleep(_PAUSE_S)
        for at in range(0, len(costs), _AT_ONCE):
            booked = await self._booking.book_unattached(costs[at : at + _AT_ONCE])
            has_changed = has_changed or any(one.amount_pusd for one in booked)
            await asyncio.sleep(_PAUSE_S)
        return has_changed


def corrections_of(provider: str, entries: Sequence[DriftEntry]) -> list[Correction]:
    """Return what requests are to be booked at; the reason begins with the name of the class."""
    return [
        Correction(
            entry.request_id,
            entry.actual_pusd,
            _reason(entry),
            f"{SOURCE}{provider}",
            attempt=entry.attempt,
            is_bill=True,
        )
        for entry in entries
        if entry.request_id is not None and entry.actual_pusd is not None
    ]


def costs_apart(
    provider: str, entries: Sequence[DriftEntry], keys: Mapping[str, str], zone: ZoneInfo
) -> list[UnattachedCost]:
    """Return the calls without a request that are to be booked, on the second in which they were made.

    Days and windows of zones that are off UTC by parts of an hour begin within an hour. Where only the hour is known it
    is that hour's beginning.
    """
    return [
        UnattachedCost(
            at_ms=at_ms,
            day=datetime.fromtimestamp(at_ms / 1000, zone).date().isoformat(),
            provider=provider,
            model=entry.model,
            key=keys.get(entry.key_hash, ""),
            actual_pusd=entry.actual_pusd,
            reason=_reason(entry),
            source=f"{SOURCE}{provider}",
            reference=entry.generation_id,
        )
        for entry in entries
        for at_ms in [entry.hour_ms if entry.at_ms is None else entry.at_ms]
        if entry.request_id is None and entry.generation_id is not None and entry.actual_pusd is not None
    ]


def _reason(entry: DriftEntry) -> str:
    return f"{entry.drift_class}: {BY_NAME[entry.drift_class].meaning}"
