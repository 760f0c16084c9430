"""The connection of a client, as one request sees it: what it sent, and how to write an answer."""

import asyncio
from collections.abc import Mapping
from typing import Protocol

from aiohttp import HttpVersion11, web

from proxy.pipeline.reply import Streamed, Whole, whole_bytes
from proxy.pipeline.said import Said

Reply = web.StreamResponse | Whole | Streamed


class Client(Protocol):
    """One request of a client and the way back. transport None: the connection is gone."""

    said: Said

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

    async def begin(self, status: int, headers: Mapping[str, str], now_ms: int) -> Reply:
        """Write the head of an answer whose pieces follow; the server writes its end. Raises ConnectionError."""
        ...

    async def drained(self, stall_s: float) -> None:
        """Wait until most is sent; raises TimeoutError after stall_s, or ConnectionError."""
        ...


class AiohttpClient:
    """Client over a request of aiohttp's server."""

    __slots__ = ("request", "said")

    def __init__(self, request: web.BaseRequest) -> None:
        self.request = request
        self.said = Said(request.headers)

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
        request = self.request
        if request.version != HttpVersion11 or not request.keep_alive:
            return web.Response(status=status, headers=headers, body=body)
        return Whole(whole_bytes(status, headers, body, now_ms))

    async def begin(self, status: int, headers: Mapping[str, str], now_ms: int) -> Reply:  # noqa: ARG002 - aiohttp's
        response = web.StreamResponse(status=status, headers=headers)
        await response.prepare(self.request)
        return response

    async def drained(self, stall_s: float) -> None:
        async with asyncio.timeout(stall_s):
            await self.request.writer.drain()
