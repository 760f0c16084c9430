"""The fast path for the most frequent requests: a chat completion, sent as nearly every client sends it, and probes.

A plain protocol takes the connection, llhttp reads the head, and the same pipeline as everywhere answers: without
aiohttp's objects and without a task. Anything else, from another path to a head in two pieces, goes to aiohttp's server
with all its bytes, and the connection stays there. So only whole heads of the plainest shape are ever read here.
"""

import asyncio
import logging
import re
import socket
from collections.abc import Mapping
from typing import cast

import httptools
from multidict import CIMultiDict

from proxy.core.clock import Clock
from proxy.core.eager_task import EagerTask
from proxy.core.errors import ApiError
from proxy.core.latch import Latch
from proxy.core.name_cache import NameCache
from proxy.pipeline.context import RequestContext
from proxy.pipeline.downstream import Reply
from proxy.pipeline.run import respond
from proxy.pipeline.values.request_headers import RequestHeaders
from proxy.storage.rows import RequestIds
from proxy.web.deps import Deps
from proxy.web.health import healthz, readyz
from proxy.web.server.body_timeouts import BodyTimeouts
from proxy.web.server.fast_downstream import FastDownstream
from proxy.web.server.host_check import check_plain_head
from proxy.web.server.on_demand_server import OnDemandServer
from proxy.web.server.response import RawResponse
from proxy.web.server.serve_one import (
    HEAD_MAX_BYTES,
    HEADERS_MAX,
    KEEPALIVE_S,
    Handler,
    pass_head,
    reply_to_error,
    serve_one,
)
from proxy.web.server.unread_answers import UnreadAnswers
from proxy.wire.endpoint import OPENROUTER_CHAT

log = logging.getLogger("tollkeeper.web")

_STARTS = tuple(f"POST {prefix}/chat/completions HTTP/1.1\r\n".encode() for prefix in ("/v1", "/api/v1", ""))
_OPENROUTER_START = b"POST /api/v1/"
_BODY_MAX_BYTES = 256 << 10  # what is buffered before authentication; larger bodies go to aiohttp
_BEHIND_MAX_BYTES = 64 << 10  # reading pauses when this much arrives before the last request is answered
_LENGTH = re.compile(rb"\r\ncontent-length: ([0-9]+)\r\n", re.IGNORECASE)
_LENGTH_DIGITS_MAX = 9
_lengths: NameCache[bytes, int | None] = NameCache(
    lambda digits: int(digits) if digits.isdigit() else None, most=4096
)  # of bodies
_HEADS_MAX = 64  # of the heads that came last, for connections that begin with the same
_KEPT_HEAD_MAX_BYTES = 2048
_PROBES: Mapping[bytes, Handler] = {b"GET /healthz HTTP/1.1": healthz, b"GET /readyz HTTP/1.1": readyz}
_ODD_HEADERS = ("Transfer-Encoding", "Upgrade", "Expect", "Sec-WebSocket-Key1")  # aiohttp refuses the last
_ONCE_HEADERS = (  # aiohttp refuses a head that holds one of them twice, as it does one of two hosts or of none
    *("Content-Type", "User-Agent", "Content-Location", "Content-Range"),
    *("ETag", "Max-Forwards", "Server"),
)


class _HeadReader:
    """llhttp's callbacks."""

    __slots__ = ("complete", "headers", "with_body")

    def __init__(self) -> None:
        self.headers: list[tuple[str, str]] = []
        self.complete = False
        self.with_body = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.decode(), value.decode().strip(" \t")))

    def on_headers_complete(self) -> None:
        self.complete = True

    def on_body(self, _data: bytes) -> None:
        self.with_body = True


class Head:
    """A parsed head, valid for all heads that differ from it only in the digits of Content-Length."""

    __slots__ = ("_after", "_after_bytes", "_before", "_digits", "_start", "for_openrouter", "path", "request_headers")

    def __init__(self, head: bytes, headers: CIMultiDict[str]) -> None:
        self.request_headers = RequestHeaders(headers)
        self.path = head.split(b" ", 2)[1].decode()
        self.for_openrouter = head.startswith(_OPENROUTER_START)
        self._before, self._after = b"", head  # matches only itself if the digits are not found
        match = _LENGTH.search(head)
        if match is not None:
            self._before, self._after = head[: match.start(1)], head[match.end(1) :]
        self._start, self._after_bytes = len(self._before), len(self._after)
        self._digits = 4  # of the last length

    def again(self, data: bytes) -> tuple[int, int] | None:
        """Return where the body of a request with the same head starts, and its length; None for another head."""
        start, after = self._start, self._after
        if not start or data[:start] != self._before:  # a slice is made and compared sooner than startswith() is called
            return None
        end = start + self._digits
        body = end + self._after_bytes
        if data[end:body] != after:  # a length of more digits than the last, or of less
            end = data.find(b"\r", start, start + _LENGTH_DIGITS_MAX + 1)
            body = end + self._after_bytes
            if end < 0 or data[end:body] != after:
                return None
            self._digits = end - start
        length = _lengths[data[start:end]]
        return None if length is None else (body, length)


class Heads:
    """Heads that came lately, for other connections of the same client: what is read from a head is read once.

    They hold the configuration under which they were checked, so all are forgotten with it.
    """

    __slots__ = ("_by_bytes", "_snapshot")

    def __init__(self) -> None:
        self._by_bytes: dict[bytes, Head] = {}
        self._snapshot: object = None

    def find(self, head: bytes, snapshot: object) -> Head | None:
        if snapshot is not self._snapshot:
            self._by_bytes.clear()
            self._snapshot = snapshot
        return self._by_bytes.get(_but_length(head))

    def keep(self, head: bytes, found: Head) -> None:
        if len(head) > _KEPT_HEAD_MAX_BYTES:
            return
        if len(self._by_bytes) >= _HEADS_MAX:
            self._by_bytes.clear()
        self._by_bytes[_but_length(head)] = found


def _but_length(head: bytes) -> bytes:
    """Return a head with NUL, which no head holds, in place of the digits of Content-Length."""
    return _LENGTH.sub(b"\0", head, count=1)


def read_head(head: bytes) -> tuple[CIMultiDict[str], int] | None:
    """Return the headers and the length of the body; None for a head that is not of the plainest shape.

    head ends with its first empty line, and begins with one of the request lines of this file.
    """
    headers = _plain_headers(head)
    lengths = () if headers is None else headers.getall("Content-Length", ())
    if (
        headers is None
        or len(lengths) != 1
        or not lengths[0].isdigit()
        or not 0 < len(lengths[0]) <= _LENGTH_DIGITS_MAX
    ):
        return None
    return headers, int(lengths[0])


def read_probe(data: bytes) -> tuple[Handler, CIMultiDict[str]] | None:
    """Return what answers a probe, and its headers; None for everything else."""
    handler = _PROBES.get(data[: data.find(b"\r\n")])
    if handler is None or not 0 < data.find(b"\r\n\r\n") == len(data) - 4 <= HEAD_MAX_BYTES:
        return None
    headers = _plain_headers(data)
    return None if headers is None or "Content-Length" in headers else (handler, headers)


def _plain_headers(head: bytes) -> CIMultiDict[str] | None:
    if not head.isascii():
        return None
    found = _HeadReader()
    parser = httptools.HttpRequestParser(found)
    try:
        parser.feed_data(head)
    except (httptools.HttpParserError, httptools.HttpParserUpgrade):
        return None
    if not found.complete or found.with_body or not parser.should_keep_alive() or len(found.headers) > HEADERS_MAX:
        return None
    headers = CIMultiDict(found.headers)
    if any(name in headers for name in _ODD_HEADERS) or headers.get("Connection", "keep-alive").lower() != "keep-alive":
        return None
    if len(headers.getall("Host", ())) != 1 or any(len(headers.getall(name, ())) > 1 for name in _ONCE_HEADERS):
        return None
    return headers


async def _answer_probe(context: RequestContext, deps: Deps, answer: Handler) -> None:
    context.answer = await serve_one(context, deps, check_plain_head, answer)


class FastPath(asyncio.Protocol):
    """One client connection, until it is aiohttp's."""

    __slots__ = (
        "_behind",
        "_body_start",
        "_client",
        "_context",
        "_got",
        "_head",
        "_idle_since_s",
        "_loop",
        "_missing_bytes",
        "_server",
        "_task",
        "_timer",
        "_unread",
        "choked",
        "drained",
        "transport",
    )

    def __init__(self, server: "FastPathServer") -> None:
        self._server = server
        self._loop = server.loop
        self._got = b""  # head and body of a request whose body is not complete
        self._missing_bytes = 0
        self._body_start = 0
        self._head: Head | None = None  # of the last request
        self._behind = b""  # what came before the last request was answered
        self._client = FastDownstream(self)
        self._context: RequestContext | None = None
        self._task = EagerTask(server.loop, self._answered)
        self.choked = False  # more is unsent than the transport's high-water mark
        self._unread: UnreadAnswers | None = None
        self._idle_since_s = 0.0
        self._timer: asyncio.TimerHandle
        self.drained: Latch | None = None
        self.transport: asyncio.Transport | None = None

    # asyncio's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # a server makes no other
        sock = transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._timer = self._loop.call_later(self._server.head_timeout_s, self._late)
        self._server.connections.add(self)

    def data_received(self, data: bytes) -> None:
        if self._context is not None:
            self._keep(data)
        elif self._got:
            self._more_body(data)
        else:
            self._begin(data)

    def pause_writing(self) -> None:
        self.choked = True
        if self.transport is not None:
            self._unread = UnreadAnswers(self._loop, self.transport, self._server.stall_s)

    def resume_writing(self) -> None:
        self.choked = False
        if self._unread is not None:
            self._unread.stop()
            self._unread = None
        if self.drained is not None:
            self.drained.set()

    @property
    def path(self) -> str:
        """Return the path of the request that is answered now."""
        assert self._head is not None
        return self._head.path

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._timer.cancel()
        self._server.connections.discard(self)
        if self._got:
            self._server.late_bodies.remove(self)
        self.transport = None
        self.resume_writing()
        if self._context is None:
            self._let_go()
        else:  # _answered() lets go
            self._context.set_gone()

    def _let_go(self) -> None:
        """Forget the circles that this is in: each connection would wait for a rare look of the garbage collector."""
        self._task.close()
        self._client.close()

    # A request comes in.

    def _begin(self, data: bytes) -> None:
        head = self._head
        read = None if head is None else head.again(data)
        if read is None:
            read = self._read_head(data)
        if read is None:
            if not self._probe(data):
                self._hand_over(data)
            return
        end, length_bytes = read
        missing_bytes = end + length_bytes - len(data)
        if missing_bytes == 0:
            self._run(data[end:])
        elif length_bytes > _BODY_MAX_BYTES:
            self._hand_over(data)
        elif missing_bytes < 0:
            self._run_first(data, end, length_bytes)
        else:
            self._got, self._body_start, self._missing_bytes = data, end, missing_bytes
            self._server.late_bodies.expect(self)

    def _read_head(self, data: bytes) -> tuple[int, int] | None:
        """Return where the body starts, and its length; the head is kept for the next request."""
        end = data.find(b"\r\n\r\n") + 4
        if not (4 <= end <= HEAD_MAX_BYTES and data.startswith(_STARTS)):
            return None
        head, heads = data[:end], self._server.heads
        known = heads.find(head, self._server.deps.services.live.current)
        if known is not None and (read := known.again(data)) is not None:
            self._head = known
            return read
        found = read_head(head)
        if found is None:
            return None
        self._head = Head(head, found[0])
        heads.keep(head, self._head)
        return end, found[1]

    def _probe(self, data: bytes) -> bool:
        """Answer whether the proxy lives, or is ready, if that is what is asked: a monitor needs no aiohttp."""
        probe = read_probe(data)
        if probe is None:
            return False
        server, head = self._server, Head(data, probe[1])
        self._head = head
        now_ms = server.clock.now_ms()
        client = self._client
        client.request_headers, client.body = head.request_headers, b""
        context = self._context = RequestContext(client, server.ids.next(now_ms), server.clock, now_ms)
        self._task.start(_answer_probe(context, server.deps, probe[0]))
        return True

    def _more_body(self, data: bytes) -> None:
        self._got += data
        self._missing_bytes -= len(data)
        if self._missing_bytes > 0:
            return
        self._server.late_bodies.remove(self)
        got, self._got = self._got, b""
        if self._missing_bytes < 0:
            self._run_first(got, self._body_start, len(got) + self._missing_bytes - self._body_start)
            return
        self._run(got[self._body_start :])

    def _run_first(self, data: bytes, body_start: int, length_bytes: int) -> None:
        """Answer a request, then read what came with it."""
        end = body_start + length_bytes
        self._keep(data[end:])
        self._run(data[body_start:end])

    def _keep(self, data: bytes) -> None:
        """Keep bytes that arrive while a request is answered; they are read once the answer is out."""
        self._behind += data
        if len(self._behind) > _BEHIND_MAX_BYTES and self.transport is not None:
            self.transport.pause_reading()

    def _hand_over(self, data: bytes) -> None:
        """Pass the connection to aiohttp's server, with all that was read and not answered."""
        transport = self.transport
        assert transport is not None
        due_s = self._timer.when()
        self._timer.cancel()
        self._server.connections.discard(self)
        if transport.is_closing():
            return
        other = self._server.web_server()
        transport.set_protocol(other)
        other.connection_made(transport)
        if not self._idle_since_s:  # the time of its first head counts on
            other.expect_head(due_s)
        if self.choked:
            self.resume_writing()
            other.pause_writing()
        transport.resume_reading()
        other.data_received(data)
        self._let_go()

    # It is answered.

    def _run(self, body: bytes) -> None:
        server, head, clock = self._server, self._head, self._server.clock
        assert head is not None
        now_ms = clock.now_ms()
        client = self._client
        client.request_headers, client.body = head.request_headers, body
        context = self._context = RequestContext(client, server.ids.next(now_ms), clock, now_ms)
        if head.for_openrouter:
            context.endpoint = OPENROUTER_CHAT
        try:
            if client.request_headers.passed is not server.deps.services.live.current:
                pass_head(context, server.deps, check_plain_head)
        except ApiError as error:
            self._answered(error)
            return
        self._task.start(respond(context, server.deps.services))

    def _answered(self, error: BaseException | None) -> None:
        server, transport, context = self._server, self.transport, self._context
        assert context is not None
        reply: Reply | None = None
        if error is None:
            reply = context.answer
        elif isinstance(error, Exception):
            reply, error = self._error_page(error)
        self._context = None
        self._client.body = b""
        if server.quiet is not None:
            server.ended()
        if transport is None:
            self._let_go()
            return
        if transport.is_closing():
            return
        if error is not None:  # cancelled at shutdown; every other failure became an answer
            transport.abort()
            return
        closes = False
        if reply.__class__ is bytes:
            transport.write(reply)
        elif isinstance(reply, RawResponse):
            transport.write(reply.data)
            closes = reply.close
        else:
            transport.write(b"0\r\n\r\n")
        if closes or server.stopping:
            transport.close()
            self._set_timer(server.stall_s)  # what is unsent keeps it open
            return
        self._idle_since_s = self._loop.time()
        if self._behind:
            self._loop.call_soon(self._read_behind)

    def _error_page(self, error: Exception) -> tuple[Reply | None, Exception | None]:
        """Return the answer to what the request raised; the error where it has none."""
        assert self._context is not None
        try:
            return reply_to_error(self._context, self._server.deps, error), None
        except Exception as second:  # whoever ended the wait must not hear of it
            log.exception("request.failed", extra={"request_id": self._context.request_id})
            return None, second

    def _read_behind(self) -> None:
        behind, self._behind = self._behind, b""
        if self.transport is not None and not self.transport.is_closing() and self._context is None:
            self._hand_over(behind)

    # Timers, and the end of the connection.

    def _set_timer(self, after_s: float) -> None:
        self._timer.cancel()
        self._timer = self._loop.call_later(after_s, self._late)

    def _late(self) -> None:
        transport = self.transport
        if transport is None:
            return
        if transport.is_closing():
            transport.abort()
            return
        if self._got:
            self._server.late_bodies.remove(self)
            self.body_is_late()
            return
        left_s = self._idle_since_s + KEEPALIVE_S - self._loop.time() if self._idle_since_s else 0.0
        if self._context is not None or self.choked:
            self._set_timer(KEEPALIVE_S)
        elif left_s > 0:
            self._set_timer(left_s)
        else:
            transport.abort()

    def body_is_late(self) -> None:
        """Pass a request whose body arrives slowly to aiohttp's server."""
        got, self._got = self._got, b""
        if got and self.transport is not None:
            self._hand_over(got)

    def close_if_idle(self) -> None:
        if self._context is None and self.transport is not None:
            self.transport.close()

    def cut(self) -> None:
        """Abort the request under way; it is settled."""
        if self._context is not None:
            self._task.cancel()
        elif self.transport is not None:
            self.transport.abort()

    @property
    def busy(self) -> bool:
        return self._context is not None


class FastPathServer:
    """The protocol factory of the users' socket, with what all its connections share."""

    def __init__(
        self,
        deps: Deps,
        ids: RequestIds,
        clock: Clock,
        web_server: OnDemandServer,
        *,
        head_timeout_s: float,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.deps = deps
        self.ids = ids
        self.clock = clock
        self.web_server = web_server
        self.head_timeout_s = head_timeout_s
        self.loop = loop
        self.connections: set[FastPath] = set()
        self.heads = Heads()
        self.late_bodies = BodyTimeouts(loop)
        self.stopping = False
        self.quiet: Latch | None = None  # shutdown() waits for it

    def __call__(self) -> FastPath:
        return FastPath(self)

    @property
    def stall_s(self) -> float:
        """Return for how long a client may read nothing."""
        return self.deps.services.live.current.settings.server.write_timeout_s

    def pre_shutdown(self) -> None:
        """Close the connections that only wait for a next request; those with a request close after it."""
        self.stopping = True
        for connection in list(self.connections):
            connection.close_if_idle()

    async def shutdown(self, timeout_s: float) -> None:
        """Abort the requests still under way and wait until they are settled, at most timeout_s."""
        for connection in list(self.connections):
            connection.cut()
        if self._is_busy():
            self.quiet = Latch()
            await self.quiet.wait(timeout_s)

    def ended(self) -> None:
        """Count down the requests that shutdown() waits for."""
        if self.quiet is not None and not self._is_busy():
            self.quiet.set()

    def _is_busy(self) -> bool:
        return any(connection.busy for connection in self.connections)
