"""The server behind the fast path: loaded once, by the first connection that needs it, while the loop goes on."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from proxy.web.server.aiohttp_server import UserServer
from proxy.web.server.on_demand_server import OnDemandServer
from tests.support.patience import eventually
from tests.support.raw import connect, request_bytes
from tests.support.stand import stand as run_stand

LIMITS = request_bytes("GET", "/v1/me/limits")  # without a token: 401


async def test_connections_wait_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a connection has sent is kept; one that closes meanwhile harms none; the fast path answers all the while."""
    goes_on = threading.Event()
    loads = []
    async with run_stand(tmp_path) as stand:
        server = _users_server(stand.app._servers)
        makes = server._load

        def slowly() -> Callable[[], UserServer]:
            loads.append(threading.current_thread())
            assert goes_on.wait(30)
            return makes()

        monkeypatch.setattr(server, "_load", slowly)
        async with await connect(stand.port) as first, await connect(stand.port) as second:
            await first.send(LIMITS)
            gone = await connect(stand.port)
            await gone.send(LIMITS)
            await second.send(LIMITS[:20])  # its head is not complete
            await eventually(lambda: _are(server, 3))
            await gone.close()
            assert (await stand.ask("GET", "/healthz")).status == 200
            goes_on.set()
            assert (await first.read_answer()).status == 401
            await second.send(LIMITS[20:])
            assert (await second.read_answer()).status == 401
            await first.send(LIMITS)
            assert (await first.read_answer()).status == 401
            await eventually(lambda: _are(server, 2))
    assert len(loads) == 1
    assert loads[0] is not threading.main_thread()


async def test_one_that_cannot_be_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The connection is closed and the log says why; the next one tries again."""
    async with run_stand(tmp_path) as stand:
        server = _users_server(stand.app._servers)

        def failing() -> Callable[[], UserServer]:
            raise ModuleNotFoundError("No module named 'aiohttp'")

        with monkeypatch.context() as patched:
            patched.setattr(server, "_load", failing)
            async with await connect(stand.port) as client:
                await client.send(LIMITS)
                assert await client.read_some() == b""
        assert "No module named 'aiohttp'" in caplog.text
        assert (await stand.ask("GET", "/v1/me/limits", token=None)).status == 401


async def test_the_end_does_not_wait_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    goes_on = threading.Event()
    async with run_stand(tmp_path) as stand:
        server = _users_server(stand.app._servers)

        def slowly() -> Callable[[], UserServer]:
            assert goes_on.wait(30)
            raise AssertionError("nobody asks for it any more")

        monkeypatch.setattr(server, "_load", slowly)
        async with await connect(stand.port) as idle, await connect(stand.port) as asking:
            await asking.send(LIMITS)
            await eventually(lambda: _are(server, 1))
            server.pre_shutdown()
            assert server.connections, "a request has come: it is answered if time allows"
            await server.shutdown(1)
            assert await asking.read_some() == b""
            await idle.send(request_bytes("GET", "/healthz"))
            assert (await idle.read_answer()).status == 200
        goes_on.set()


def _users_server(servers: object) -> OnDemandServer:
    assert isinstance(servers, list)
    return next(server for server in servers if isinstance(server, OnDemandServer))


async def _are(server: OnDemandServer, number: int) -> bool:
    return len(server.connections) == number
