"""U22 to U25: packed bodies, bad heads, redirects, wrong content types."""

import gzip
import json
import zlib
from collections.abc import Callable

import pytest

from tests.faults.conftest import Open
from tests.faults.place import PRICED_PUSD, clean
from tests.faults.raw_upstream import Close, Turn
from tests.faults.seen import BOTH, KINDS, Memory, guessed, refused
from tests.faults.told import DONE, END, Told, chunk, event, head, plain, stream_head
from tests.providers.scripted import Peer, serving

COST_PUSD = 4_000_000
EXACT = ("settled", COST_PUSD, "provider", None, None, 200)


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


def two_members(data: bytes) -> bytes:
    return gzip.compress(data[: len(data) // 2]) + gzip.compress(data[len(data) // 2 :])


PACKED: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", gzip.compress),
    "x-gzip": ("x-gzip", gzip.compress),
    "gzip in two members": ("GZIP", two_members),
    "deflate": ("deflate", zlib.compress),
    "deflate without its wrapper": ("deflate", raw_deflate),
    "says gzip and is none": ("gzip", bytes),
    "says deflate and is none": ("deflate", bytes),
    "says deflate and is gzip": ("deflate", gzip.compress),
    "identity": ("identity", bytes),
}


@BOTH
@pytest.mark.parametrize("case", PACKED)
async def test_u22_packed_though_nobody_asked(opened: Open, case: str, stream: bool) -> None:
    """It is unpacked: the client gets text, and the bill is found."""
    place = await opened()
    name, pack = PACKED[case]
    told = Told("gen-packed", COST_PUSD)
    text = b"".join(told.events()) if stream else told.body()
    packed, lines = pack(text), (f"Content-Encoding: {name}", f"X-Generation-Id: {told.id}")
    whole = stream_head(*lines) + b"".join(chunk(packed[at : at + 7]) for at in range(0, len(packed), 7)) + END
    place.upstream.next(Turn((whole if stream else plain(packed, *lines),), {told.id: COST_PUSD}))
    answer = clean(await place.chat(stream=stream))
    assert (answer.status, answer.end, answer.body) == (200, "complete", text)
    assert answer.header("Content-Encoding") in (None, "identity")
    assert await place.figures() == EXACT
    asked = place.upstream.chats()[0].head
    assert b"\r\naccept-encoding: identity\r\n" in asked.lower()
    await place.works()


@BOTH
@pytest.mark.parametrize("name", ["br", "zstd", "gzip, br"])
async def test_u22_packed_as_nobody_can_read(opened: Open, name: str, stream: bool) -> None:
    """It is passed on with its label, and the cost is looked up."""
    place = await opened()
    told = Told("gen-packed", COST_PUSD)
    lines = (f"Content-Encoding: {name}", f"X-Generation-Id: {told.id}")
    noise = bytes(range(1, 200)) * 3
    whole = stream_head(*lines) + chunk(noise) + END if stream else plain(noise, *lines)
    place.upstream.next(Turn((whole,), {told.id: COST_PUSD}))
    answer = clean(await place.chat(stream=stream))
    assert answer.body.startswith(noise)
    assert answer.header("Content-Encoding") == name
    assert (await place.figures())[:3] == ("settled", COST_PUSD, "generation")
    await place.works()


@BOTH
@pytest.mark.parametrize("case", ["cut off", "broken"])
async def test_u22_packed_and_broken(opened: Open, case: str, stream: bool) -> None:
    place = await opened()
    told = Told("gen-packed", COST_PUSD)
    packed = gzip.compress(b"".join(told.events()) * 3 if stream else told.body() * 3)
    packed = packed[: len(packed) // 2] if case == "cut off" else packed[:20] + b"\xff" * 200
    lines = ("Content-Encoding: gzip", f"X-Generation-Id: {told.id}")
    whole = stream_head(*lines) + chunk(packed) + END if stream else plain(packed, *lines)
    place.upstream.next(Turn((whole,), {told.id: COST_PUSD}))
    answer = clean(await place.chat(stream=stream))
    assert answer.end == "complete"
    if not stream:
        refused(answer, 502, "upstream_broken")
    row = await place.booked()
    assert (row["state"], row["cost_pusd"]) == ("settled", COST_PUSD)
    await place.works()


@BOTH
async def test_u22_a_bomb(opened: Open, stream: bool) -> None:
    """200 kB that unpack to 200 MB: unpacked piece by piece, and an answer that is held back has an end."""
    place = await opened()
    told = Told("gen-bomb", COST_PUSD)
    packer = zlib.compressobj(wbits=31)
    start = b": " if stream else b'{"a": "'
    packed = packer.compress(start) + b"".join(packer.compress(b"x" * (1 << 20)) for _ in range(200))
    packed += packer.compress(b"\n\n" + b"".join(told.events())) + packer.flush()
    assert len(packed) < 300_000
    lines = ("Content-Encoding: gzip", f"X-Generation-Id: {told.id}")
    whole = stream_head(*lines) + chunk(packed) + END if stream else plain(packed, *lines)
    place.upstream.next(Turn((whole,), {told.id: COST_PUSD}))
    if not stream:
        refused(await place.chat(), 502, "upstream_broken")
        assert (await place.figures())[:3] == ("settled", COST_PUSD, "generation")
    else:
        memory = Memory()
        client = await place.begin_chat(stream=True)
        size, last = 0, b""
        while b"data: [DONE]" not in last:
            piece = await client.read_some()
            assert piece
            size, last = size + len(piece), last[-200:] + piece
        assert size > 200 << 20
        assert memory.grown_bytes() < 64 << 20
        assert await place.figures() == EXACT
    await place.works()


LIES = {
    "two lengths": ("Content-Length: 5", "Content-Length: 6"),
    "length and chunks": ("Content-Length: 5", "Transfer-Encoding: chunked"),
    "a length that is none": ("Content-Length: five",),
    "a negative length": ("Content-Length: -5",),
    "unknown framing": ("Transfer-Encoding: gzip",),
    "NUL in a value": ("X-A: a\x00b", "Content-Length: 5"),
    "CR in a value": ("X-A: a\rX-B: c", "Content-Length: 5"),
    "a folded header": ("X-A: a\r\n b", "Content-Length: 5"),
    "no colon": ("X-A a", "Content-Length: 5"),
    "1001 headers": tuple(f"X-{n}: a" for n in range(1001)),
    "300 kB of headers": tuple(f"X-{n}: {'a' * 3000}" for n in range(100)),
    "one header of 300 kB": (f"X-A: {'a' * 300_000}",),
}


@BOTH
@pytest.mark.parametrize("case", LIES)
async def test_u23_a_head_that_can_be_read_in_two_ways(opened: Open, case: str, stream: bool) -> None:
    place = await opened()
    told = Told("gen-lies", COST_PUSD)
    type_ = "text/event-stream" if stream else "application/json"
    place.upstream.next(Turn((head(200, f"Content-Type: {type_}", *LIES[case]) + told.body(), Close())))
    refused(await place.chat(stream=stream), 502, "upstream_broken")
    row = await place.booked()
    assert await place.figures() == (*guessed(row, "openrouter"), "upstream_broken", 502)
    assert len(place.upstream.chats()) == 1
    await place.works()


@pytest.mark.parametrize(
    "first",
    [
        b"HTTP/2 200 OK\r\n",
        b"HTTP/1.1 2000 OK\r\n",
        b"HTTP/1.1 OK\r\n",
        b"HTTP/1.1 000 Zero\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n",
        b"220 smtp.example.com ESMTP\r\n",
        b"\x00\x00\x12\x04\x00\x00\x00\x00\x00",
        b"HTTP/1.1 103 Early Hints\r\n\r\n" * 20 + b"HTTP/1.1 200 OK\r\n",
    ],
)
async def test_u23_a_first_line_that_is_none(opened: Open, first: bytes) -> None:
    place = await opened()
    place.upstream.next(Turn((first + b"Content-Length: 2\r\n\r\n{}", Close())))
    refused(await place.chat(), 502, "upstream_broken")
    row = await place.booked()
    assert await place.figures() == (*guessed(row, "openrouter"), "upstream_broken", 502)
    await place.works()


@BOTH
@pytest.mark.parametrize("status", [1, 99, 600, 777, 999])
async def test_u23_a_status_that_is_none(opened: Open, status: int, stream: bool) -> None:
    """It is the provider's fault, whatever is behind it: no client gets it, the breaker counts it, and it is booked."""
    place = await opened()
    body = b'{"error": {"message": "Odd.", "code": %d}}' % status
    lines = ("Content-Type: application/json", f"Content-Length: {len(body)}")
    for n in range(2):
        place.upstream.next(Turn((head(status, *lines).replace(b" 1 ", b" 001 ").replace(b" 99 ", b" 099 ") + body,)))
        refused(await place.chat(stream=stream), 502, "upstream_broken")
        row = await place.booked()
        assert await place.figures() == (*guessed(row, "openrouter"), "upstream_broken", 502)
        assert len(place.upstream.chats()) == n + 1
    await place.works()


async def test_u23_interim_answers(opened: Open) -> None:
    """A few answers with 1xx before the real one are skipped."""
    place = await opened()
    told = Told("gen-interim", COST_PUSD)
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    place.upstream.next(Turn((interim + told.answer(),), {told.id: COST_PUSD}))
    answer = clean(await place.chat())
    assert (answer.interim, answer.body) == ([], told.body())
    assert await place.figures() == EXACT
    await place.works()


PRIVATE = (
    "Set-Cookie: session=1; Path=/",
    "Set-Cookie: other=2",
    "Server: cloudflare",
    "Via: 1.1 cache",
    "Alt-Svc: h3=:443",
    "Strict-Transport-Security: max-age=1",
    "Access-Control-Allow-Origin: *",
    "Location: http://elsewhere.test/",
    "OpenAI-Organization: the-operators",
    "Anthropic-Organization-Id: the-operators",
    "X-Amzn-Trace: 1",
    "Keep-Alive: timeout=5",
    "Proxy-Authenticate: Basic",
    "Trailer: X-T",
    "WWW-Authenticate: Bearer",
    "Content-Security-Policy: default-src none",
    "X-Tollkeeper-Cost-Usd: 99",
    f"CF-Ray: {'a' * 9000}",
    "X-RateLimit-Odd: \xff\xfe",
)
ALLOWED = {
    "content-type",
    "content-length",
    "date",
    "server",
    "x-generation-id",
    "x-request-id",
    "x-upstream-request-id",
    "x-ratelimit-remaining",
    "x-ratelimit-odd",
    "retry-after",
    "transfer-encoding",
    "cache-control",
    "x-accel-buffering",
}


@KINDS
@BOTH
async def test_u23_headers_that_are_nobody_elses(opened: Open, provider: str, stream: bool) -> None:
    """Only listed headers reach the client; a cookie, an account's name, hop-by-hop ones do not."""
    place = await opened()
    told = Told("gen-headers", PRICED_PUSD)
    lines = (*PRIVATE, "X-RateLimit-Remaining: 5", "X-Request-Id: theirs")
    sent = told.stream(None, *lines) + END if stream else told.answer(*lines)
    place.upstream.next(Turn((sent,), {told.id: PRICED_PUSD}))
    answer = clean(await place.chat(provider, stream=stream))
    assert (answer.status, answer.end) == (200, "complete")
    got = [name.lower() for name, _ in answer.headers]
    assert {name for name in got if not name.startswith("x-tollkeeper-")} <= ALLOWED
    assert len(set(got)) == len(got)
    assert answer.header("Server") == "tollkeeper"
    assert answer.header("X-RateLimit-Remaining") == "5"
    assert answer.header("x-upstream-request-id") == "theirs"
    assert answer.header("x-tollkeeper-cost-usd") != "99"
    assert "the-operators" not in str(answer.headers)
    assert (await place.booked())["cost_pusd"] == PRICED_PUSD
    await place.works(provider)


async def test_u23_a_long_reason_is_not_copied(opened: Open) -> None:
    place = await opened()
    told = Told("gen-reason", COST_PUSD)
    sent = told.answer().replace(b"Whatever", b"<script>" * 50)
    place.upstream.next(Turn((sent,), {told.id: COST_PUSD}))
    client = await place.begin_chat(stream=False)
    assert (await client.read_until(b"\r\n")).startswith(b"HTTP/1.1 200 OK\r\n")
    assert await place.figures() == EXACT
    await place.works()


@BOTH
async def test_u23_204_with_a_body(opened: Open, stream: bool) -> None:
    """It has no body by definition; what follows is nobody's answer, and the connection is not used again."""
    place = await opened()
    told = Told("gen-204", COST_PUSD)
    sent = head(204, "Content-Type: application/json", f"Content-Length: {len(told.body())}") + told.body()
    place.upstream.next(Turn((sent,)))
    answer = clean(await place.chat(stream=stream))
    assert b"Once" not in answer.body
    row = await place.booked()
    assert (row["cost_pusd"], row["cost_source"]) == (row["reserved_pusd"], "reservation")
    await place.works()


@KINDS
@BOTH
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_u24_a_redirect(opened: Open, provider: str, stream: bool, status: int) -> None:
    """Never followed: key and prompt go to the configured host only."""
    place = await opened()
    came: list[bytes] = []

    async def elsewhere(peer: Peer) -> None:
        came.append(await peer.reader.read(1 << 16))

    async with serving(elsewhere) as other:
        targets = (f"{other.url}/api/v1/chat/completions", f"//127.0.0.1:{other.port}/", "http://169.254.169.254/")
        for location in targets:
            place.upstream.next(Turn((plain(b"<a>moved</a>", f"Location: {location}", status=status),)))
            answer = await place.chat(provider, stream=stream)
            refused(answer, 502, "upstream_redirect")
            assert location.encode() not in answer.body
            assert answer.header("Location") is None
            assert await place.figures() == ("released", 0, "none", None, "upstream_redirect", 502)
        assert (other.connections, came) == (0, [])
    assert len(place.upstream.chats()) == len(targets)
    await place.works(provider)


@pytest.mark.parametrize("type_", ["text/plain", "application/octet-stream", None, "text/html; charset=utf-8"])
async def test_u25_a_stream_under_another_name(opened: Open, type_: str | None) -> None:
    """It was asked for as a stream and is one."""
    place = await opened()
    told = Told("gen-named", COST_PUSD)
    events = b"".join(told.events())
    lines = ["Transfer-Encoding: chunked"] + ([] if type_ is None else [f"Content-Type: {type_}"])
    place.upstream.next(Turn((head(200, *lines) + chunk(events) + END,), {told.id: COST_PUSD}))
    answer = clean(await place.chat(stream=True))
    assert (answer.status, answer.body) == (200, events)
    assert await place.figures() == EXACT
    await place.works()


async def test_u25_json_for_a_stream(opened: Open) -> None:
    place = await opened()
    told = Told("gen-json", COST_PUSD)
    place.upstream.next(Turn((told.answer(),), {told.id: COST_PUSD}))
    answer = clean(await place.chat(stream=True))
    assert (answer.status, answer.body, answer.content_type) == (200, told.body(), "application/json")
    assert await place.figures() == EXACT
    await place.works()


async def test_u25_json_that_calls_itself_a_stream(opened: Open) -> None:
    place = await opened()
    told = Told("gen-json", COST_PUSD)
    place.upstream.next(Turn((plain(told.body(), type_="text/event-stream"),), {told.id: COST_PUSD}))
    answer = clean(await place.chat(stream=True))
    assert (answer.status, answer.body) == (200, told.body())
    assert await place.figures() == EXACT
    await place.works()


async def test_u25_a_stream_for_json(opened: Open) -> None:
    """Passed on as what it is."""
    place = await opened()
    told = Told("gen-stream", COST_PUSD)
    place.upstream.next(Turn((told.stream() + END,), {told.id: COST_PUSD}))
    answer = clean(await place.chat(stream=False))
    assert (answer.status, answer.body) == (200, b"".join(told.events()))
    assert answer.content_type == "text/event-stream"
    assert await place.figures() == EXACT
    await place.works()


@pytest.mark.parametrize("type_", ["text/html", "application/octet-stream", None])
async def test_u25_json_under_another_name(opened: Open, type_: str | None) -> None:
    place = await opened()
    told = Told("gen-json", COST_PUSD)
    place.upstream.next(Turn((plain(told.body(), type_=type_),), {told.id: COST_PUSD}))
    answer = clean(await place.chat())
    assert (answer.status, answer.body) == (200, told.body())
    assert await place.figures() == EXACT
    await place.works()


@BOTH
async def test_u25_neither_of_them(opened: Open, stream: bool) -> None:
    """A page under 200, as portals of hotels send it: charged at the worst case, for nobody can tell."""
    place = await opened()
    place.upstream.next(Turn((plain(b"<html>Please log in</html>", type_="text/html"),)))
    answer = clean(await place.chat(stream=stream))
    assert answer.end == "complete"
    row = await place.booked()
    assert (row["cost_pusd"], row["cost_source"]) == (row["reserved_pusd"], "reservation")
    await place.works()


async def test_u25_an_error_event_and_done(opened: Open) -> None:
    """An error object where a stream was asked for, sent as an event: passed on, and free when there was no id."""
    place = await opened()
    events = event(json.dumps({"error": {"message": "no", "code": 400}})) + DONE
    place.upstream.next(Turn((stream_head() + chunk(events) + END,)))
    answer = clean(await place.chat(stream=True))
    assert answer.body == events
    assert (await place.figures())[:3] == ("released", 0, "none")
    await place.works()
