"""A head that fits a known one is read as llhttp reads it, and every other goes to llhttp."""

import random
from typing import Any

import httptools
import pytest

from proxy.providers.transport.pool.connection import UpstreamConnection
from proxy.providers.transport.pool.known_head import KnownHead, known_head, known_stream_head
from proxy.providers.transport.pool.pool import PooledTransport
from proxy.wire.headers import header_lines
from tests.providers.scripted import BODY, DEADLINES, HEADERS, Peer, plain, read_all, serving
from tests.support.sampling import count, seed

BODY_OUT = b'{"id":"gen-1","choices":[]}'
LENGTH = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 27\r\nX-Generation-Id: gen-1\r\n"
    b"Set-Cookie: a=1\r\nSet-Cookie: b=2\r\nX-Request-Id: r\r\nConnection: keep-alive\r\n\r\n" + BODY_OUT
)
CHUNKED = (
    b"HTTP/1.1 200 OK\r\ndate: Mon, 30 Nov 2026 00:00:00 GMT\r\ncontent-type: application/json\r\n"
    b"transfer-encoding: chunked\r\ncf-ray: 8a-FRA\r\n\r\n1b\r\n" + BODY_OUT + b"\r\n0\r\n\r\n"
)
PARTS = [
    b"", b"\r\n", b"\n", b"\r", b" ", b"  ", b"\t", b":", b": ", b",", b"\0", b"\x7f", b"\x80", b"a", b"x", b"\r\n\r\n",
    b"0", b"1", b"9", b"27", b"1B", b"+", b"-", b"_", b"0x", b";a=b", b"\r\n ", b"0\r\n\r\n", b"chunked", b"close",
    b"HTTP/1.0", b"HTTP/1.1", b"100", b"201", b"204", b"Upgrade: h2c\r\n", b"Content-Length: 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
]  # fmt: skip


class Witness:
    """What llhttp makes of bytes."""

    def __init__(self, data: bytes) -> None:
        self.headers: list[tuple[str, str]] = []
        self.body = b""
        self.messages = 0
        self.stays = False
        parser = self._parser = httptools.HttpResponseParser(self)
        try:
            parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.messages = -1
        self.status = parser.get_status_code()

    def on_headers_complete(self) -> None:
        self.stays = self._parser.should_keep_alive()  # which holds now alone

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.decode("latin-1").lower(), value.rstrip().decode("latin-1")))

    def on_body(self, data: bytes) -> None:
        self.body += data

    def on_message_complete(self) -> None:
        self.messages += 1


def learnt(data: bytes) -> KnownHead:
    head = known_head(data, Witness(data).headers)
    assert head is not None
    return head


@pytest.mark.parametrize("answer", [LENGTH, CHUNKED], ids=["length", "chunked"])
def test_what_fits_is_read_as_llhttp_reads_it(answer: bytes) -> None:
    head, chance, read = learnt(answer), random.Random(seed(7)), 0
    for _ in range(count(20_000, 0.1)):
        changed = answer
        for _ in range(chance.choice((1, 1, 2))):
            start = chance.randrange(len(changed) + 1)
            changed = changed[:start] + chance.choice(PARTS) + changed[start + chance.choice((0, 0, 1, 2)) :]
        whole = head.read(changed)
        if whole is not None:
            read += 1
            told = Witness(changed)
            assert (told.messages, told.status, told.stays) == (1, 200, True), changed
            values, _, body = whole
            assert (told.headers, told.body) == (head.headers(values), body), changed
    assert read > 20  # the values may change


def test_other_values_and_other_lengths_fit() -> None:
    head = learnt(LENGTH)
    whole = head.read(LENGTH.replace(b"27", b"3").replace(BODY_OUT, b"{ }").replace(b"gen-1", b"gen-2"))
    assert whole is not None
    values, by_name, body = whole
    assert body == b"{ }"
    assert head.passed_lines(values) == (
        "content-type: application/json\r\nx-generation-id: gen-2\r\nx-upstream-request-id: r\r\n"
    )
    assert by_name == dict(reversed(head.headers(values)))
    assert by_name["set-cookie"] == "a=1"  # the first
    whole = learnt(CHUNKED).read(CHUNKED.replace(b"1b\r\n", b"2\r\n").replace(BODY_OUT, b"{}"))
    assert whole is not None
    assert whole[2] == b"{}"


def test_a_head_that_is_much_longer_fits_once_it_was_read() -> None:
    head = learnt(LENGTH)
    longer = LENGTH.replace(b"gen-1", b"gen-" + b"1" * 300, 1)
    assert head.read(longer) is None
    assert learnt(longer) is head
    assert head.read(longer) is not None


@pytest.mark.parametrize(
    "answer",
    [
        LENGTH.replace(b"200 OK", b"200 Fine"),
        LENGTH.replace(b"200 OK", b"201 OK"),
        LENGTH.replace(b"Content-Length: 27\r\n", b""),
        LENGTH.replace(b"Set-Cookie: a=1", b"Content-Encoding: gzip"),
        LENGTH.replace(b"a=1", b"\xe4"),
        LENGTH.replace(b"a=1", b"a "),
        LENGTH.replace(b"X-Request-Id: r", b"X-Request-Id:r"),
        LENGTH + b"x",
        LENGTH[:-1],
        LENGTH.replace(b"r\r\n", b"r" * (8 << 10) + b"\r\n"),
        CHUNKED.replace(b"chunked", b"gzip, chunked"),
    ],
)
def test_a_head_that_is_not_plain_is_not_kept(answer: bytes) -> None:
    assert known_head(answer, Witness(answer).headers) is None


STREAM = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\nX-Generation-Id: gen-1\r\n"
    b"Cache-Control: no-cache\r\nConnection: keep-alive\r\n\r\n"
)
_END_OF_STREAM = b"1\r\nx\r\n0\r\n\r\n"


def test_a_begin_that_fits_is_read_as_llhttp_reads_it() -> None:
    head, chance, read = known_stream_head(STREAM, Witness(STREAM + _END_OF_STREAM).headers), random.Random(seed(8)), 0
    assert head is not None
    for _ in range(count(20_000, 0.1)):
        changed = STREAM
        for _ in range(chance.choice((1, 1, 2))):
            start = chance.randrange(len(changed) + 1)
            changed = changed[:start] + chance.choice(PARTS) + changed[start + chance.choice((0, 0, 1, 2)) :]
        changed += _END_OF_STREAM
        begun = head.begin(changed)
        if begun is not None and changed[begun[2] :] == _END_OF_STREAM:
            read += 1
            told = Witness(changed)
            assert (told.messages, told.status, told.stays, told.body) == (1, 200, True, b"x"), changed
            assert told.headers == head.headers(begun[0]), changed
            assert begun[1] == dict(reversed(told.headers))
    assert read > 20  # the values may change


def test_only_the_head_of_chunks_begins_a_stream() -> None:
    assert known_stream_head(LENGTH, Witness(LENGTH).headers) is None


class _Deaf:
    """A parser that is never asked."""

    def feed_data(self, data: bytes) -> None:
        raise AssertionError(data)


@pytest.mark.usefixtures("watched")
async def test_the_second_answer_of_a_connection_needs_no_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[UpstreamConnection] = []

    def keep(pool: PooledTransport, connection: UpstreamConnection) -> None:
        made.append(connection)
        pool._open.add(connection)

    monkeypatch.setattr(PooledTransport, "made", keep)

    async def play(peer: Peer) -> None:
        for body in (b"first", b"the second"):
            await peer.request()
            await peer.send(plain(body, "X-Request-Id: a"))
        await peer.ended()

    heads: list[Any] = []
    async with serving(play) as server:
        transport = PooledTransport(server.url)
        try:
            for body in (b"first", b"the second"):
                answer = await transport.send("POST", f"{server.url}/x", HEADERS, BODY, DEADLINES)
                assert await read_all(answer) == body
                heads.append((answer.headers, answer.header("content-length"), answer.passed("a secret")))
                assert answer.passed_lines("a secret") == header_lines(answer.passed("a secret"))
                assert answer.passed_lines("json") == header_lines(answer.passed("json")) != ""
                monkeypatch.setattr(made[0], "_parser", _Deaf())
        finally:
            await transport.close()
    assert len(made) == 1
    assert [length for _, length, _ in heads] == ["5", "10"]
    assert [name for name, _ in heads[0][0]] == [name for name, _ in heads[1][0]]
    assert heads[0][2] == heads[1][2]
