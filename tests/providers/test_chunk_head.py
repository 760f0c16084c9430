"""Reads that are one chunk pass with their framing, whatever came before them; all others are taken apart by llhttp."""

import asyncio
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.latch import Latch
from proxy.providers.deadlines import Deadlines
from proxy.providers.transport.pool.chunk_head import chunk_heads, is_one_chunk
from proxy.providers.transport.pool.connection import UpstreamConnection
from proxy.providers.transport.pool.response import PooledResponse
from proxy.web.server.fast_downstream import FastDownstream

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
DEADLINES = Deadlines(connect_s=60, header_s=60, first_token_s=60, idle_s=60, total_s=60)
PAYLOADS = st.one_of(
    st.binary(min_size=1, max_size=40),
    st.sampled_from((b"x" * 15, b"x" * 16, b"x" * 255, b"x" * 256, b"x" * 4096)),
    # what looks like framing itself
    st.sampled_from(
        (b"2\r\n", b"a\r\n" * 9, b"2\r\nab\r\n2\r\n", b"\r\n", b"1\r\nx\r\n" * 5, b"0\r\n\r\n", b"1", b"a")
    ),
)


class Wire(asyncio.Transport):
    """Transport whose other end the test is."""

    def write(self, data: Any) -> None:
        """Do nothing: what is asked does not matter."""

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Do nothing: nothing is kept."""

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return False

    def abort(self) -> None:
        raise AssertionError("what came was valid")


class Owner:
    """Pool of one connection that is not used again."""

    def made(self, connection: UpstreamConnection) -> None: ...

    def freed(self, connection: UpstreamConnection, answer: PooledResponse, reusable: bool) -> None: ...

    def stale(self, connection: UpstreamConnection) -> None: ...

    def gone(self, connection: UpstreamConnection, answer: PooledResponse | None) -> None: ...


def pumped(reads: Sequence[bytes], refused: int) -> tuple[bytes, list[bytes], bool]:
    """Return the body that was taken, the chunks that were taken with their framing, and whether the end was seen.

    refused: each time after so many chunks one is not taken as it came.
    """
    body = bytearray()
    chunks: list[bytes] = []

    def take(piece: bytes) -> bool:
        body.extend(piece)
        return True

    def take_chunk(chunk: bytes, start: int) -> bool | None:
        if len(chunks) % (refused + 1) == refused:
            chunks.append(b"")
            return None
        chunks.append(chunk)
        body.extend(chunk[start:-2])
        return True

    async def run() -> bool:
        connection = UpstreamConnection(asyncio.get_running_loop(), Owner())
        connection.connection_made(Wire())
        answer = connection.send(b"", None, 0.0, DEADLINES)
        connection.data_received(HEAD)
        pump = asyncio.ensure_future(answer.pump(take, take_chunk))
        await asyncio.sleep(0)
        for read in reads:
            connection.data_received(read)
        await asyncio.sleep(0)
        return pump.done() and await pump

    ended = asyncio.run(run())
    return bytes(body), [chunk for chunk in chunks if chunk], ended


def chunk(payload: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(payload), payload)


def cut(data: bytes, at: Sequence[int]) -> list[bytes]:
    places = [0, *sorted({place % len(data) for place in at} - {0}), len(data)]
    return [data[start:end] for start, end in pairwise(places)]


@settings(max_examples=150)
@given(st.lists(PAYLOADS, min_size=1, max_size=8), st.lists(st.integers(0, 1 << 16), max_size=6), st.integers(0, 3))
def test_any_cut_gives_the_same_body(payloads: list[bytes], at: list[int], refused: int) -> None:
    framed = b"".join(map(chunk, payloads)) + b"0\r\n\r\n"
    assert pumped(cut(framed, at), refused)[::2] == (b"".join(payloads), True)


@settings(max_examples=100)
@given(st.lists(PAYLOADS, min_size=1, max_size=8), st.integers(0, 3))
def test_each_in_a_read_of_its_own(payloads: list[bytes], refused: int) -> None:
    reads = [*map(chunk, payloads), b"0\r\n\r\n"]
    body, chunks, ended = pumped(reads, refused)
    assert (body, ended) == (b"".join(payloads), True)
    assert set(chunks) <= set(reads)


def test_plain_chunks_pass_with_their_framing() -> None:
    payloads = [b"data: %d\n\n" % n for n in range(20)]
    body, chunks, ended = pumped([*map(chunk, payloads), b"0\r\n\r\n"], 99)
    assert (body, ended) == (b"".join(payloads), True)
    assert chunks == [chunk(payload) for payload in payloads[1:]], "all behind the first, which shows where they begin"


def test_half_a_size_is_not_forgotten() -> None:
    """Of a size that is cut the rest looks like the size of a chunk, and is not."""
    payloads = [b"a" * 10, b"b" * 10 + b"\r\n" + b"b" * 14]
    framed = chunk(payloads[1])
    body, chunks, _ = pumped([chunk(payloads[0]), framed[:1], framed[1:16], framed[16:]], 99)
    assert body == b"".join(payloads)
    assert chunks == []


def test_a_full_client_is_waited_for() -> None:
    """The pump ends as soon as a chunk that was taken as it came fills the client, and goes on with the next."""
    pieces: list[bytes] = []
    chunks: list[bytes] = []
    framed = [chunk(b"data: %d\n\n" % n) for n in range(4)]

    def take(piece: bytes) -> bool:
        pieces.append(piece)
        return True

    def take_chunk(chunk: bytes, _start: int) -> bool:
        chunks.append(chunk)
        return False

    async def run() -> None:
        connection = UpstreamConnection(asyncio.get_running_loop(), Owner())
        connection.connection_made(Wire())
        answer = connection.send(b"", None, 0.0, DEADLINES)
        connection.data_received(HEAD)
        for reads in (framed[:2], framed[2:3], framed[3:]):
            pump = asyncio.ensure_future(answer.pump(take, take_chunk))
            await asyncio.sleep(0)
            for read in reads:
                connection.data_received(read)
            assert await pump is False

    asyncio.run(run())
    assert (pieces, chunks) == ([b"data: 0\n\n"], framed[1:])


def test_framing_within_a_payload_passes_for_none() -> None:
    """A payload that goes on over the end of a read, where it looks as if a chunk ended, has not ended."""
    parts = b"fa\r\n" * 63, b"\r\n", b"fa\r\n"
    rest = chunk(b"1\r\n1")[3:-2] + b"\r\n1\r\n"
    for whole in (b"".join(parts), rest):
        assert not is_one_chunk(whole, whole[: len(whole) - len(chunk_heads[len(whole)]) - 2])


class Client:
    """Connection of a client that reads nothing."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = Wire()
        self.drained: Latch | None = None
        self.choked = False
        self.path = "/"

    def cut(self) -> None: ...


def test_what_a_client_says_to_a_chunk() -> None:
    client = Client()
    write_chunk = FastDownstream(client).chunk_writer()
    assert write_chunk is not None
    assert write_chunk(chunk(b"x"))
    client.choked = True
    assert not write_chunk(chunk(b"x"))
    client.transport = None
    with pytest.raises(ConnectionResetError):
        write_chunk(chunk(b"x"))


@pytest.mark.parametrize("size_bytes", [*range(1, 30), 259, 260, 261, 262, 263, 4102, 4103, 70_000])
def test_heads(size_bytes: int) -> None:
    """Where a whole chunk can be so long its first line is that of its payload, else one that no chunk begins with."""
    payloads = [n for n in range(max(0, size_bytes - 12), size_bytes) if len(chunk(b"x" * n)) == size_bytes and n]
    expected = b"%x\r\n" % payloads[0] if payloads else b"\r\n"
    assert chunk_heads[size_bytes] == expected
