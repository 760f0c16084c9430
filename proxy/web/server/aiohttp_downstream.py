"""A request of aiohttp's server, as the pipeline sees it: any method and version, a body in pieces."""

import asyncio
from collections.abc import Callable, Mapping

from aiohttp import HttpVersion10, HttpVersion11, web
from aiohttp.http_exceptions import HttpProcessingError

from proxy.pipeline.context import RequestContext
from proxy.pipeline.downstream import BodyIncompleteError, BodyTooLargeError, Reply
from proxy.pipeline.values.request_headers import RequestHeaders
from proxy.providers.transport.base import Room
from proxy.web.server.peer import address_of
from proxy.web.server.response import (
    UNSENT_MAX_BYTES,
    BegunResponse,
    RawResponse,
    all_but_end,
    chunk,
    stream_head,
    whole_bytes,
    whole_of_lines,
)
from proxy.wire.headers import header_lines


class AiohttpDownstream:
    """Downstream over a request of aiohttp's server."""

    __slots__ = ("_task", "request", "request_headers")

    def __init__(self, request: web.BaseRequest) -> None:
        self.request = request
        self.request_headers = RequestHeaders(request.headers)
        self._task = asyncio.current_task()  # the handler's own: request.task is that of the connection

    @property
    def path(self) -> str:
        return self.request.raw_path

    @property
    def address(self) -> str:
        return address_of(self.request.transport)

    @property
    def body(self) -> bytes | None:
        content = self.request.content
        if not content.is_eof():
            return None
        return content.read_nowait() if not content.at_eof() else b""

    async def read_body(self, max_bytes: int, timeout_s: float) -> bytes:
        async with asyncio.timeout(timeout_s):
            if "Expect" in self.request.headers:  # 100-continue: nothing else has passed
                await self._send_continue()
            return await self._collect(max_bytes)

    async def _send_continue(self) -> None:
        writer = self.request.writer
        await writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        writer.output_size = 0

    async def _collect(self, max_bytes: int) -> bytes:
        content = self.request.content
        pieces: list[bytes] = []
        size = 0
        try:
            while piece := await content.readany():
                size += len(piece)
                if size > max_bytes:
                    raise BodyTooLargeError
                pieces.append(piece)
        except (ConnectionError, web.RequestPayloadError, HttpProcessingError):
            raise BodyIncompleteError from None
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def whole(self, status: int, headers: Mapping[str, str], body: bytes, now_ms: int, *, close: bool = False) -> Reply:
        close = close or not self.request.keep_alive
        headers = self._with_connection(headers, close=close)
        is_head = self.request.method == "HEAD"
        return RawResponse(whole_bytes(status, headers, body, now_ms, is_head=is_head), close=close)

    def whole_of_lines(self, status: int, lines: str, body: bytes, now_ms: int) -> Reply:
        close = not self.request.keep_alive
        lines += header_lines(self._with_connection({}, close=close))
        is_head = self.request.method == "HEAD"
        return RawResponse(whole_of_lines(status, lines, body, now_ms, is_head=is_head), close=close)

    def send_ahead(self, status: int, lines: str, body: bytes, held: int, now_ms: int) -> Reply | None:
        if self.request.method == "HEAD":
            return None
        close = not self.request.keep_alive
        lines += header_lines(self._with_connection({}, close=close))
        self._transport().write(all_but_end(status, lines, body, held, now_ms))
        return RawResponse(body[-held:], close=close)

    def begin(self, status: int, lines: str, now_ms: int) -> Reply:
        transport = self._transport()
        chunked = self._chunked
        close = not chunked or not self.request.keep_alive
        lines += header_lines(self._with_connection({}, close=close))
        transport.write(stream_head(status, lines, now_ms, chunked=chunked))
        return BegunResponse(self.request, chunked=chunked, keep_alive=not close)

    def write(self, data: bytes) -> bool:
        return self._write_as_it_is(chunk(data) if self._chunked else data)

    def chunks_writer(self) -> tuple[Callable[[bytes], object], Room] | None:
        return (self._write_chunks, self) if self._chunked else None

    @property
    def choked(self) -> bool:
        transport = self.request.transport
        return transport is not None and transport.get_write_buffer_size() > UNSENT_MAX_BYTES

    def _write_chunks(self, chunks: bytes) -> None:
        transport = self.request.transport
        if transport is not None:
            transport.write(chunks)

    def _write_as_it_is(self, data: bytes) -> bool:
        transport = self._transport()
        transport.write(data)
        return transport.get_write_buffer_size() <= UNSENT_MAX_BYTES

    async def drained(self) -> None:
        await self.request.writer.drain()

    def cut(self) -> None:
        if self.request.transport is not None:
            self.request.transport.abort()

    def interrupt(self) -> None:
        if self._task is not None:
            self._task.cancel()

    @property
    def _chunked(self) -> bool:
        return self.request.version == HttpVersion11

    def _transport(self) -> asyncio.Transport:
        transport = self.request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError
        return transport

    def _with_connection(self, headers: Mapping[str, str], *, close: bool) -> Mapping[str, str]:
        """Return the headers with those for a browser, and what becomes of the connection where that is to be said."""
        fields = {**headers, **(self.request_headers.cors or {})}
        if close:
            fields.setdefault("Connection", "close")
        elif self.request.version == HttpVersion10:
            fields["Connection"] = "keep-alive"
        return fields


def aiohttp_request(context: RequestContext) -> web.BaseRequest:
    """Return aiohttp's request, for the handlers that only its server calls."""
    assert isinstance(context.downstream, AiohttpDownstream)
    return context.downstream.request
