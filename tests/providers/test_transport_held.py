"""The end of a request leaves only once it may; what goes out before is nothing that a provider could act on."""

import asyncio
from collections.abc import Callable

import pytest
from msgspec.structs import replace

from proxy.providers.transport.base import Transport, TransportError, UpstreamResponse
from tests.providers.conftest import Make
from tests.providers.scripted import BODY, DEADLINES, HEADERS, Peer, plain, read_all, serving
from tests.support.patience import eventually

SMALL, MEDIUM, LARGE = BODY, *(b'{"canary":"' + b"x" * size + b'"}' for size in (200_000, 700_000))


class Provider:
    """Reads all that comes, and answers each request once it is whole."""

    def __init__(self) -> None:
        self.came: list[bytes] = []  # by connection
        self.whole = 0
        self.on_piece: Callable[[Peer, bytes], None] = lambda _peer, _came: None

    async def play(self, peer: Peer) -> None:
        at = len(self.came)
        self.came.append(b"")
        begun = 0
        while piece := await peer.reader.read(1 << 16):
            self.came[at] += piece
            came = self.came[at][begun:]
            self.on_piece(peer, came)
            head, _, body = came.partition(b"\r\n\r\n")
            if b"Content-Length: " in head and len(body) == int(head.partition(b"Content-Length: ")[2].split(b"\r")[0]):
                begun += len(came)
                self.whole += 1
                await peer.send(plain(b"hi"))


class Gate:
    """What is awaited before the end."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.opens = asyncio.get_running_loop().create_future()

    async def wait(self) -> None:
        self.asked.set()
        await self.opens


async def post(transport: Transport, url: str, body: bytes, gate: Gate) -> UpstreamResponse:
    return await transport.send("POST", url + "/x", HEADERS, body, DEADLINES, gate.wait)


async def sent_after_an_answer(transport: Transport, url: str) -> UpstreamResponse:
    """Send a request whose end may leave once the provider has answered what came before it."""

    async def may_end() -> None:
        async def look() -> bool:
            return transport.connections().active == 0

        await eventually(look)

    return await transport.send("POST", url + "/x", HEADERS, BODY, DEADLINES, may_end)


async def begun(provider: Provider, body: bytes, kind: str) -> None:
    """Wait until all that may leave before the end has come."""

    async def look() -> bool:
        came = provider.came[-1].partition(b"\r\n\r\n") if provider.came else (b"", b"", b"")
        return bool(came[1]) and len(came[2]) >= max(0, len(body) - 1024)

    if kind == "pool":
        await eventually(look)


@pytest.mark.parametrize("body", [SMALL, LARGE], ids=["small", "large"])
async def test_the_end_waits_and_the_bytes_are_the_same(make: Make, body: bytes) -> None:
    provider = Provider()
    async with serving(provider.play) as server:
        transport = make(server.url)
        await read_all(await transport.send("POST", server.url + "/x", HEADERS, body, DEADLINES))
        in_one = provider.came.pop()
        await transport.close()
        transport = make(server.url)
        for n in range(2):  # over a new connection, and one that was kept
            gate = Gate()
            sending = asyncio.ensure_future(post(transport, server.url, body, gate))
            await gate.asked.wait()
            await asyncio.sleep(0.02)
            assert provider.whole == 1 + n
            gate.opens.set_result(None)
            answer = await sending
            assert (answer.status, await read_all(answer)) == (200, b"hi")
            assert provider.whole == 2 + n
        assert provider.came == [in_one * 2]


async def test_what_goes_out_before_the_end(make: Make, kind: str) -> None:
    if kind != "pool":
        pytest.skip("aiohttp waits before it sends anything")
    provider = Provider()
    async with serving(provider.play) as server:
        for body in (SMALL, MEDIUM):
            transport, gate = make(server.url), Gate()
            sending = asyncio.ensure_future(post(transport, server.url, body, gate))
            await gate.asked.wait()
            await begun(provider, body, kind)
            assert len(provider.came[-1].partition(b"\r\n\r\n")[2]) == max(0, len(body) - 1024)
            gate.opens.set_result(None)
            await read_all(await sending)


async def test_a_large_body_waits_whole(make: Make, kind: str) -> None:
    """A provider that stops reading it would otherwise be waited for before any deadline has begun."""

    async def hold(peer: Peer) -> None:
        peer.reader._transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.sleep(30)

    async with serving(hold) as server:
        transport, gate = make(server.url), Gate()
        deadlines = replace(DEADLINES, header_s=0.2, total_s=0.4)
        sending = asyncio.ensure_future(
            transport.send("POST", server.url + "/x", HEADERS, LARGE * 40, deadlines, gate.wait)
        )
        await gate.asked.wait()
        await asyncio.sleep(0.02)
        assert kind != "pool" or server.connections == 0
        gate.opens.set_result(None)
        with pytest.raises(TransportError):
            await sending
        assert transport.connections().active == 0


async def test_a_provider_that_waits_no_longer_for_the_end_is_asked_again(make: Make, kind: str) -> None:
    if kind != "pool":
        pytest.skip("aiohttp waits before it sends anything")
    provider = Provider()

    def give_up(peer: Peer, _came: bytes) -> None:
        if peer.n == 1:
            peer.writer.write(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")

    provider.on_piece = give_up
    async with serving(provider.play) as server:
        transport = make(server.url)
        answer = await sent_after_an_answer(transport, server.url)
        assert (answer.status, await read_all(answer)) == (200, b"hi")
        assert (provider.whole, server.connections) == (1, 2)


@pytest.mark.parametrize("how", ["raised", "cancelled"])
async def test_where_it_may_not_end_the_provider_gets_no_request(make: Make, kind: str, how: str) -> None:
    provider = Provider()
    async with serving(provider.play) as server:
        transport, gate, error = make(server.url), Gate(), RuntimeError("the row is not on disk")
        sending = asyncio.ensure_future(post(transport, server.url, BODY, gate))
        await gate.asked.wait()
        await begun(provider, BODY, kind)
        if how == "raised":
            gate.opens.set_exception(error)
        else:
            sending.cancel()
        with pytest.raises(RuntimeError if how == "raised" else asyncio.CancelledError) as raised:
            await sending
        assert how == "cancelled" or raised.value is error
        answer = await transport.send("POST", server.url + "/x", HEADERS, BODY, DEADLINES)
        assert await read_all(answer) == b"hi"
        assert provider.whole == 1
        assert server.connections == (2 if kind == "pool" else 1)  # one with half a request on it is not used again
        assert transport.connections().active == 0


@pytest.mark.parametrize("end", ["RST", "FIN"])
async def test_a_connection_that_breaks_before_the_end_is_replaced(make: Make, kind: str, end: str) -> None:
    if kind != "pool":
        pytest.skip("aiohttp waits before it sends anything")
    provider, over = Provider(), asyncio.Event()

    def leave(peer: Peer, _came: bytes) -> None:
        if peer.n == 1:
            peer.reset() if end == "RST" else peer.writer.close()
            over.set()

    provider.on_piece = leave
    async with serving(provider.play) as server:
        transport = make(server.url)

        async def may_end() -> None:
            async def look() -> bool:
                return over.is_set() and transport.connections().open == 0

            await eventually(look)

        answer = await transport.send("POST", server.url + "/x", HEADERS, BODY, DEADLINES, may_end)
        assert await read_all(answer) == b"hi"
        assert (provider.whole, server.connections) == (1, 2)


async def test_an_answer_before_the_end_is_the_answer(make: Make, kind: str) -> None:
    if kind != "pool":
        pytest.skip("aiohttp waits before it sends anything")
    provider = Provider()

    def refuse(peer: Peer, _came: bytes) -> None:
        peer.writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")

    provider.on_piece = refuse
    async with serving(provider.play) as server:
        transport = make(server.url)
        answer = await sent_after_an_answer(transport, server.url)
        assert (answer.status, await read_all(answer)) == (413, b"no")
        assert provider.whole == 0
        assert transport.connections() == (0, 0, 0, 0)


async def test_deadlines_begin_with_the_end(make: Make) -> None:
    provider = Provider()
    async with serving(provider.play) as server:
        transport = make(server.url)

        async def may_end() -> None:
            await asyncio.sleep(0.8)

        short = replace(DEADLINES, header_s=0.6, idle_s=0.6, total_s=0.7)
        answer = await transport.send("POST", server.url + "/x", HEADERS, BODY, short, may_end)
        assert await read_all(answer) == b"hi"


async def test_a_provider_that_says_nothing_after_the_end_is_late(make: Make) -> None:
    async def deaf(peer: Peer) -> None:
        await peer.ended()

    async def may_end() -> None:
        await asyncio.sleep(0)

    async with serving(deaf) as server:
        transport, short = make(server.url), replace(DEADLINES, header_s=0.1)
        with pytest.raises(TransportError) as raised:
            await transport.send("POST", server.url + "/x", HEADERS, BODY, short, may_end)
        assert (raised.value.kind, raised.value.dispatched) == ("header_timeout", True)


async def test_without_a_body_nothing_leaves_before(make: Make) -> None:
    provider = Provider()
    async with serving(provider.play) as server:
        transport, gate = make(server.url), Gate()
        sending = asyncio.ensure_future(transport.send("GET", server.url + "/x", HEADERS, None, DEADLINES, gate.wait))
        await gate.asked.wait()
        await asyncio.sleep(0.02)
        assert provider.came == []
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
