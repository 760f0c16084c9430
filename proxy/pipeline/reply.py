"""What goes to the client, written straight to its connection.

aiohttp's Response builds a multi-dict, a payload and a writer for each answer; an answer whose bytes are all known
needs none of it. The server only asks a response for prepare(), write_eof() and keep_alive.
"""

import functools
from collections.abc import Mapping
from email.utils import formatdate
from http import HTTPStatus
from typing import cast

from aiohttp import HttpVersion11, web

_REASONS: Mapping[int, str] = {status.value: status.phrase for status in HTTPStatus}
_DRAIN_BYTES = 1 << 16  # beyond this much unsent the writer waits for the client


@functools.lru_cache(maxsize=4)
def http_date(second: int) -> str:
    """Give the Date header for a second since 1970."""
    return formatdate(second, usegmt=True)


def whole_reply(
    request: web.BaseRequest, status: int, headers: Mapping[str, str], body: bytes, now_ms: int
) -> web.StreamResponse:
    """Give the response for a body that is complete. Our own reason phrase: the provider's is never copied."""
    if request.version != HttpVersion11 or not request.keep_alive:
        return web.Response(status=status, headers=headers, body=body)
    head = [f"HTTP/1.1 {status} {_REASONS.get(status, 'Unknown')}"]
    head += [f"{name}: {value}" for name, value in headers.items()]
    head.append(f"Content-Length: {len(body)}\r\nDate: {http_date(now_ms // 1000)}\r\nServer: tollkeeper\r\n\r\n")
    return cast(web.StreamResponse, _Whole("\r\n".join(head).encode("latin-1", "replace") + body))


class _Whole:
    """A response as aiohttp's server uses one."""

    __slots__ = ("_data", "_request", "keep_alive")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._request: web.BaseRequest | None = None
        self.keep_alive = True

    async def prepare(self, request: web.BaseRequest) -> None:
        transport = request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the client closed the connection")
        self._request = request
        transport.write(self._data)

    async def write_eof(self) -> None:
        request = self._request
        if request is not None and len(self._data) > _DRAIN_BYTES:
            await request.writer.drain()
