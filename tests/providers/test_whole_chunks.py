"""Reads that are whole chunks pass with their framing, whatever came before; llhttp takes all others apart."""

import asyncio
from collections.abc import Sequence
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.providers.deadlines import Deadlines
from proxy.providers.transport.base import ChunkPassage
from proxy.providers.transport.pool.connection import UpstreamConnection
from proxy.providers.transport.pool.known_head import LearntHeads, known_stream_head

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

    def freed(self, connection: UpstreamConnection, reusable: bool) -> None: ...

    def stale(self, connection: UpstreamConnection) -> None: ...

    def gone(self, connection: UpstreamConnection) -> None: ...


def payloads_of(read: bytes) -> list[bytes]:
    """Return the payloads of a read that is whole chunks, if it begins between two; else none."""
    payloads = []
    while read:
        digits, _, rest = read.partition(b"\r\n")
        try:
            size_bytes = int(digits, 16)
        except ValueError:
            return []
        payload, end, read = rest[:size_bytes], rest[size_bytes : size_bytes + 2], rest[size_bytes + 2 :]
        if not payload or end != b"\r\n" or chunk(payload) != digits + b"\r\n" + payload + end:
            return []
        payloads.append(payload)
    return payloads


def pumped(reads: Sequence[bytes], refused: int) -> tuple[bytes, list[bytes], bool]:
    """Return the body that was taken, the reads that were taken with their framing, and whether the end was seen.

    refused: each time after so many reads one is not taken as it came.
    """
    body = bytearray()
    chunks: list[bytes] = []

    def take(piece: bytes) -> bool:
        body.extend(piece)
        return True

    def knows(read: bytes) -> bool:
        if not payloads_of(read) or len(chunks) % (refused + 1) == refused:
            chunks.append(b"")
            return False
        return True

    def write(read: bytes) -> None:
        chunks.append(read)
        body.extend(b"".join(payloads_of(read)))

    async def run() -> bool:
        connection = UpstreamConnection(asyncio.get_running_loop(), Owner(), LearntHeads())
        connection.connection_made(Wire())
        answer = connection.send(b"", None, 0.0, DEADLINES)
        connection.data_received(HEAD)
        pump = asyncio.ensure_future(answer.pump(take, ChunkPassage(knows, write, SimpleNamespace(choked=False))))
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


def test_several_in_a_read_pass_with_their_framing() -> None:
    payloads = [b"data: %d\n\n" % n for n in range(20)]
    reads = [b"".join(map(chunk, payloads[n : n + 4])) for n in range(0, 20, 4)]
    body, taken, ended = pumped([*reads, b"0\r\n\r\n"], 99)
    assert (body, ended) == (b"".join(payloads), True)
    assert taken == reads[1:], "all behind the first"


def test_half_a_size_is_not_forgotten() -> None:
    """Of a size that is cut the rest looks like the size of a chunk, and is not."""
    payloads = [b"a" * 10, b"b" * 10 + b"\r\n" + b"b" * 14]
    framed = chunk(payloads[1])
    body, chunks, _ = pumped([chunk(payloads[0]), framed[:1], framed[1:16], framed[16:]], 99)
    assert body == b"".join(payloads)
    assert chunks == []


KNOWN_HEAD = HEAD.replace(b"\r\n\r\n", b"\r\nX-Generation-Id: gen-1\r\n\r\n")
KNOWN_HEADERS = [
    ("content-type", "text/event-stream"),
    ("transfer-encoding", "chunked"),
    ("x-generation-id", "gen-1"),
]


class Kept(Owner):
    """Pool that says whether its connection may be used again."""

    def __init__(self) -> None:
        self.freed_as: list[bool] = []

    def freed(self, connection: UpstreamConnection, reusable: bool) -> None:
        del connection
        self.freed_as.append(reusable)


class Taken(bytearray):
    """Body that is taken piece by piece."""

    def take(self, piece: bytes) -> bool:
        self.extend(piece)
        return True


class Watched:
    """Parser that notes whether it was asked."""

    def __init__(self, parser: Any) -> None:
        self._parser = parser
        self.was_asked = False

    def feed_data(self, data: bytes) -> None:
        self.was_asked = True
        self._parser.feed_data(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._parser, name)


def with_known_head(streams: Sequence[Sequence[bytes]], late: int = 0) -> tuple[list[bytes], list[bool], list[bool]]:
    """Return the bodies of streams that come in these reads, over one connection to a provider whose head is known.

    Beside them whether the connection was free after each, and whether llhttp was asked. late: so many reads of each
    come before its reader does.
    """
    bodies: list[bytes] = []
    asked: list[bool] = []
    owner, heads = Kept(), LearntHeads()
    heads.stream = known_stream_head(KNOWN_HEAD, KNOWN_HEADERS)
    assert heads.stream is not None

    async def run() -> None:
        connection = UpstreamConnection(asyncio.get_running_loop(), owner, heads)
        connection.connection_made(Wire())
        for reads in streams:
            parser: Any = Watched(connection._parser)
            connection._parser = parser
            answer, body, pump = connection.send(b"", None, 0.0, DEADLINES), Taken(), None
            passage = ChunkPassage(lambda _: False, body.extend, SimpleNamespace(choked=False))
            for n, read in enumerate(reads):
                connection.data_received(read)
                if answer.status and n >= late and pump is None:
                    pump = asyncio.ensure_future(answer.pump(body.take, passage))
                    await asyncio.sleep(0)
            pump = pump or asyncio.ensure_future(answer.pump(body.take, passage))
            await asyncio.sleep(0)
            assert pump.done()
            assert await pump
            assert (answer.status, [*answer.headers]) == (200, KNOWN_HEADERS)
            assert answer.header("x-generation-id") == "gen-1"
            bodies.append(bytes(body))
            asked.append(parser.was_asked)
            connection._parser = parser._parser

    asyncio.run(run())
    return bodies, owner.freed_as, asked


@settings(max_examples=150)
@given(st.lists(PAYLOADS, min_size=1, max_size=6), st.lists(st.integers(0, 1 << 16), max_size=6), st.integers(0, 3))
def test_any_cut_behind_a_known_head_gives_the_same_body(payloads: list[bytes], at: list[int], late: int) -> None:
    framed = KNOWN_HEAD + b"".join(map(chunk, payloads)) + b"0\r\n\r\n"
    reads, body = cut(framed, at), b"".join(payloads)
    assert with_known_head([reads, reads, [framed]], late)[:2] == ([body] * 3, [True] * 3)


@settings(max_examples=100)
@given(st.lists(PAYLOADS, min_size=2, max_size=6), st.booleans(), st.booleans(), st.integers(0, 3))
def test_each_in_a_read_behind_a_known_head(payloads: list[bytes], alone: bool, joined: bool, late: int) -> None:
    reads = [*map(chunk, payloads)]
    reads = [KNOWN_HEAD, *reads] if alone else [KNOWN_HEAD + reads[0], *reads[1:]]
    if joined:
        reads[-1] += b"0\r\n\r\n"
    else:
        reads.append(b"0\r\n\r\n")
    body = b"".join(payloads)
    assert with_known_head([reads, reads], late)[:2] == ([body] * 2, [True] * 2)


def test_a_stream_of_plain_chunks_needs_no_parser() -> None:
    first, *others = [chunk(b"data: a line, number %d\n\n" % n) for n in range(4)]
    plain = [KNOWN_HEAD + first, *others[:-1], others[-1] + b"0\r\n\r\n"]
    cut_once = [KNOWN_HEAD + first, others[0][:5], others[0][5:], *others[1:], b"0\r\n\r\n"]
    assert with_known_head([plain, cut_once, plain])[2] == [False, True, False]


def test_a_full_client_is_waited_for() -> None:
    """The pump ends as soon as a chunk that was taken as it came fills the client, and goes on with the next."""
    pieces: list[bytes] = []
    chunks: list[bytes] = []
    framed = [chunk(b"data: %d\n\n" % n) for n in range(4)]

    def take(piece: bytes) -> bool:
        pieces.append(piece)
        return True

    passage = ChunkPassage(lambda _: True, chunks.append, SimpleNamespace(choked=True))

    async def run() -> None:
        connection = UpstreamConnection(asyncio.get_running_loop(), Owner(), LearntHeads())
        connection.connection_made(Wire())
        answer = connection.send(b"", None, 0.0, DEADLINES)
        connection.data_received(HEAD)
        for reads in (framed[:2], framed[2:3], framed[3:]):
            pump = asyncio.ensure_future(answer.pump(take, passage))
            await asyncio.sleep(0)
            for read in reads:
                connection.data_received(read)
            assert await pump is False

    asyncio.run(run())
    assert (pieces, chunks) == ([b"data: 0\n\n"], framed[1:])
