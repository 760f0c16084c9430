"""The connection of a client, as one request sees it: what it sent, and how to write an answer."""

import asyncio
from collections.abc import Mapping
from typing import Protocol

from aiohttp import HttpVersion10, HttpVersion11, web

from proxy.pipeline.request.headers import RequestHeaders
from proxy.pipeline.response import BegunResponse, RawResponse, StreamEnd, stream_head, whole_bytes

Reply = web.StreamResponse | RawResponse | BegunResponse | StreamEnd


class Downstream(Protocol):
    """One request of a client and the way back. transport None: the connection is gone."""

    said: RequestHeaders

    @property
    def transport(self) -> asyncio.Transport | None: ...

    @property
    def body(self) -> bytes | None:
        """All of the body, or None where it is still to be read."""
        ...

    @property
    def chunked(self) -> bool:
        """Tell whether a piece of a begun answer goes out as an HTTP chunk, or as it is."""
        ...

    def whole(self, status: int, headers: Mapping[str, str], body: bytes, now_ms: int) -> Reply:
        """Give a complete answer, which the server writes."""
        ...

    def begin(self, status: int, headers: Mapping[str, str], now_ms: int) -> Reply:
        """Write the head of an answer whose pieces follow; the server writes its end. Raises ConnectionError."""
        ...

    async def drained(self) -> None:
        """Wait until most is sent or the client is gone; may raise ConnectionError."""
        ...


class AiohttpDownstream:
    """Client over a request of aiohttp's server."""

    __slots__ = ("request", "said")

    def __init__(self, request: web.BaseRequest) -> None:
        self.request = request
        self.said = RequestHeaders(request.headers)

    @property
    def transport(self) -> asyncio.Transport | None:
        return self.request.transport

    @property
    def body(self) -> bytes | None:
        content = self.request.content
        if not content.is_eof():
            return None
        return content.read_nowait() if not content.at_eof() else b""

    @property
    def chunked(self) -> bool:
        return self.request.version == HttpVersion11

    def whole(self, status: int, headers: Mapping[str, str], body: bytes, now_ms: int) -> Reply:
        if self.said.cors is not None:
            headers = {**headers, **self.said.cors}
        close = not self.request.keep_alive
        told = self._connection(close=close)
        return RawResponse(whole_bytes(status, {**headers, **told} if told else headers, body, now_ms), close=close)

    def begin(self, status: int, headers: Mapping[str, str], now_ms: int) -> Reply:
        transport = self.request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError
        if self.said.cors is not None:
            headers = {**headers, **self.said.cors}
        chunked = self.chunked
        close = not chunked or not self.request.keep_alive
        head = stream_head(status, {**headers, **self._connection(close=close)}, now_ms, chunked=chunked)
        transport.write(head)
        return BegunResponse(self.request, chunked=chunked, keep_alive=not close)

    def _connection(self, *, close: bool) -> Mapping[str, str]:
        """Return the header that says what becomes of the connection, where the version alone does not say it."""
        if close:
            return {"Connection": "close"}
        return {"Connection": "keep-alive"} if self.request.version == HttpVersion10 else {}

    async def drained(self) -> None:
        await self.request.writer.drain()
