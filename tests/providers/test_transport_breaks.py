"""What every transport does when an exchange does not end well: the kind of error, and whether anything was sent."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from msgspec.structs import replace

from proxy.providers.deadlines import Deadlines
from proxy.providers.transport.base import TransportError
from tests.providers.conftest import Make
from tests.providers.scripted import (
    BODY,
    DEADLINES,
    HEADERS,
    KEY,
    DeafListener,
    Peer,
    always,
    closed_port,
    plain,
    read_all,
    serving,
)

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"
BIG = b"x" * (16 << 20)


async def broken(task: Awaitable[object]) -> tuple[str, bool]:
    with pytest.raises(TransportError) as caught:
        await task
    shown = f"{caught.value!r} {caught.value.__cause__!r} {caught.value.__context__!r}"
    assert caught.value.__suppress_context__ or KEY not in shown
    assert KEY not in repr(caught.value)
    return caught.value.kind, caught.value.dispatched


async def get(make: Make, url: str, deadlines: Deadlines = DEADLINES) -> bytes:
    return await read_all(await make(url).send("POST", url + "/x", HEADERS, BODY, deadlines))


async def test_a_port_on_which_nobody_listens(make: Make) -> None:
    url = f"http://127.0.0.1:{closed_port()}"
    assert await broken(get(make, url)) == ("unreachable", False)


@pytest.mark.parametrize(
    "url", ["http://a..b", f"http://{'a' * 64}.example", "http:///x", "ftp://127.0.0.1", "http://"]
)
async def test_an_address_that_is_none(make: Make, url: str) -> None:
    assert await broken(get(make, url)) in [("unreachable", False), ("broken", True)]


async def test_a_host_that_drops_packets(make: Make) -> None:
    with DeafListener() as deaf:
        url = f"http://127.0.0.1:{deaf.port}"
        assert await broken(get(make, url, replace(DEADLINES, connect_s=0.2))) == ("connect_timeout", False)


async def test_the_header_time_out_while_it_still_connects(make: Make, kind: str) -> None:
    with DeafListener() as deaf:
        url = f"http://127.0.0.1:{deaf.port}"
        got = await broken(get(make, url, replace(DEADLINES, header_s=0.2)))
        # aiohttp cannot tell where it was
        assert got == (("header_timeout", True) if kind == "aiohttp" else ("connect_timeout", False))


async def test_silence_before_the_head(make: Make) -> None:
    async with serving(Peer.ended) as server:
        assert await broken(get(make, server.url, replace(DEADLINES, header_s=0.2))) == ("header_timeout", True)


async def test_a_head_that_drips(make: Make) -> None:
    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\n")
        while True:
            await peer.send(b"X: y\r\n")
            await asyncio.sleep(0.02)

    async with serving(play) as server:
        assert await broken(get(make, server.url, replace(DEADLINES, header_s=0.3))) == ("header_timeout", True)


@pytest.mark.parametrize(
    "head", [CHUNKED, CHUNKED + b"5\r\nhello\r\n", LENGTH, LENGTH + b"hello", b"HTTP/1.0 200 \r\n\r\n"]
)
async def test_silence_within_the_body(make: Make, head: bytes) -> None:
    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.send(head)
        await peer.ended()

    async with serving(play) as server:
        assert await broken(get(make, server.url, replace(DEADLINES, idle_s=0.2))) == ("idle_timeout", True)


async def test_a_body_that_drips_lives_until_the_total_time_out(make: Make) -> None:
    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED)
        while True:
            await peer.send(b"1\r\n:\r\n")
            await asyncio.sleep(0.02)

    async with serving(play) as server:
        deadlines = replace(DEADLINES, idle_s=0.5, total_s=1.0)
        answer = await make(server.url).send("POST", server.url + "/x", HEADERS, BODY, deadlines)
        got = b""

        async def read() -> None:
            nonlocal got
            while piece := await answer.read():
                got += piece

        assert await broken(read()) == ("total_timeout", True)
        assert len(got) > 5


def drip(pieces: int) -> Callable[[Peer], Awaitable[None]]:
    """Send so many comments, one after the other, and the end."""

    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED)
        for _ in range(pieces):
            await peer.send(b"1\r\n:\r\n")
            await asyncio.sleep(0.02)
        await peer.send(b"0\r\n\r\n")
        await peer.ended()

    return play


async def test_comments_are_no_content(make: Make) -> None:
    """They are life for idle_s, but while content is awaited they do not stretch first_token_s."""
    async with serving(drip(100_000)) as server:
        deadlines = replace(DEADLINES, idle_s=5, total_s=30, first_token_s=0.2)
        answer = await make(server.url).send("POST", server.url + "/x", HEADERS, BODY, deadlines)
        answer.awaits_content = True
        assert await broken(read_all(answer)) == ("first_token_timeout", True)


async def test_silence_before_the_content_is_told_by_what_ends_first(make: Make) -> None:
    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED)
        await peer.ended()

    async with serving(play) as server:
        for idle_s, first_token_s, kind in ((0.1, 5, "idle_timeout"), (5, 0.1, "first_token_timeout")):
            deadlines = replace(DEADLINES, idle_s=idle_s, first_token_s=first_token_s)
            answer = await make(server.url).send("POST", server.url + "/x", HEADERS, BODY, deadlines)
            answer.awaits_content = True
            assert await broken(read_all(answer)) == (kind, True)


@pytest.mark.parametrize("awaited", [0, 3], ids=["nobody awaits it", "it has come"])
async def test_no_first_token_time_out_without_a_wait_for_it(make: Make, awaited: int) -> None:
    """Whoever reads says whether content is still awaited; without that, or after it, the time-out says nothing."""
    async with serving(drip(75)) as server:
        deadlines = replace(DEADLINES, first_token_s=1)
        answer = await make(server.url).send("POST", server.url + "/x", HEADERS, BODY, deadlines)
        answer.awaits_content = awaited > 0
        got = b""
        while piece := await answer.read():
            got += piece
            answer.awaits_content = len(got) < awaited
        assert got == b":" * 75


async def test_a_reader_that_is_slow_is_no_silence(make: Make, kind: str) -> None:
    if kind == "aiohttp":
        pytest.skip("aiohttp's watch counts from the last read, so a client that is slow ends the answer")

    async def play(peer: Peer) -> None:
        while await peer.request():
            await peer.send(plain(BIG))

    async with serving(play) as server:
        deadlines = replace(DEADLINES, idle_s=0.3)
        answer = await make(server.url).send("POST", server.url + "/x", HEADERS, BODY, deadlines)
        assert await answer.read()
        await asyncio.sleep(1.2)
        while await answer.read():
            pass


END = {"fin": lambda peer: peer.writer.close(), "rst": Peer.reset}
PHASES = {
    "before the head": b"",
    "in the status line": b"HTTP/1.1 2",
    "in the head": b"HTTP/1.1 200 OK\r\nContent-Le",
    "before the end of the head": LENGTH[:-2],
    "after an interim answer": b"HTTP/1.1 100 Continue\r\n\r\n",
    "after the head": LENGTH,
    "in the body": LENGTH + b"half",
    "after the head, chunked": CHUNKED,
    "in a chunk size": CHUNKED + b"5",
    "in a chunk": CHUNKED + b"5\r\nhal",
    "between chunks": CHUNKED + b"5\r\nhello\r\n",
    "before the last line": CHUNKED + b"5\r\nhello\r\n0\r\n",
    "length and close": b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 9\r\n\r\nhalf",
}


@pytest.mark.parametrize("end", END)
@pytest.mark.parametrize("phase", PHASES)
async def test_an_answer_that_breaks_off(make: Make, phase: str, end: str) -> None:
    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.send(PHASES[phase])
        await asyncio.sleep(0.02)  # what was sent is read before the end comes
        END[end](peer)

    async with serving(play) as server:
        assert await broken(get(make, server.url)) == ("broken", True)


async def test_a_reset_does_not_end_a_body_well(make: Make, kind: str) -> None:
    if kind == "aiohttp":
        pytest.skip("aiohttp takes any end of the connection for the end of a body without a length")

    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\nhalf")
        await asyncio.sleep(0.02)
        peer.reset()

    async with serving(play) as server:
        assert await broken(get(make, server.url)) == ("broken", True)


async def test_what_came_before_the_break_can_be_read(make: Make, kind: str) -> None:
    if kind == "aiohttp":
        pytest.skip("aiohttp drops what nobody had read yet; the pool hands it out, for the usage may be in it")

    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED + b"5\r\nfirst\r\n")
        await peer.send(b"6\r\nsecond\r\n")

    async with serving(play) as server:
        answer = await make(server.url).send("POST", server.url + "/x", HEADERS, BODY, DEADLINES)
        await asyncio.sleep(0.1)
        assert await answer.read() == b"firstsecond"
        for _ in range(2):
            assert await broken(answer.read()) == ("broken", True)


@pytest.mark.parametrize("end", END)
async def test_a_connection_that_ends_as_it_opens(make: Make, end: str) -> None:
    async def play(peer: Peer) -> None:
        END[end](peer)

    async with serving(play) as server:
        assert (await broken(get(make, server.url)))[0] in {"broken", "unreachable"}


OTHER = b"HTTP/1.1 200 OK\r\n"
REFUSED = {
    "no HTTP": b"SSH-2.0-OpenSSH_9.6\r\n",
    "NUL in a value": OTHER + b"X: a\0b\r\nContent-Length: 2\r\n\r\nhi",
    "space before the colon": OTHER + b"X : a\r\nContent-Length: 2\r\n\r\nhi",
    "no name": OTHER + b": a\r\nContent-Length: 2\r\n\r\nhi",
    "two lengths": OTHER + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nhi!",
    "a negative length": OTHER + b"Content-Length: -2\r\n\r\nhi",
    "a length that is no number": OTHER + b"Content-Length: 0x2\r\n\r\nhi",
    "a length beyond 64 bits": OTHER + b"Content-Length: 99999999999999999999\r\n\r\nhi",
    "length and chunked": OTHER + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    "chunked and length": OTHER + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    "a chunk size that is no number": CHUNKED + b"zz\r\nhi\r\n0\r\n\r\n",
    "a chunk size beyond 64 bits": CHUNKED + b"fffffffffffffffff\r\nhi\r\n0\r\n\r\n",
    "a chunk longer than its size": CHUNKED + b"1\r\nhi\r\n0\r\n\r\n",
    "a status of two digits": b"HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\nhi",
    **{
        f"status {status}": b"HTTP/1.1 %03d Whatever\r\nContent-Length: 2\r\n\r\nhi" % status
        for status in (0, 1, 99, 600, 777, 999)
    },
    "a status of four digits": b"HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\nhi",
    "a reason in place of a status": b"HTTP/1.1 OK\r\nContent-Length: 2\r\n\r\nhi",
    "a change of protocol": b"HTTP/1.1 101 Up\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nhi",
    "a header of 1 MB": OTHER + b"X: " + b"a" * (1 << 20) + b"\r\n\r\n",
    "headers without end": OTHER + b"X-Name-%d: some value\r\n" * (1 << 16),
}
ONLY_POOL = {  # name: (answer, what aiohttp makes of it)
    "a folded header": (OTHER + b"X: a\r\n b\r\nContent-Length: 2\r\n\r\nhi", "joins the lines"),
    "bare LF": (b"HTTP/1.1 200 OK\nContent-Length: 2\n\nhi", "takes it for a line's end"),
    "interim answers without end": (b"HTTP/1.1 102 Wait\r\n\r\n" * 1000, "waits until the header time-out"),
    "an unknown transfer encoding": (OTHER + b"Transfer-Encoding: gzip\r\n\r\nhi", "reads to the end"),
    "chunked, but not last": (OTHER + b"Transfer-Encoding: chunked, gzip\r\n\r\nhi", "reads to the end"),
    "a trailer without end": (CHUNKED + b"0\r\nX: " + b"a" * (1 << 20), "keeps it until the total time-out"),
    "an extension without end": (CHUNKED + b"2;" + b"a" * (1 << 20), "reads on until the total time-out"),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_an_answer_that_can_be_read_in_two_ways(make: Make, name: str) -> None:
    async with serving(always(REFUSED[name])) as server:
        assert await broken(get(make, server.url)) == ("broken", True)


@pytest.mark.parametrize("name", ONLY_POOL)
async def test_an_answer_that_only_the_pool_refuses(make: Make, kind: str, name: str) -> None:
    raw, otherwise = ONLY_POOL[name]
    if kind == "aiohttp":
        pytest.skip(f"aiohttp {otherwise}")
    async with serving(always(raw)) as server:
        assert await broken(get(make, server.url)) == ("broken", True)


async def test_an_odd_head_is_no_reason_to_lose_an_answer(make: Make) -> None:
    many = [f"X-{n}: {n}" for n in range(900)]
    async with serving(always(plain(b"hi", "X-Long: " + "a" * 60_000, *many))) as server:
        transport = make(server.url)
        for _ in range(2):
            answer = await transport.send("POST", server.url + "/x", HEADERS, BODY, DEADLINES)
            assert await read_all(answer) == b"hi"
            assert len(answer.headers) == 902
        assert server.connections == 1


@pytest.mark.parametrize(
    "headers",
    [
        {"X": "a\r\nY: b"},
        {"X": "a\nb"},
        {"X": "a\rb"},
        {"X": "a\0b"},
        {"X\r\nY": "a"},
        {"X Y": "a"},
        {"X:": "a"},
        {"": "a"},
    ],
)
async def test_headers_that_would_end_a_line_are_not_sent(make: Make, kind: str, headers: dict[str, str]) -> None:
    if kind == "aiohttp" and headers.keys() & {"X Y", "X:", ""}:
        pytest.skip("aiohttp sends such names; the pool does not")
    async with serving(Peer.ended) as server:
        transport = make(server.url)
        got = await broken(transport.send("POST", server.url + "/x", HEADERS | headers, BODY, DEADLINES))
        # aiohttp finds out with the connection in its hand, and cannot tell
        assert got == ("broken", kind == "aiohttp")


@pytest.mark.parametrize("complete", [False, True])
async def test_abort(make: Make, complete: bool) -> None:
    ended = asyncio.Event()

    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.send(plain(b"hi") if complete else CHUNKED + b"2\r\nhi\r\n")
        await peer.ended()
        ended.set()

    async with serving(play) as server:
        transport = make(server.url)
        answer = await transport.send("POST", server.url + "/x", HEADERS, BODY, DEADLINES)
        assert await answer.read() == b"hi"
        if complete:
            assert await answer.read() == b""
            answer.abort()
            answer.abort()
            return
        pending = asyncio.ensure_future(answer.read())
        await asyncio.sleep(0.02)
        answer.abort()
        assert await broken(pending) == ("broken", True)
        assert await broken(answer.read()) == ("broken", True)
        answer.abort()
        await asyncio.wait_for(ended.wait(), 10)


async def test_abort_of_an_answer_that_is_done_leaves_others_alone(make: Make) -> None:
    async with serving(always(plain(b"hi"))) as server:
        transport = make(server.url)
        old = await transport.send("POST", server.url + "/x", HEADERS, BODY, DEADLINES)
        assert await read_all(old) == b"hi"
        new = await transport.send("POST", server.url + "/x", HEADERS, BODY, DEADLINES)
        old.abort()
        assert await read_all(new) == b"hi"
        assert server.connections == 1


async def test_cancelled_while_it_connects(make: Make) -> None:
    with DeafListener() as deaf:
        url = f"http://127.0.0.1:{deaf.port}"
        await _cancel(make(url).send("POST", url + "/x", HEADERS, BODY, DEADLINES))


@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 200 OK\r\n"])
@pytest.mark.parametrize("body", [BODY, BIG])
async def test_cancelled_before_the_head(make: Make, sent: bytes, body: bytes) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def play(peer: Peer) -> None:
        await peer.head()
        await peer.send(sent)
        begun.set()
        await asyncio.sleep(0.1)
        await peer.ended()
        ended.set()

    async with serving(play) as server:
        await _cancel(make(server.url).send("POST", server.url + "/x", HEADERS, body, DEADLINES), begun)
        await asyncio.wait_for(ended.wait(), 10)


async def test_cancelled_within_the_body(make: Make, kind: str) -> None:
    if kind == "aiohttp":
        pytest.skip("aiohttp leaves the connection open until the answer is aborted, or the deadline")
    ended = asyncio.Event()

    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED + b"2\r\nhi\r\n")
        await peer.ended()
        ended.set()

    async with serving(play) as server:
        answer = await make(server.url).send("POST", server.url + "/x", HEADERS, BODY, DEADLINES)
        assert await answer.read() == b"hi"
        await _cancel(answer.read())
        await asyncio.wait_for(ended.wait(), 10)
        assert await broken(answer.read()) == ("broken", True)


async def _cancel(work: Awaitable[object], begun: asyncio.Event | None = None) -> None:
    """Cancel it a moment after it has begun: at once, or where the event is set."""
    task = asyncio.ensure_future(work)
    if begun is not None:
        await asyncio.wait_for(begun.wait(), 10)
    await asyncio.sleep(0.05)
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_close_ends_everything(make: Make, kind: str) -> None:
    if kind == "aiohttp":
        pytest.skip("aiohttp's close() leaves a pending read to its deadline")

    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED + b"2\r\nhi\r\n")
        await peer.ended()

    async with serving(play) as server, serving(Peer.ended) as silent:
        transport = make(server.url)
        answer = await transport.send("POST", server.url + "/x", HEADERS, BODY, DEADLINES)
        assert await answer.read() == b"hi"
        reading = asyncio.ensure_future(answer.read())
        mute = make(silent.url)
        sending = asyncio.ensure_future(mute.send("POST", silent.url + "/x", HEADERS, BODY, DEADLINES))
        await asyncio.sleep(0.05)
        await asyncio.gather(transport.close(), mute.close())
        assert await broken(reading) == ("broken", True)
        assert await broken(sending) == ("broken", True)
        await transport.close()
        again = transport.send("POST", server.url + "/x", HEADERS, BODY, DEADLINES)
        assert await broken(again) == ("unreachable", False)


async def test_what_arrived_before_a_break_is_handed_out_first(make: Make) -> None:
    """Also where the reader was busy meanwhile: it was paid for."""
    both_sent = asyncio.Event()

    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.send(LENGTH + b"hello")
        await both_sent.wait()
        await peer.send(b" world")
        peer.reset()

    async with serving(play) as server:
        answer = await make(server.url).send("POST", server.url + "/x", HEADERS, BODY, DEADLINES)
        assert await answer.read() == b"hello"
        both_sent.set()
        await asyncio.sleep(0.1)  # the piece and the break arrive while nobody reads
        assert await answer.read() == b" world"
        assert await broken(answer.read()) == ("broken", True)
