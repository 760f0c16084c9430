"""HTTP/1.1 on one socket, written by hand: a simulator of faults has to send what no HTTP library would.

One Connection serves one request after the other. When the client goes away while an answer is being played,
the task that plays it is cancelled, so that the books can note how far it came.
"""

import asyncio
import contextlib
import socket
import struct
import sys
from collections.abc import Awaitable, Callable, Iterable
from http import HTTPStatus
from typing import Literal, cast

from msgspec import Struct

MAX_HEAD_BYTES = 256 * 1024
MAX_BODY_BYTES = 512 * 1024 * 1024  # a proxy's own limit must be the one that tests run into, never this one

_DELIVERED_LOOK_S = 0.002
_DELIVERED_LOOKS = 500

Framing = Literal["chunked", "length", "close"]


class Request(Struct):
    """One request as received; header names in ``headers`` are lower case.

    ``raw_headers`` keeps all as sent.
    """

    method: str
    target: str
    headers: dict[str, str]
    raw_headers: list[tuple[str, str]]
    keep_alive: bool
    body: bytes = b""


class BadRequestError(Exception):
    """The bytes are no HTTP request; the text says why."""


def parse_head(head: bytes) -> Request:
    """Read request line and headers (without the blank line); raises BadRequestError."""
    lines = head.decode("latin-1").split("\r\n")
    parts = lines[0].split(" ")
    if len(parts) != 3 or not parts[2].startswith("HTTP/1."):
        raise BadRequestError(f"not an HTTP/1.1 request line: {lines[0][:100]!r}")
    raw: list[tuple[str, str]] = []
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if not colon or name != name.strip():
            raise BadRequestError(f"not a header line: {line[:100]!r}")
        value = value.strip(" \t")
        raw.append((name, value))
        headers[name.lower()] = value
    connection = headers.get("connection", "").lower()
    keep_alive = "close" not in connection if parts[2] == "HTTP/1.1" else "keep-alive" in connection
    return Request(parts[0], parts[1], headers, raw, keep_alive)


def take_chunked(buffer: bytearray) -> bytes | None:
    """Remove a whole chunked body from the front of buffer and return it; None while it is incomplete.

    Raises BadRequestError.
    """
    at = 0
    spans: list[tuple[int, int]] = []
    while True:
        line_end = buffer.find(b"\r\n", at)
        if line_end < 0:
            return None
        try:
            size = int(bytes(buffer[at:line_end]).split(b";")[0], 16)
        except ValueError:
            raise BadRequestError("not a chunk size") from None
        at = line_end + 2
        if size == 0:
            break
        spans.append((at, at + size))
        at += size + 2
    end = buffer.find(b"\r\n", at)  # trailers are not expected: the next line is the blank one
    if end < 0:
        return None
    body = b"".join(bytes(buffer[first:last]) for first, last in spans)
    del buffer[: end + 2]
    return body


def head_bytes(status: int, headers: Iterable[tuple[str, str]]) -> bytes:
    """Write status line and headers with the blank line; values go out as they are, legal or not."""
    try:
        reason = HTTPStatus(status).phrase
    except ValueError:
        reason = "Unknown"  # 520 to 529 are Cloudflare's own
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
    return f"HTTP/1.1 {status} {reason}\r\n{lines}\r\n".encode("latin-1", "replace")


Serve = Callable[[Request, "Connection"], Awaitable[None]]


class Connection(asyncio.Protocol):
    """One client's socket. ``serve`` is called for each request and answers through send, cut and hang."""

    def __init__(self, serve: Serve, open_connections: set["Connection"]) -> None:
        self._serve = serve
        self._open = open_connections
        self._buffer = bytearray()
        self._request: Request | None = None
        self._scanned = 0
        self.task: asyncio.Task[None] | None = None
        self._transport: asyncio.Transport | None = None
        self._writable: asyncio.Future[None] | None = None
        self._paused = False
        self.close_after = False
        self._loop = asyncio.get_running_loop()

    # --- what the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.Transport, transport)  # create_server makes no other; uvloop's is no subclass
        self._transport = transport
        self._open.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio's signature
        self._transport = None
        self._open.discard(self)
        self._wake()
        if self.task is not None:
            self.task.cancel()

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._wake()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self.task is None:
            self._advance()

    # --- what serve calls

    async def send(self, data: bytes) -> None:
        """Write data as it is; waits while the client reads too slowly.

        Raises ConnectionResetError when it is gone.
        """
        transport = self._transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the client has gone away")
        transport.write(data)
        if self._paused:
            self._writable = self._loop.create_future()
            await self._writable
            if self._transport is None:
                raise ConnectionResetError("the client has gone away")

    async def delivered(self) -> None:
        """Wait until all that was written has reached the client's side, a second at most: RST drops what has not."""
        for _ in range(_DELIVERED_LOOKS):
            transport = self._transport
            if transport is None or not (transport.get_write_buffer_size() or _unacknowledged_bytes(transport)):
                return
            await asyncio.sleep(_DELIVERED_LOOK_S)

    def cut(self, *, reset: bool) -> None:
        """Close the connection now: with RST, or with FIN after what was written."""
        self.close_after = True
        transport = self._transport
        if transport is None:
            return
        if not reset:
            transport.close()
            return
        sock = transport.get_extra_info("socket")
        with contextlib.suppress(OSError):  # the client may have closed first; then there is nothing to reset
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()

    async def hang(self, timeout_s: float | None) -> None:
        """Send nothing for timeout_s, or until the client leaves (then the task is cancelled)."""
        if timeout_s is None:
            await self._loop.create_future()
        else:
            await asyncio.sleep(timeout_s)

    # --- inside

    def _wake(self) -> None:
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None

    def _advance(self) -> None:
        try:
            request = self._take_request()
        except BadRequestError as error:
            self._refuse(400, str(error))
            return
        if request is not None:
            self.task = self._loop.create_task(self._run(request))

    def _take_request(self) -> Request | None:
        request = self._request
        if request is None:
            end = self._buffer.find(b"\r\n\r\n", self._scanned)
            if end < 0:
                self._scanned = max(0, len(self._buffer) - 3)
                if len(self._buffer) > MAX_HEAD_BYTES:
                    raise BadRequestError(f"more than {MAX_HEAD_BYTES} bytes of headers")
                return None
            request = self._request = parse_head(bytes(self._buffer[:end]))
            del self._buffer[: end + 4]
            if request.headers.get("expect", "").lower() == "100-continue" and self._transport is not None:
                self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = self._take_body(request)
        if body is None:
            return None
        request.body = body
        self._request = None
        self._scanned = 0
        return request

    def _take_body(self, request: Request) -> bytes | None:
        if "transfer-encoding" in request.headers:
            return take_chunked(self._buffer)
        length_text = request.headers.get("content-length", "0")
        if not length_text.isdigit() or int(length_text) > MAX_BODY_BYTES:
            raise BadRequestError(f"Content-Length {length_text[:40]!r} cannot be served")
        length = int(length_text)
        if len(self._buffer) < length:
            return None
        body = bytes(self._buffer[:length])
        del self._buffer[:length]
        return body

    async def _run(self, request: Request) -> None:
        self.close_after = not request.keep_alive
        with contextlib.suppress(ConnectionResetError):  # gone away while we wrote; serve has noted it
            await self._serve(request, self)
        self.task = None
        if self._transport is None:
            return
        if self.close_after:
            self._transport.close()
        elif self._buffer:
            self._advance()

    def _refuse(self, status: int, text: str) -> None:
        if self._transport is not None:
            body = text.encode()
            head = head_bytes(status, [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
            self._transport.write(head + body)
            self._transport.close()

    def abort(self) -> None:
        """Close the connection and cancel what is being played."""
        if self._transport is not None:
            self._transport.abort()
        if self.task is not None:
            self.task.cancel()


def _unacknowledged_bytes(transport: asyncio.Transport) -> int:
    """Return how many bytes the peer has not acknowledged; 0 where the system does not tell (Linux does)."""
    sock = transport.get_extra_info("socket")
    if sys.platform != "linux" or sock is None:
        return 0
    import fcntl  # noqa: PLC0415 - there is none on Windows
    import termios  # noqa: PLC0415 - as above

    try:
        return int.from_bytes(fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4)), sys.byteorder)
    except OSError:  # it is closed
        return 0
