"""HTTP on a socket: aiohttp's low-level server, our error pages, and notice of clients that hang up.

aiohttp's own page for a bad request quotes the head it could not read, token included; ours quotes nothing.
"""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from typing import Any, cast

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_exceptions import LineTooLong
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import StreamReader

from proxy.core.clock import Clock
from proxy.core.errors import ApiError, CallerError, OwnError
from proxy.pipeline.context import RequestContext
from proxy.storage.rows import RequestIds
from proxy.web.deps import Deps
from proxy.web.errors import error_headers
from proxy.web.server.aiohttp_downstream import AiohttpDownstream
from proxy.web.server.request_cuts import CUTS_MAX, RequestCuts
from proxy.web.server.serve_one import HEAD_MAX_BYTES, HEADERS_MAX, KEEPALIVE_S, Check, Handler, serve_one
from proxy.web.server.unread_answers import UnreadAnswers
from proxy.wire.endpoint import ERROR_BODIES

log = logging.getLogger("tollkeeper.web")

# aiohttp's words
_TWICE = re.compile(r"Duplicate '([A-Za-z-]+)' header found\.")  # only of headers that it lists
_NO_HOST = "Missing 'Host' header in request."


class UserConnection(web.RequestHandler):
    """One client connection."""

    __slots__ = ("_clock", "_cuts", "_head_timeout_s", "_head_timer", "_stall_s", "_unread", "_way", "context")

    def __init__(
        self,
        manager: web.Server,
        *,
        clock: Clock,
        head_timeout_s: float,
        stall_s: Callable[[], float],
        loop: asyncio.AbstractEventLoop,
        **settings: Any,
    ) -> None:
        super().__init__(manager, loop=loop, **settings)
        self.context: RequestContext | None = None
        self._clock = clock
        self._cuts = RequestCuts()
        self._head_timeout_s = head_timeout_s
        self._head_timer: asyncio.TimerHandle | None = None
        self._stall_s = stall_s
        self._unread: UnreadAnswers | None = None
        self._way: asyncio.Transport | None = None  # aiohttp forgets its own when it closes it

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._way = cast(asyncio.Transport, transport)
        if self._task_handler is not None:
            self._task_handler.add_done_callback(self._is_closing)
        self._head_timer = self._loop.call_later(self._head_timeout_s, self._head_late)

    def expect_head(self, due_s: float) -> None:
        """Wait for the first head until due_s, in the loop's time, and no longer."""
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = self._loop.call_at(due_s, self._head_late)

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._way is not None:
            self._unread = UnreadAnswers(self._loop, self._way, self._stall_s())

    def resume_writing(self) -> None:
        super().resume_writing()
        self._read_on()

    def _read_on(self) -> None:
        if self._unread is not None:
            self._unread.stop()
            self._unread = None

    def _is_closing(self, _task: "asyncio.Task[None]") -> None:
        """Abort later if the last answer, after which the connection closes, stays unsent."""
        way = self._way
        if way is not None and way.get_write_buffer_size():
            self._loop.call_later(self._stall_s(), way.abort)

    def data_received(self, data: bytes) -> None:
        start, cuts = 0, 0
        if not data:  # aiohttp goes on with what it has kept, once its queue is shorter
            self._read(data)
        while start < len(data):
            end = self._cuts.next_cut(data, start) if cuts < CUTS_MAX else len(data)
            self._read(data if end - start == len(data) else data[start:end])
            start, cuts = end, cuts + 1
        if self._head_timer is None and self._waiter is not None and not self._waiter.done():
            # another request has begun on an idle connection, and its head is not complete yet
            self._head_timer = self._loop.call_later(self._head_timeout_s, self._head_late)

    def _read(self, piece: bytes) -> None:
        """Have aiohttp read a piece that holds the end of one request at most."""
        before = self._request_count
        super().data_received(piece)
        if self._request_count != before:
            head = self._messages[-1][0]
            if isinstance(head, RawRequestMessage) and not head.chunked:  # else it could not be read
                self._cuts.body_bytes = int(head.headers.get("Content-Length", 0))  # aiohttp refuses odd ones

    def head_arrived(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_late(self) -> None:
        """Close, without an answer, a connection that has not sent a whole head in time."""
        self._head_timer = None
        self.force_close()

    def close_if_idle(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self.force_close()

    async def shutdown(self, timeout: float | None = 15.0) -> None:  # noqa: ASYNC109 - aiohttp's signature
        """Cancel a handler that still runs and wait until it has settled, at most timeout seconds."""
        self.close_if_idle()
        if self._current_request is not None and self._task_handler is not None:
            self._task_handler.cancel()
        await super().shutdown(timeout)

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        self._way = None
        self._read_on()
        if self._head_timer is not None:
            self._head_timer.cancel()
        if self.context is not None:
            self.context.set_gone()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - it quotes the request
    ) -> web.StreamResponse:
        self.head_arrived()
        if status == 400:
            error: ApiError = _unreadable(exc)
        else:
            log.error("request.failed", extra={"problem": type(exc).__name__})
            error = OwnError(
                500,
                "internal_error",
                "The proxy failed. The operator finds the reason in its log.",
                close=True,
            )
        fields = error_headers(error, None, {})
        reply = AiohttpDownstream(request).whole(
            error.status, fields, ERROR_BODIES["openai"](error, None), self._clock.now_ms(), close=True
        )
        return cast(web.StreamResponse, reply)


class UserServer(web.Server):
    """aiohttp's server with our connections."""

    def __init__(
        self,
        handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        clock: Clock,
        head_timeout_s: float,
        stall_s: Callable[[], float],
    ) -> None:
        super().__init__(handler, request_factory=_request, access_log=None)
        self._clock = clock
        self._head_timeout_s = head_timeout_s
        self._stall_s = stall_s

    def pre_shutdown(self) -> None:
        """Close the connections that only wait for a next request; those with a request go on."""
        for connection in list(self._connections):
            if isinstance(connection, UserConnection):
                connection.close_if_idle()

    def __call__(self) -> UserConnection:
        return UserConnection(
            self,
            clock=self._clock,
            head_timeout_s=self._head_timeout_s,
            stall_s=self._stall_s,
            loop=self._loop,
            access_log=None,
            keepalive_timeout=KEEPALIVE_S,
            max_line_size=HEAD_MAX_BYTES,
            max_field_size=HEAD_MAX_BYTES,
            max_headers=HEADERS_MAX,
            auto_decompress=False,
            lingering_time=2.0,
        )


def _unreadable(exc: BaseException | None) -> CallerError:
    if isinstance(exc, LineTooLong) or "Too many headers" in str(exc):
        return CallerError(
            431,
            "header_too_large",
            f"The request line or a header is longer than {HEAD_MAX_BYTES} bytes, or there are more than"
            f" {HEADERS_MAX} headers. Send less.",
            close=True,
        )
    return CallerError(400, "bad_request", _flaw(getattr(exc, "message", "")), close=True)


def _flaw(told: str) -> str:
    """Return what is wrong with a request that aiohttp refuses; of what it tells nothing that a client made up."""
    twice = _TWICE.fullmatch(told)
    if twice is not None:
        return f"The request has more than one {twice[1]} header. Send one."
    if told == _NO_HOST:
        return "The request has no Host header, which HTTP/1.1 asks for. Send one."
    return "This is not an HTTP/1.1 request."


def _request(
    message: RawRequestMessage,
    payload: StreamReader,
    protocol: web.RequestHandler,
    writer: AbstractStreamWriter,
    task: "asyncio.Task[None]",
) -> web.BaseRequest:
    return web.BaseRequest(message, payload, protocol, writer, task, task.get_loop())


def make_server(
    deps: Deps, answer: Handler, ids: RequestIds, clock: Clock, *, check: Check, head_timeout_s: float
) -> UserServer:
    """Return the protocol factory for one listening socket."""

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        now_ms = clock.now_ms()
        context = RequestContext(AiohttpDownstream(request), ids.next(now_ms), clock, now_ms)
        connection = request.protocol
        assert isinstance(connection, UserConnection), "UserServer makes no other"
        connection.head_arrived()
        connection.context = context
        try:
            # each reply to an AiohttpDownstream has what the server asks of a response
            return cast(web.StreamResponse, await serve_one(context, deps, check, answer))
        finally:
            connection.context = None

    return UserServer(handle, clock, head_timeout_s, lambda: deps.services.live.current.settings.server.write_timeout_s)
