"""What every transport does with an answer that is whole: framing, reuse of connections, what goes out."""

import asyncio
import re
import zlib

import pytest

from proxy.providers.transport.base import TransportError
from tests.providers.conftest import Make
from tests.providers.scripted import (
    BODY,
    DEADLINES,
    HEADERS,
    KEY,
    Peer,
    always,
    once,
    plain,
    read_all,
    serving,
)

CHUNKED = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
# name: (bytes of the answer, status, body)
KEPT = {
    "length": (plain(b"hello world"), 200, b"hello world"),
    "length 0": (plain(b""), 200, b""),
    "lower case": (b"HTTP/1.1 200 OK\r\ncontent-length:2\r\n\r\nhi", 200, b"hi"),
    "no reason": (b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nhi", 200, b"hi"),
    "error status": (b"HTTP/1.1 503 Busy\r\nContent-Length: 2\r\n\r\nhi", 503, b"hi"),
    "unknown status": (b"HTTP/1.1 529 Overloaded\r\nContent-Length: 2\r\n\r\nhi", 529, b"hi"),
    "chunked": (
        f"{CHUNKED}\r\n5\r\nhello\r\n1\r\n \r\nA\r\n0123456789\r\n0\r\n\r\n".encode(),
        200,
        b"hello 0123456789",
    ),
    "chunked, empty": (f"{CHUNKED}\r\n0\r\n\r\n".encode(), 200, b""),
    "chunked, extensions": (f'{CHUNKED}\r\n2;a=b;c="d"\r\nhi\r\n0;x\r\n\r\n'.encode(), 200, b"hi"),
    "chunked, trailers": (f"{CHUNKED}\r\n2\r\nhi\r\n0\r\nX-Check: 1\r\nX-Other: 9\r\n\r\n".encode(), 200, b"hi"),
    "204": (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
    "304 with a length": (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", 304, b""),
    "100 first": (b"HTTP/1.1 100 Continue\r\n\r\n" + plain(b"hi"), 200, b"hi"),
    "103 first": (b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 3 + plain(b"hi"), 200, b"hi"),
    "1.0, kept": (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi", 200, b"hi"),
}
CLOSED = {
    "until close": (b"HTTP/1.1 200 OK\r\n\r\nall there is", 200, b"all there is"),
    "until close, 1.0": (b"HTTP/1.0 200 OK\r\n\r\nall there is", 200, b"all there is"),
    "until close, empty": (b"HTTP/1.1 200 OK\r\n\r\n", 200, b""),
    "length, close": (plain(b"hi", "Connection: close"), 200, b"hi"),
    "length, 1.0": (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", 200, b"hi"),
    "chunked, close": (f"{CHUNKED}Connection: close\r\n\r\n2\r\nhi\r\n0\r\n\r\n".encode(), 200, b"hi"),
    "204, close": (b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n", 204, b""),
}
WHOLE = KEPT | CLOSED


@pytest.mark.parametrize("name", WHOLE)
async def test_an_answer_comes_as_it_was_framed(make: Make, name: str) -> None:
    raw, status, body = WHOLE[name]
    async with serving(always(raw) if name in KEPT else once(raw)) as server:
        transport = make(server.url)
        for _ in range(3):
            answer = await transport.send("POST", server.url + "/v1/x", HEADERS, BODY, DEADLINES)
            assert answer.status == status
            assert await read_all(answer) == body
        assert server.connections == (1 if name in KEPT else 3)


async def test_trailers_are_no_headers(make: Make) -> None:
    """Neither of their own answer nor of the next one over the same connection."""
    raw, _, body = WHOLE["chunked, trailers"]
    async with serving(always(raw)) as server:
        transport = make(server.url)
        for _ in range(3):
            answer = await transport.send("GET", server.url + "/x", {}, None, DEADLINES)
            assert await read_all(answer) == body
            assert [name.lower() for name, _ in answer.headers] == ["transfer-encoding"]
            assert answer.header("x-check") is None
        assert server.connections == 1


@pytest.mark.parametrize("name", ["length", "chunked", "chunked, trailers", "103 first", "until close"])
async def test_an_answer_may_be_cut_anywhere(make: Make, name: str) -> None:
    raw, status, body = WHOLE[name]

    async def play(peer: Peer) -> None:
        while request := await peer.request():
            found = re.search(rb"cut=(\d+)", request)
            assert found is not None
            await peer.send(raw[: int(found[1])])
            await _turns()
            await peer.send(raw[int(found[1]) :])
            if name in CLOSED:
                return

    async with serving(play) as server:
        transport = make(server.url)
        for cut in range(1, len(raw)):
            answer = await transport.send("POST", f"{server.url}/x?cut={cut}", HEADERS, BODY, DEADLINES)
            assert (answer.status, await read_all(answer)) == (status, body), cut


@pytest.mark.parametrize("name", WHOLE)
async def test_an_answer_may_come_byte_by_byte(make: Make, name: str) -> None:
    raw, status, body = WHOLE[name]

    async def play(peer: Peer) -> None:
        while await peer.request():
            for at in range(len(raw)):
                await peer.send(raw[at : at + 1])
                await _turns()
            if name in CLOSED:
                return

    async with serving(play) as server:
        transport = make(server.url)
        for _ in range(2):
            answer = await transport.send("POST", server.url + "/x", HEADERS, BODY, DEADLINES)
            assert (answer.status, await read_all(answer)) == (status, body)


async def _turns() -> None:
    """Let the other side read what was sent before more is sent."""
    for _ in range(4):
        await asyncio.sleep(0)


async def test_headers_are_told_as_they_came(make: Make) -> None:
    lines = ("X-One: 1", "x-two:  two words \t", "Set-Cookie: a=1", "SET-COOKIE: b=2", "X-Empty:", "X-Odd: \xe9 :;\t,")
    async with serving(always(plain(b"hi", *lines))) as server:
        answer = await make(server.url).send("GET", server.url + "/x", {}, None, DEADLINES)
        told = [(name.lower(), value) for name, value in answer.headers if name.lower() != "x-odd"]
        assert told == [
            ("content-length", "2"),
            ("x-one", "1"),
            ("x-two", "two words"),
            ("set-cookie", "a=1"),
            ("set-cookie", "b=2"),
            ("x-empty", ""),
        ]
        assert answer.header("set-cookie") == "a=1"
        assert answer.header("x-two") == "two words"
        assert answer.header("x-empty") == ""
        assert answer.header("absent") is None
        odd = answer.header("x-odd")
        assert odd is not None
        assert odd.encode("latin-1") == b"\xe9 :;\t,"
        assert await read_all(answer) == b"hi"


async def test_what_goes_out(make: Make) -> None:
    seen: list[bytes] = []

    async def play(peer: Peer) -> None:
        while request := await peer.request():
            seen.append(request)
            await peer.send(plain(b""))

    async with serving(play) as server:
        transport = make(server.url + "/api/v1")
        for method, path, body in [
            ("POST", "/api/v1/chat?a=b%20c&d=/", BODY),
            ("POST", "/api/v1/x", None),
            ("POST", "/api/v1/x", b""),
            ("GET", "/api/v1/generation?id=gen-1", None),
            ("GET", "", None),
        ]:
            await read_all(await transport.send(method, server.url + path, HEADERS, body, DEADLINES))
        wanted = [
            b"POST /api/v1/chat?a=b%%20c&d=/ HTTP/1.1\r\n%b|%b" % (b"Content-Length: %d\r\n" % len(BODY), BODY),
            b"POST /api/v1/x HTTP/1.1\r\nContent-Length: 0\r\n|",
            b"POST /api/v1/x HTTP/1.1\r\nContent-Length: 0\r\n|",
            b"GET /api/v1/generation?id=gen-1 HTTP/1.1\r\n|",
            b"GET / HTTP/1.1\r\n|",
        ]
        own = [
            f"Host: 127.0.0.1:{server.port}",
            f"Authorization: Bearer {KEY}",
            "Content-Type: application/json",
            "X-Empty: ",
        ]
        for request, want in zip(seen, wanted, strict=True):
            head, _, body = want.partition(b"|")
            lines = [line.decode() for line in head.split(b"\r\n")[:-1]]
            sent_head, _, sent_body = request.partition(b"\r\n\r\n")
            sent = sent_head.decode().split("\r\n")
            assert sent[0] == lines[0]
            assert sorted(sent[1:]) == sorted(own + lines[1:])
            assert sent_body == body


async def test_200_requests_in_turn_share_one_connection(make: Make) -> None:
    async def play(peer: Peer) -> None:
        while request := await peer.request():
            await peer.send(plain(request.partition(b"\r\n\r\n")[2]))

    async with serving(play) as server:
        transport = make(server.url)
        for n in range(200):
            answer = await transport.send("POST", server.url + "/x", HEADERS, b"%d" % n, DEADLINES)
            assert await read_all(answer) == b"%d" % n
        assert server.connections == 1


async def test_100_requests_at_once_each_get_their_own_answer(make: Make) -> None:
    async def play(peer: Peer) -> None:
        while request := await peer.request():
            number = request.partition(b"\r\n\r\n")[2]
            await peer.send(CHUNKED.encode() + b"\r\n")
            for _ in range(5):
                await peer.send(b"%x\r\n%b\r\n" % (len(number), number))
                await asyncio.sleep(0)
            await peer.send(b"0\r\n\r\n")

    async with serving(play) as server:
        transport = make(server.url)

        async def one(n: int) -> None:
            answer = await transport.send("POST", server.url + "/x", HEADERS, b"<%d>" % n, DEADLINES)
            assert await read_all(answer) == b"<%d>" % n * 5

        for _ in range(3):
            await asyncio.gather(*(one(n) for n in range(100)))
        assert server.connections <= 100


@pytest.mark.parametrize("extra", [plain(b"smuggled"), b"garbage", b"HTTP/1.1 200", b"\0"])
async def test_bytes_behind_an_answer_are_nobodys_answer(make: Make, kind: str, extra: bytes) -> None:
    if kind == "aiohttp" and not extra.startswith(b"HTTP/1.1 200 OK"):
        pytest.skip("aiohttp gives up the whole answer for what follows it; the pool keeps what was paid for")

    async def play(peer: Peer) -> None:
        while await peer.request():
            await peer.send(plain(b"mine") + extra)

    async with serving(play) as server:
        transport = make(server.url)
        for _ in range(3):
            answer = await transport.send("POST", server.url + "/x", HEADERS, BODY, DEADLINES)
            assert await read_all(answer) == b"mine"
        assert server.connections == 3


async def test_an_answer_that_nobody_asked_for_ends_the_connection(make: Make, kind: str) -> None:
    if kind == "aiohttp":
        pytest.skip("aiohttp hands it to the next request; the pool exists for this too")

    ended = asyncio.Event()

    async def play(peer: Peer) -> None:
        while await peer.request():
            await peer.send(plain(b"mine"))
            await _turns()
            await peer.send(plain(b"unasked"))
            ended.set()

    async with serving(play) as server:
        transport = make(server.url)
        for _ in range(3):
            ended.clear()
            answer = await transport.send("POST", server.url + "/x", HEADERS, BODY, DEADLINES)
            assert await read_all(answer) == b"mine"
            await ended.wait()
            await asyncio.sleep(0.02)
        assert server.connections == 3


async def test_a_connection_that_closed_while_idle_is_not_used(make: Make) -> None:
    async with serving(once(plain(b"hi"))) as server:
        transport = make(server.url)
        for _ in range(20):
            answer = await transport.send("POST", server.url + "/x", HEADERS, BODY, DEADLINES)
            assert await read_all(answer) == b"hi"
            await asyncio.sleep(0.01)
        assert server.connections == 20


async def test_a_connection_that_closes_as_it_is_used_again_is_told_as_sent(make: Make) -> None:
    """No transport can know whether the provider took the request, so none sends it a second time."""
    bodies: list[bytes] = []

    async def play(peer: Peer) -> None:
        if request := await peer.request():
            bodies.append(request.partition(b"\r\n\r\n")[2])
            await peer.send(plain(b"hi"))

    async with serving(play) as server:
        transport = make(server.url)
        for n in range(200):
            failure: TransportError | None = None
            try:
                answer = await transport.send("POST", server.url + "/x", HEADERS, b"%d" % n, DEADLINES)
                assert await read_all(answer) == b"hi"
            except TransportError as error:
                failure = error
            assert failure is None or (failure.kind, failure.dispatched) == ("broken", True)
    assert len(set(bodies)) == len(bodies)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(make: Make, status: int) -> None:
    async with serving(always(plain(b"stolen"))) as other:
        head = f"HTTP/1.1 {status} Elsewhere\r\nLocation: {other.url}/x\r\nContent-Length: 0\r\n\r\n"
        async with serving(always(head.encode())) as server:
            answer = await make(server.url).send("POST", server.url + "/x", HEADERS, BODY, DEADLINES)
            assert (answer.status, await read_all(answer)) == (status, b"")
        assert other.connections == 0


async def test_a_name_is_looked_up(make: Make) -> None:
    async with serving(always(plain(b"hi"))) as server:
        url = f"http://localhost:{server.port}"
        answer = await make(url).send("GET", url + "/x", HEADERS, None, DEADLINES)
        assert await read_all(answer) == b"hi"


@pytest.mark.parametrize(("encoding", "wbits"), [("gzip", 31), ("X-GZIP", 31), ("deflate", 15), ("deflate", -15)])
async def test_a_compression_that_nobody_asked_for_is_undone(make: Make, encoding: str, wbits: int) -> None:
    packer = zlib.compressobj(wbits=wbits)
    body = bytes(range(256)) * 4096 + b"odd"
    packed = packer.compress(body) + packer.flush()
    async with serving(always(plain(packed, f"Content-Encoding: {encoding}"))) as server:
        transport = make(server.url)
        for _ in range(2):
            answer = await transport.send("GET", server.url + "/x", HEADERS, None, DEADLINES)
            assert answer.header("content-encoding") == encoding
            assert await read_all(answer) == body
    async with serving(always(plain(packed[:-20], f"Content-Encoding: {encoding}"))) as server:
        answer = await make(server.url).send("GET", server.url + "/x", HEADERS, None, DEADLINES)
        with pytest.raises(TransportError, match="cannot be decompressed"):
            await read_all(answer)


async def test_other_encodings_pass_as_they_are(make: Make) -> None:
    async with serving(always(plain(b"\x1b\x03", "Content-Encoding: br"))) as server:
        answer = await make(server.url).send("GET", server.url + "/x", HEADERS, None, DEADLINES)
        assert await read_all(answer) == b"\x1b\x03"
