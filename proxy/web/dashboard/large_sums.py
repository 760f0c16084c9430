"""Sums that a page shows: read for each look, but those of a large ledger kept for a while."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Final, Generic, TypeVar

from proxy.web.dashboard.view import Look

T = TypeVar("T")
# Below it nothing is kept: sums are read in milliseconds.
_LARGE_BYTES: Final = 50_000_000


class PeriodSums(Generic[T]):
    """Sums of a period. kept_from: the time of day at which they were read, if that was an earlier look."""

    def __init__(self, value: T, kept_from: str | None) -> None:
        self.value = value
        self.kept_from = kept_from


async def read_sums(look: Look, name: str, make: Callable[[], Awaitable[T]]) -> PeriodSums[T]:
    """Return sums of the page's period. name: of the page and of what is summed there; the same for all who look."""
    services = look.deps.services
    if await asyncio.to_thread(services.reports.size_bytes) < _LARGE_BYTES:
        return PeriodSums(await make(), None)
    zone, period = look.zone, look.period

    async def read() -> tuple[int, T]:
        return services.clock.now_ms(), await make()

    # what begins with another day, or is cut into those of another zone, is something else
    day = datetime.fromtimestamp(look.now_ms / 1000, zone).date()
    key = f"{name} {period.word} {period.since_ms} {day} {zone.key}"
    read_ms, value = await look.deps.dashboard.answers.read(key, services.clock, read)
    is_kept = read_ms < look.now_ms
    return PeriodSums(value, f"{datetime.fromtimestamp(read_ms / 1000, zone):%H:%M:%S}" if is_kept else None)
