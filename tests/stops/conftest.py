"""The stops of an installation that a test module runs, all of them over when a test is."""

from collections.abc import AsyncIterator

import pytest_asyncio

from proxy.pipeline.stops import Stops
from proxy.storage.audit import Actor
from tests.support.stand import Stand


@pytest_asyncio.fixture(loop_scope="module")
async def stops(stand: Stand) -> AsyncIterator[Stops]:
    await stand.clear()
    found = stand.app.services.stops
    yield found
    for stop in found.active:
        await found.end(stop, Actor("root", "socket"))
