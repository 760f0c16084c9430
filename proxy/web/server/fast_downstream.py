"""A connection of the fast path, as the pipeline sees it: one request after the other."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Protocol

from proxy.core.latch import Latch
from proxy.pipeline.downstream import BodyTooLargeError, Reply
from proxy.pipeline.values.request_headers import RequestHeaders
from proxy.providers.transport.base import Room
from proxy.web.server.peer import address_of
from proxy.web.server.response import RawResponse, StreamEnd, all_but_end, stream_head, whole_bytes, whole_of_lines
from proxy.wire.headers import header_lines


class FastConnection(Protocol):
    """What this needs of the connection."""

    transport: asyncio.Transport | None
    drained: Latch | None
    choked: bool  # more is unsent than the transport's high-water mark

    def cut(self) -> None:
        """Raise CancelledError where the request under way waits."""
        ...

    @property
    def path(self) -> str:
        """Return the path of the request that is answered now."""
        ...


class _NoConnection:
    """In the place of a connection that is gone."""

    transport: asyncio.Transport | None = None
    drained: Latch | None = None
    choked = False
    path = ""

    def cut(self) -> None:
        """Do nothing: no request is under way."""


class FastDownstream:
    """Downstream over a connection of the fast path: HTTP/1.1 that is kept alive, all of the body here.

    said and body are those of the request that is answered now; the connection sets them, and takes the body away
    after it.
    """

    __slots__ = ("_connection", "body", "request_headers")

    request_headers: RequestHeaders

    def __init__(self, connection: FastConnection) -> None:
        self._connection = connection
        self.body = b""

    @property
    def path(self) -> str:
        return self._connection.path

    @property
    def address(self) -> str:
        return address_of(self._connection.transport)

    async def read_body(self, max_bytes: int, timeout_s: float) -> bytes:  # noqa: ARG002 - it has come
        if len(self.body) > max_bytes:
            raise BodyTooLargeError
        return self.body

    def whole(self, status: int, headers: Mapping[str, str], body: bytes, now_ms: int, close: bool = False) -> Reply:
        if self.request_headers.cors is not None:
            headers = {**headers, **self.request_headers.cors}
        if close:
            headers = {**headers, "Connection": "close"}
        return RawResponse(whole_bytes(status, headers, body, now_ms), close)

    def whole_of_lines(self, status: int, lines: str, body: bytes, now_ms: int) -> Reply:
        if self.request_headers.cors is not None:
            lines += header_lines(self.request_headers.cors)
        return whole_of_lines(status, lines, body, now_ms)  # as bytes: nothing else is to be known of it

    def send_ahead(self, status: int, lines: str, body: bytes, held: int, now_ms: int) -> Reply:
        transport = self._connection.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError
        if self.request_headers.cors is not None:
            lines += header_lines(self.request_headers.cors)
        transport.write(all_but_end(status, lines, body, held, now_ms))
        return body[-held:]

    def begin(self, status: int, lines: str, now_ms: int) -> Reply:
        transport = self._connection.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError
        if self.request_headers.cors is not None:
            lines += header_lines(self.request_headers.cors)
        transport.write(stream_head(status, lines, now_ms))
        self.body = b""
        return StreamEnd()

    def write(self, data: bytes) -> bool:
        transport = self._connection.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError
        transport.write(b"%x\r\n%b\r\n" % (len(data), data))  # chunk(), which costs as much again to call
        return not self._connection.choked

    def chunks_writer(self) -> tuple[Callable[[bytes], object], Room] | None:
        transport = self._connection.transport
        return None if transport is None else (transport.write, self._connection)

    async def drained(self) -> None:
        connection = self._connection
        if not connection.choked:
            return
        latch = connection.drained = Latch()
        try:
            await latch.wait()
        finally:
            connection.drained = None

    def close(self) -> None:
        """Forget the connection, which is gone, with no request under way."""
        self._connection = _NO_CONNECTION

    def cut(self) -> None:
        if self._connection.transport is not None:
            self._connection.transport.abort()

    def interrupt(self) -> None:
        self._connection.cut()


_NO_CONNECTION = _NoConnection()
