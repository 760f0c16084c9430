"""HTTP's bytes of an answer, and the answers that both servers write straight to a connection.

aiohttp's Response builds a multi-dict, a payload and a writer for each answer; an answer whose bytes are all known
needs none of it. Its server only asks a response for prepare(), write_eof() and keep_alive.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING

from proxy.core.http_date import http_date
from proxy.core.name_cache import NameCache
from proxy.wire.headers import header_lines

if TYPE_CHECKING:  # the fast path answers without aiohttp
    from aiohttp import web

_PHRASES: Mapping[int, str] = {each.value: each.phrase for each in HTTPStatus}
UNSENT_MAX_BYTES = 1 << 16  # with more unsent than this the writer waits for the client
_NO_BODY = frozenset({204, 304})  # their body would be read as the next answer: RFC 9112, part 6.3


def _status_line(status: int) -> str:
    return f"HTTP/1.1 {status} {_PHRASES.get(status, 'Unknown')}\r\n"


def _head_end(now_s: int) -> str:
    return f"Date: {http_date(now_s)}\r\nServer: tollkeeper\r\n\r\n"


_status_lines = NameCache(_status_line)
_head_ends = NameCache(_head_end, most=4)


def whole_bytes(status: int, headers: Mapping[str, str], body: bytes, now_ms: int, is_head: bool = False) -> bytes:
    """Return an answer as it is written, without its body to a HEAD.

    The reason phrase is our own: the provider's is never copied.
    """
    return whole_of_lines(status, header_lines(headers), body, now_ms, is_head)


def whole_of_lines(status: int, lines: str, body: bytes, now_ms: int, is_head: bool = False) -> bytes:
    """Return the same where the headers are lines, each with its end."""
    if status in _NO_BODY:
        return _head(status, lines, "", now_ms)
    head = _head(status, lines, f"Content-Length: {len(body)}\r\n", now_ms)
    return head if is_head else head + body


def all_but_end(status: int, lines: str, body: bytes, held: int, now_ms: int) -> bytes:
    """Return what whole_bytes() does without its last bytes, as many as held says; lines: as of header_lines()."""
    head = _head(status, lines, f"Content-Length: {len(body)}\r\n", now_ms)
    return b"".join((head, memoryview(body)[:-held]))  # a large body is copied once


def stream_head(status: int, lines: str, now_ms: int, *, chunked: bool = True) -> bytes:
    """Return the head of an answer in chunks, or of one that ends with its connection; lines: as of header_lines()."""
    return _head(status, lines, "Transfer-Encoding: chunked\r\n" if chunked else "", now_ms)


def chunk(data: bytes) -> bytes:
    """Return a piece of an answer in chunks as it is written; data is not empty."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def _head(status: int, lines: str, framing: str, now_ms: int) -> bytes:
    text = f"{_status_lines[status]}{lines}{framing}{_head_ends[now_ms // 1000]}"
    return text.encode() if text.isascii() else text.encode("latin-1", "replace")  # ASCII is written sooner as UTF-8


class StreamEnd:
    """A chunked answer that lacks only its last, empty chunk."""

    __slots__ = ()


class RawResponse:
    """A complete answer; to aiohttp's server a response."""

    __slots__ = ("_request", "close", "data")

    def __init__(self, data: bytes, close: bool = False) -> None:
        self.data = data
        self.close = close
        self._request: web.BaseRequest | None = None

    @property
    def keep_alive(self) -> bool:
        return not self.close

    @property
    def status(self) -> int:
        """Return the status, as long as the answer is not written."""
        return int(self.data[9:12])

    async def prepare(self, request: "web.BaseRequest") -> None:
        transport = request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the client closed the connection")
        self._request = request
        transport.write(self.data)
        self.data = b""  # aiohttp keeps a response for as long as its connection lives

    async def write_eof(self) -> None:
        request, self._request = self._request, None
        if request is not None:
            await request.writer.drain()


class BegunResponse:
    """An answer on aiohttp's connection whose head has gone out; to its server a response.

    aiohttp's own would write other headers than the fast path does, and keep a connection of HTTP/1.0 alive, where the
    answer ends only with the connection.
    """

    __slots__ = ("_chunked", "_request", "keep_alive")

    def __init__(self, request: "web.BaseRequest", *, chunked: bool, keep_alive: bool) -> None:
        self._request: web.BaseRequest | None = request
        self._chunked = chunked
        self.keep_alive = keep_alive

    async def prepare(self, request: "web.BaseRequest") -> None:
        """Do nothing: the head is out."""

    async def write_eof(self) -> None:
        request, self._request = self._request, None
        transport = None if request is None else request.transport
        if request is None or transport is None or transport.is_closing():
            raise ConnectionResetError("the client closed the connection")
        if self._chunked:
            transport.write(b"0\r\n\r\n")
        await request.writer.drain()
