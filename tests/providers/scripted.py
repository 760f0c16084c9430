"""A provider on a bare socket that does, byte for byte, what a test tells it to."""

import asyncio
import re
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Self

from proxy.providers.deadlines import Deadlines
from proxy.providers.transport.base import UpstreamResponse

DEADLINES = Deadlines(connect_s=10, header_s=10, idle_s=10, total_s=30)
KEY = "sk-or-v1-canary-of-the-key"
BODY = b'{"canary":"of the body"}'
HEADERS = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json", "X-Empty": ""}
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)", re.IGNORECASE)


class Peer:
    """The provider's end of one connection. n: 1 for the first connection that the server accepted."""

    def __init__(self, n: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.n = n
        self.reader = reader
        self.writer = writer

    async def request(self) -> bytes:
        """Read one whole request; b"" at the end of the connection."""
        try:
            head = await self.reader.readuntil(b"\r\n\r\n")
            found = _LENGTH.search(head)
            return head + await self.reader.readexactly(int(found[1]) if found else 0)
        except (asyncio.IncompleteReadError, ConnectionError):
            return b""

    async def head(self) -> bytes:
        return await self.reader.readuntil(b"\r\n\r\n")

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def ended(self) -> None:
        """Wait until the other side has closed; what it still sends is dropped."""
        try:
            while await self.reader.read(1 << 16):
                pass
        except ConnectionError:
            pass

    def reset(self) -> None:
        """Close with RST instead of FIN."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


Play = Callable[[Peer], Awaitable[None]]


class Server:
    """port, url and what came in."""

    def __init__(self, play: Play) -> None:
        self._play = play
        self._running: set[asyncio.Task[None]] = set()
        self.connections = 0
        self.port = 0
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._running.add(task)
        try:
            await self._play(Peer(self.connections, reader, writer))
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client left, or the test is over
        finally:
            self._running.discard(task)
            writer.close()

    async def stop(self) -> None:
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.wait(self._running)


@asynccontextmanager
async def serving(play: Play, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    """Run play for each connection; the connection is closed (FIN) when play returns."""
    server = Server(play)
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=tls)
    server.port = listener.sockets[0].getsockname()[1]
    server.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.port}"
    try:
        yield server
    finally:
        listener.close()
        await server.stop()
        await asyncio.sleep(0)


def always(answer: bytes) -> Play:
    """Answer every request with the same bytes and keep the connection."""

    async def play(peer: Peer) -> None:
        while await peer.request():
            await peer.send(answer)

    return play


def once(answer: bytes) -> Play:
    """Answer one request and close the connection."""

    async def play(peer: Peer) -> None:
        if await peer.request():
            await peer.send(answer)

    return play


def plain(body: bytes, *lines: str) -> bytes:
    """Write a 200 with Content-Length."""
    head = "\r\n".join(["HTTP/1.1 200 OK", f"Content-Length: {len(body)}", *lines, "", ""])
    return head.encode("latin-1") + body


async def read_all(answer: UpstreamResponse) -> bytes:
    pieces = []
    while piece := await answer.read():
        pieces.append(piece)
    assert await answer.read() == b""
    return b"".join(pieces)


def closed_port() -> int:
    """Give a port of loopback on which nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class DeafListener:
    """A port whose queue is full: connecting to it hangs as it does with a host that drops packets."""

    def __init__(self) -> None:
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(0)
        self.port = int(self._listener.getsockname()[1])
        self._queued = []
        for _ in range(4):
            sock = socket.socket()
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.1", self.port))
            self._queued.append(sock)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for sock in [self._listener, *self._queued]:
            sock.close()
