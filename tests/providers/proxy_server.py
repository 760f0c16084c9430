"""An HTTP proxy on loopback: CONNECT, and requests with whole URLs, with or without a user and password."""

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit


class ProxyStand:
    """A proxy that sends everybody to 127.0.0.1, whatever name was asked for. asked: the first lines that came."""

    def __init__(self, credentials: str | None, refusal: bytes | None) -> None:
        self._credentials = credentials
        self._refusal = refusal
        self._tasks: set[asyncio.Task[None]] = set()
        self.asked: list[str] = []
        self.seen = b""
        self.port = 0

    @property
    def url(self) -> str:
        user = "" if self._credentials is None else f"{self._credentials}@"
        return f"http://{user}127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.seen += head
        first, *lines = head.decode().split("\r\n")
        self.asked.append(first)
        fields = dict(line.lower().split(": ", 1) for line in lines if ": " in line)
        if self._refusal is not None:
            writer.write(self._refusal)
            return
        if self._credentials is not None:
            wanted = b64encode(self._credentials.replace("%40", "@").encode()).decode().lower()
            if fields.get("proxy-authorization") != f"basic {wanted}":
                writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
                return
        method, target, _ = first.split(" ")
        port = int(target.rpartition(":")[2]) if method == "CONNECT" else urlsplit(target).port or 80
        to_reader, to_writer = await asyncio.open_connection("127.0.0.1", port)
        if method == "CONNECT":
            writer.write(b"HTTP/1.1 200 Connection established\r\nX-Proxy: yes\r\n\r\n")
        else:
            to_writer.write(head)
        try:
            await asyncio.gather(_pipe(reader, to_writer, self), _pipe(to_reader, writer, None))
        finally:
            to_writer.close()

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, heard: ProxyStand | None) -> None:
    while piece := await reader.read(1 << 16):
        if heard is not None:
            heard.seen += piece
        writer.write(piece)
        await writer.drain()
    writer.close()


@asynccontextmanager
async def proxying(credentials: str | None = None, refusal: bytes | None = None) -> AsyncIterator[ProxyStand]:
    """Run a proxy. credentials: user:password as in its URL; refusal: what it answers to everybody."""
    proxy = ProxyStand(credentials, refusal)
    listener = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.port = listener.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        listener.close()
        await proxy.stop()
        await asyncio.sleep(0)
