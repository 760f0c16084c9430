"""Every test of the transports runs over both of them, on asyncio's own loop and on uvloop."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Mapping

import pytest
import uvloop

from proxy.providers.transport.aiohttp_transport import AiohttpTransport
from proxy.providers.transport.network import DIRECT, Network
from proxy.providers.transport.pool.pool import PooledTransport
from tests.providers.scripted import always, plain, serving
from tests.support.leaks import nothing_leaks

Make = Callable[..., AiohttpTransport | PooledTransport]
_OF_TRANSPORTS = ("test_transport", "test_pool")


def pytest_asyncio_loop_factories(
    item: pytest.Item,
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    if item.path.name.startswith(_OF_TRANSPORTS):
        return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
    return {"asyncio": asyncio.new_event_loop}


@pytest.fixture(params=["aiohttp", "pool"])
def kind(request: pytest.FixtureRequest) -> str:
    """Which transport: for what the two are allowed to do differently."""
    return str(request.param)


@pytest.fixture
async def watched() -> AsyncIterator[None]:
    """No task and no descriptor may be left when the test ends."""
    async with serving(always(plain(b""))):  # uvloop opens descriptors of its own when it first listens
        pass
    async with nothing_leaks():
        yield


@pytest.fixture
async def make(kind: str, watched: None) -> AsyncIterator[Make]:
    """Make transports that are closed when the test ends."""
    del watched
    made: list[AiohttpTransport | PooledTransport] = []

    def build(
        base_url: str, verify: ssl.SSLContext | None = None, network: Network = DIRECT
    ) -> AiohttpTransport | PooledTransport:
        transport = PooledTransport if kind == "pool" else AiohttpTransport
        made.append(transport(base_url, network, verify=verify))
        return made[-1]

    yield build
    for transport in made:
        await transport.close()
