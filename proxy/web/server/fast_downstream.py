"""A connection of the lane, as the pipeline sees it: one request after the other."""

import asyncio
from collections.abc import Mapping
from typing import Protocol

from proxy.pipeline.downstream import Reply
from proxy.pipeline.request.headers import RequestHeaders
from proxy.pipeline.response import RawResponse, StreamEnd, stream_head, whole_bytes


class FastConnection(Protocol):
    """What is needed of the connection."""

    transport: asyncio.Transport | None
    drained: asyncio.Future[None] | None

    @property
    def choked(self) -> bool:
        """Return whether more is unsent than the transport's high-water mark."""
        ...


class FastDownstream:
    """Client over a connection of the lane: HTTP/1.1 that is kept alive, all of the body here.

    said and body are those of the request that is answered now; the lane sets them, and takes the body away after it.
    """

    __slots__ = ("_connection", "body", "said")

    chunked = True

    said: RequestHeaders

    def __init__(self, connection: FastConnection) -> None:
        self._connection = connection
        self.body = b""

    @property
    def transport(self) -> asyncio.Transport | None:
        return self._connection.transport

    def whole(self, status: int, headers: Mapping[str, str], body: bytes, now_ms: int) -> Reply:
        if self.said.cors is not None:
            headers = {**headers, **self.said.cors}
        return RawResponse(whole_bytes(status, headers, body, now_ms))

    def begin(self, status: int, headers: Mapping[str, str], now_ms: int) -> Reply:
        transport = self._connection.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError
        if self.said.cors is not None:
            headers = {**headers, **self.said.cors}
        transport.write(stream_head(status, headers, now_ms))
        return StreamEnd()

    async def drained(self) -> None:
        connection = self._connection
        if not connection.choked:
            return
        waiter = connection.drained = asyncio.get_running_loop().create_future()
        try:
            await waiter
        finally:
            connection.drained = None
