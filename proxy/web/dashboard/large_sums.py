"""Sums that a page shows: read for each look, but those of a large ledger kept for a while."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from proxy.web.dashboard.view import DashboardRequest

T = TypeVar("T")
# Below it nothing is kept: sums are read in milliseconds.
_LARGE_BYTES: Final = 50_000_000


async def read_sums(request: DashboardRequest, name: str, make: Callable[[], Awaitable[T]]) -> T:
    """Return sums of the page's period. name: of the page and of what is summed there; the same for all who look."""
    services = request.deps.services
    if await asyncio.to_thread(services.reports.size_bytes) < _LARGE_BYTES:
        return await make()
    return await request.deps.dashboard.answers.read(f"{name} {request.period.word}", services.clock, make)
