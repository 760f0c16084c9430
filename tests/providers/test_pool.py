"""What only the pool has: one timer for all deadlines, its own way to write a request and to find an address."""

import asyncio
import socket
import subprocess
import sys
import threading
import time
from typing import Any

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from proxy.providers.transport.base import SentHeaders
from proxy.providers.transport.pool import pool
from proxy.providers.transport.pool.addresses import Addresses, connect
from proxy.providers.transport.pool.origin import Origin
from proxy.providers.transport.pool.pool import PooledTransport
from proxy.providers.transport.pool.request_head import HeaderRefusedError, request_head
from tests.cli.command_line import ROOT
from tests.providers.scripted import (
    BODY,
    DEADLINES,
    HEADERS,
    DeafListener,
    Peer,
    always,
    closed_port,
    plain,
    read_all,
    serving,
)
from tests.support.patience import eventually

pytestmark = pytest.mark.usefixtures("watched")


@pytest.mark.parametrize(
    ("base_url", "url", "target", "host"),
    [
        ("https://openrouter.ai/api/v1", "https://openrouter.ai/api/v1/chat", "/api/v1/chat", "openrouter.ai"),
        ("https://openrouter.ai:443/api", "https://openrouter.ai/api?a=1#x", "/api?a=1", "openrouter.ai"),
        ("https://openrouter.ai", "https://openrouter.ai:443", "/", "openrouter.ai"),
        ("HTTPS://OpenRouter.AI/api", "HTTPS://OpenRouter.AI/api/x", "/api/x", "openrouter.ai"),
        ("HTTPS://OpenRouter.AI/api", "https://openrouter.ai/api/x", "/api/x", "openrouter.ai"),
        ("http://127.0.0.1:11434/v1", "http://127.0.0.1:11434/v1/models", "/v1/models", "127.0.0.1:11434"),
        ("http://[::1]:80/v1", "http://[::1]:80/v1?q", "/v1?q", "[::1]"),
        ("http://[::1]:8080/v1", "http://[::1]:8080?q", "/?q", "[::1]:8080"),
        (
            "http://b\u00fccher.example/v1",
            "http://b\u00fccher.example/v1/\u00e4 b",
            "/v1/%C3%A4%20b",
            "xn--bcher-kva.example",
        ),
        ("http://h/v1", "http://h/v1/a%20b\r\nX: y", "/v1/a%20b%0D%0AX:%20y", "h"),
    ],
)
def test_origin(base_url: str, url: str, target: str, host: str) -> None:
    origin = Origin(base_url)
    assert origin.host_header == host
    # urlsplit leaves line breaks out where it is asked; nothing of a URL can end the request line either way
    assert origin.target(url) in {target, target.replace("%0D%0A", "")}


@pytest.mark.parametrize(
    "url",
    [
        "https://openrouter.ai.evil.com/api",
        "https://openrouter.ai@evil.com/api",
        "https://user@openrouter.ai/api",
        "https://openrouter.ai:8443/api",
        "https://openrouter.aix/api",
        "http://openrouter.ai/api",
        "//openrouter.ai/api",
        "/api",
        "",
    ],
)
def test_another_origin(url: str) -> None:
    with pytest.raises(ValueError, match="another origin"):
        Origin("https://openrouter.ai/api/v1").target(url)


async def test_a_url_elsewhere_is_a_mistake_of_ours_and_nothing_is_sent() -> None:
    async with serving(always(plain(b""))) as server, serving(always(plain(b""))) as other:
        transport = PooledTransport(server.url)
        with pytest.raises(ValueError, match="another origin"):
            await transport.send("POST", other.url + "/x", HEADERS, BODY, DEADLINES)
        assert (server.connections, other.connections) == (0, 0)
        await transport.close()


async def test_the_head_that_is_kept_is_that_of_its_transport_and_url() -> None:
    """Of what is sent with the same headers all but the body's length is the same, and only to the same place."""
    heard: list[bytes] = []

    async def play(peer: Peer) -> None:
        while request := await peer.request():
            heard.append(request)
            await peer.send(plain(b"hi"))

    async with serving(play) as server, serving(play) as other:
        transport, headers = PooledTransport(server.url), SentHeaders(HEADERS)
        elsewhere = PooledTransport(other.url)
        url = f"{server.url}/x"
        try:
            for body in (b"1", b"22", b"4" * 4444):
                await read_all(await transport.send("POST", url, headers, body, DEADLINES))
            await read_all(await transport.send("POST", f"{url}y", headers, b"1", DEADLINES))
            await read_all(await transport.send("PUT", url, headers, b"1", DEADLINES))
            await read_all(await transport.send("GET", url, headers, None, DEADLINES))
            with pytest.raises(ValueError, match="another origin"):
                await elsewhere.send("POST", url, headers, b"1", DEADLINES)
            await read_all(await elsewhere.send("POST", f"{other.url}/x", headers, b"1", DEADLINES))
        finally:
            await transport.close()
            await elsewhere.close()

    def expected(method: str, path: str, of: str, body: bytes | None) -> bytes:
        return request_head(method, path, of.removeprefix("http://"), HEADERS, body) + (body or b"")

    assert heard == [
        *(expected("POST", "/x", server.url, body) for body in (b"1", b"22", b"4" * 4444)),
        expected("POST", "/xy", server.url, b"1"),
        expected("PUT", "/x", server.url, b"1"),
        expected("GET", "/x", server.url, None),
        expected("POST", "/x", other.url, b"1"),
    ]


class Reader:
    """What llhttp, strict, hears of a request."""

    def __init__(self, raw: bytes) -> None:
        self.url = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.body = b""
        self.messages = 0
        self.parser = httptools.HttpRequestParser(self)
        self.parser.feed_data(raw)

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name, value))

    def on_body(self, data: bytes) -> None:
        self.body += data

    def on_message_complete(self) -> None:
        self.messages += 1


_TEXT = st.text(st.characters(max_codepoint=0x17F), max_size=12) | st.sampled_from(
    ["Host", "content-length", "Transfer-Encoding", "X", "a\r\nb", "x\n", "\r", "\0", "X-Y", ":", "", " a"]
)


@given(st.dictionaries(_TEXT, _TEXT, max_size=4), st.none() | st.binary(max_size=20))
def test_a_request_is_refused_or_read_as_it_was_meant(headers: dict[str, str], body: bytes | None) -> None:
    try:
        head = request_head("POST", "/x?y", "h:1", headers, body)
    except HeaderRefusedError:
        bad = [name for name in headers if not name or not name.isascii() or name.lower() in {"host", "content-length"}]
        odd = [name for name in headers if any(char in name for char in ":() \r\n\0") or not name.isprintable()]
        assert bad or odd or _tokens(headers) < len(headers) or any(set(v) & set("\r\n\0") for v in headers.values())
        return
    if any(ord(char) < 32 or ord(char) == 127 for value in headers.values() for char in value):
        return  # other control characters are the receiver's to refuse; they end no line
    heard = Reader(head + (body or b""))
    assert heard.messages == 1
    assert (heard.url, heard.body) == (b"/x?y", body or b"")
    sent = {name.encode(): value.encode().strip(b" \t") for name, value in headers.items()}
    own = {b"Host": b"h:1", b"Content-Length": b"%d" % len(body or b"")}
    assert {name: value.strip(b" \t") for name, value in heard.headers} == own | sent


def _tokens(headers: dict[str, str]) -> int:
    """Count the names that a provider may be sent."""
    own = {"host", "content-length", "transfer-encoding", "connection", "upgrade", "expect"}
    signs = "!#$%&'*+-.^_`|~"
    return sum(
        bool(name)
        and name.lower() not in own
        and all(char.isascii() and (char.isalnum() or char in signs) for char in name)
        for name in headers
    )


@pytest.mark.parametrize("method", ["HEAD", "CONNECT", "get", "", "GET /x HTTP/1.1\r\nX:"])
def test_methods_that_are_not_sent(method: str) -> None:
    with pytest.raises(ValueError, match="cannot be sent"):
        request_head(method, "/", "h", {}, None)


def test_bytes_that_are_no_utf8_travel_as_they_came() -> None:
    head = request_head("GET", "/", "h", {"X": b"\xff\xe9".decode("utf-8", "surrogateescape")}, None)
    assert b"\r\nX: \xff\xe9\r\n" in head


async def test_idle_connections_are_closed_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "_KEEPALIVE_LOCAL_S", 0.1)
    ended = 0

    async def play(peer: Peer) -> None:
        nonlocal ended
        assert await peer.request()
        await peer.send(plain(b"hi"))
        await peer.ended()
        ended += 1

    async with serving(play) as server:
        transport = PooledTransport(server.url)
        sends = (transport.send("POST", server.url, HEADERS, BODY, DEADLINES) for _ in range(5))
        for answer in await asyncio.gather(*sends):
            assert await read_all(answer) == b"hi"

        async def all_ended() -> bool:
            return ended == 5

        await eventually(all_ended)
        assert transport._sweep._timer is None  # nothing is left to look after
        await transport.close()


async def test_the_connection_used_last_is_used_first() -> None:
    turns = {n: asyncio.Event() for n in (1, 2, 3)}

    async def play(peer: Peer) -> None:
        while await peer.request():
            await turns[peer.n].wait()
            await peer.send(plain(b"%d" % peer.n))

    async with serving(play) as server:
        transport = PooledTransport(server.url)

        async def one() -> bytes:
            return await read_all(await transport.send("POST", server.url, HEADERS, BODY, DEADLINES))

        running = {asyncio.ensure_future(one()) for _ in turns}
        for n, turn in turns.items():
            turn.set()
            done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            assert [task.result() for task in done] == [b"%d" % n]
        for _ in range(3):
            assert await one() == b"3"
        await transport.close()


async def test_a_loop_that_stood_still_is_no_silence_of_the_provider() -> None:
    """What arrived while the loop was busy is read before deadlines are looked at."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with listener.accept()[0] as sock:
            sock.recv(1 << 16)
            sock.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            for _ in range(12):
                sock.sendall(b"2\r\nhi\r\n")
                time.sleep(0.15)
            sock.sendall(b"0\r\n\r\n")

    thread = threading.Thread(target=serve)
    thread.start()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    transport = PooledTransport(url)
    answer = await transport.send("POST", url, HEADERS, BODY, replace(DEADLINES, idle_s=0.4))
    assert await answer.read()
    for _ in range(2):
        await asyncio.sleep(0.1)
        time.sleep(0.6)  # noqa: ASYNC251 - the loop is to stand still
    assert len(await read_all(answer)) >= 2
    await asyncio.to_thread(thread.join)
    await transport.close()
    listener.close()


async def test_deadlines_of_many_exchanges_at_once() -> None:
    async with serving(Peer.ended) as server:
        transport = PooledTransport(server.url)

        async def one(n: int) -> Any:
            short = replace(DEADLINES, header_s=0.1 + n / 100)
            return await transport.send("POST", server.url, HEADERS, BODY, short)

        for result in await asyncio.gather(*(one(n) for n in range(30)), return_exceptions=True):
            assert getattr(result, "kind", None) == "header_timeout"
        await transport.close()


async def test_an_address_that_drops_packets_does_not_hide_one_that_answers() -> None:
    async with serving(always(plain(b"hi"))) as server:
        with DeafListener() as deaf:
            infos = [(socket.AF_INET, ("127.0.0.1", port)) for port in (deaf.port, closed_port(), server.port)]
            sock = await connect(infos)
            assert sock.getpeername()[1] == server.port
            sock.close()


async def test_when_no_address_answers() -> None:
    with pytest.raises(ConnectionRefusedError):
        await connect([(socket.AF_INET, ("127.0.0.1", closed_port())) for _ in range(3)])


async def test_a_name_is_looked_up_once_for_all() -> None:
    addresses = Addresses("localhost", 80)
    found = await asyncio.gather(*(addresses.get() for _ in range(20)))
    assert all(infos is found[0] for infos in found)
    assert ("127.0.0.1", 80) in [address[:2] for _, address in found[0]]
    addresses.forget()
    assert await addresses.get() == found[0]


def test_a_host_that_is_an_address_needs_no_lookup() -> None:
    assert Addresses("127.0.0.1", 80)._fixed
    assert Addresses("::1", 80)._fixed
    assert not Addresses("localhost", 80)._fixed


_MADE = """
import asyncio, sys
if "without" in sys.argv:
    sys.modules["httptools"] = None  # as on a machine without it
from proxy.providers.build import make_transport

async def main():
    transport = make_transport("http://127.0.0.1:1")
    print(type(transport).__name__)
    await transport.close()

asyncio.run(main())
"""


@pytest.mark.parametrize(("httptools", "made"), [("with", "PooledTransport"), ("without", "AiohttpTransport")])
def test_which_transport_is_made(httptools: str, made: str) -> None:
    command = [sys.executable, "-c", _MADE, httptools]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stdout.split() == [made]
