"""What goes to the client, written straight to its connection.

aiohttp's Response builds a multi-dict, a payload and a writer for each answer; an answer whose bytes are all known
needs none of it. The server only asks a response for prepare(), write_eof() and keep_alive.
"""

import functools
from collections.abc import Mapping
from email.utils import formatdate
from http import HTTPStatus

from aiohttp import web

_REASONS: Mapping[int, str] = {status.value: status.phrase for status in HTTPStatus}
_field = ": ".join
_DRAIN_BYTES = 1 << 16  # beyond this much unsent the writer waits for the client


@functools.lru_cache(maxsize=4)
def http_date(second: int) -> str:
    """Give the Date header for a second since 1970."""
    return formatdate(second, usegmt=True)


def whole_bytes(status: int, headers: Mapping[str, str], body: bytes, now_ms: int) -> bytes:
    """Give an answer as it is written. Our own reason phrase: the provider's is never copied."""
    return _head(status, headers, f"Content-Length: {len(body)}", now_ms) + body


def stream_head(status: int, headers: Mapping[str, str], now_ms: int) -> bytes:
    """Give the head of an answer in chunks."""
    return _head(status, headers, "Transfer-Encoding: chunked", now_ms)


def _head(status: int, headers: Mapping[str, str], framing: str, now_ms: int) -> bytes:
    lines = (
        f"HTTP/1.1 {status} {_REASONS.get(status, 'Unknown')}",
        *map(_field, headers.items()),
        f"{framing}\r\nDate: {http_date(now_ms // 1000)}\r\nServer: tollkeeper\r\n\r\n",
    )
    return "\r\n".join(lines).encode("latin-1", "replace")


class Streamed:
    """An answer in chunks that is complete but for its last, empty one."""

    __slots__ = ()


class Whole:
    """A complete answer; to aiohttp's server a response."""

    __slots__ = ("_request", "close", "data", "keep_alive")

    def __init__(self, data: bytes, *, close: bool = False) -> None:
        self.data = data
        self.close = close
        self._request: web.BaseRequest | None = None
        self.keep_alive = True

    async def prepare(self, request: web.BaseRequest) -> None:
        transport = request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the client closed the connection")
        self._request = request
        transport.write(self.data)

    async def write_eof(self) -> None:
        request = self._request
        if request is not None and len(self.data) > _DRAIN_BYTES:
            await request.writer.drain()
