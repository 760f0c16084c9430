"""Bodies larger than what may lie in memory: each side waits for the other."""

import asyncio
import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from proxy.providers.transport.base import Transport
from tests.providers.conftest import Make
from tests.providers.scripted import DEADLINES, HEADERS, Peer, plain, read_all, serving

SIZE = 48 << 20
PIECE = bytes(range(256)) * 256
PATIENT_BYTES = 24 << 20  # the kernel's buffers of both sides and ours: far below SIZE, far above what they take


def resident_bytes() -> int:
    """Give what of this process lies in memory."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * 4096


async def test_a_download_waits_for_its_reader(make: Make) -> None:
    sent = 0

    async def play(peer: Peer) -> None:
        nonlocal sent
        await peer.request()
        peer.writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % SIZE)
        while sent < SIZE:
            await peer.send(PIECE)
            sent += len(PIECE)
        await peer.request()

    async with serving(play) as server:
        answer = await make(server.url).send("POST", server.url + "/x", HEADERS, b"{}", DEADLINES)
        await _still(lambda: sent)
        assert 0 < sent < PATIENT_BYTES
        digest, got = hashlib.sha256(), 0
        while piece := await answer.read():
            assert len(piece) < 4 << 20
            digest.update(piece)
            got += len(piece)
        assert got == SIZE
        assert digest.digest() == hashlib.sha256(PIECE * (SIZE // len(PIECE))).digest()


async def test_an_upload_waits_for_the_provider(make: Make, kind: str) -> None:
    copies = 1 if kind == "aiohttp" else 0  # aiohttp reads the body out of the buffer that it is handed
    go = asyncio.Event()
    digest = hashlib.sha256()

    async def play(peer: Peer) -> None:
        await peer.head()
        await go.wait()
        left = SIZE
        while left:
            piece = await peer.reader.read(1 << 20)
            digest.update(piece)
            left -= len(piece)
        await peer.send(plain(b"taken"))
        assert await peer.request()
        await peer.send(plain(b"again"))

    body = PIECE * (SIZE // len(PIECE))
    async with serving(play) as server:
        transport: Transport = make(server.url)
        before = resident_bytes()
        sending = asyncio.ensure_future(transport.send("POST", server.url + "/x", HEADERS, body, DEADLINES))
        await asyncio.sleep(0.3)
        assert resident_bytes() - before < PATIENT_BYTES + copies * SIZE
        assert not sending.done()
        go.set()
        assert await read_all(await sending) == b"taken"
        assert digest.digest() == hashlib.sha256(body).digest()
        answer = await transport.send("POST", server.url + "/x", HEADERS, b"{}", DEADLINES)
        assert await read_all(answer) == b"again"
        assert server.connections == 1


@pytest.mark.parametrize("close", [True, False])
async def test_a_provider_that_refuses_a_large_body_before_it_has_read_it(make: Make, close: bool) -> None:
    async def play(peer: Peer) -> None:
        await peer.head()
        await peer.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 9\r\n\r\ntoo large")
        if close:
            peer.writer.write_eof()
        await asyncio.sleep(0.3)

    async with serving(play) as server:
        transport = make(server.url)
        answer = await transport.send("POST", server.url + "/x", HEADERS, PIECE * 400, DEADLINES)
        assert (answer.status, await read_all(answer)) == (413, b"too large")
        answer = await transport.send("POST", server.url + "/x", HEADERS, b"{}", DEADLINES)
        assert (answer.status, await read_all(answer)) == (413, b"too large")
        assert server.connections == 2


async def test_many_small_chunks_unread(make: Make) -> None:
    """Half a million chunks of two bytes are no more in memory than their bytes allow."""
    sent = 0

    async def play(peer: Peer) -> None:
        nonlocal sent
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(500):
            await peer.send(b"2\r\nab\r\n" * 1000)
            sent += 1000
        await peer.send(b"0\r\n\r\n")

    async with serving(play) as server:
        answer = await make(server.url).send("POST", server.url + "/x", HEADERS, b"{}", DEADLINES)
        before = resident_bytes()
        await _still(lambda: sent)
        assert resident_bytes() - before < 64 << 20
        assert await read_all(answer) == b"ab" * 500_000


async def _still(count: Callable[[], int]) -> None:
    """Wait until a count no longer grows."""
    last = -1
    while last != count() or not last:
        last = count()
        await asyncio.sleep(0.2)
