"""HTTP on a socket: aiohttp's low-level server, our error pages, and word of clients that hang up.

aiohttp's own page for a bad request quotes the head it could not read, token included; ours quotes nothing.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, cast

from aiohttp import HttpVersion10, HttpVersion11, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_exceptions import LineTooLong
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import StreamReader

from proxy.core.clock import Clock
from proxy.core.errors import ApiError, CallerError, OwnError
from proxy.pipeline.access_log import AccessLog
from proxy.pipeline.context import RequestContext
from proxy.pipeline.downstream import AiohttpDownstream, Reply
from proxy.pipeline.response import RawResponse
from proxy.pipeline.upstream.final_error import answer_inside
from proxy.storage.rows import RequestIds, id_text
from proxy.web.deps import Deps
from proxy.web.errors import error_response, error_shape
from proxy.web.server.host_check import check_framing, check_request
from proxy.web.server.unread_answers import UnreadAnswers

log = logging.getLogger("tollkeeper.web")

KEEPALIVE_S = 75.0  # longer than the 60 s of common load balancers, so that they close first
_HEAD_MAX_BYTES = 8190  # one header line, as nginx and Apache take
_HEADERS_MAX = 100

_WATCHED = frozenset({"/healthz", "/readyz", "/metrics"})
_WORDS_MAX = 8  # of a path, in a line of the log
_WORDS = frozenset(  # of the paths there are, and of those that clients ask for by mistake
    {
        *("", "v1", "api", "admin", "chat", "completions", "responses", "messages", "count_tokens", "embeddings"),
        *("explain", "models", "me", "limits", "usage", "key", "auth", "credits", "generation"),
        *("healthz", "readyz", "metrics", "users", "tokens", "backup", "reload", "list", "show", "add", "set"),
        *("remove", "disable", "enable", "rotate", "trust"),
        *("v2", "engines", "images", "audio", "files", "batches", "moderations", "health", "tags", "favicon.ico"),
    }
)

Answer = Callable[[RequestContext, Deps], Awaitable[Reply]]


class UserConnection(web.RequestHandler):
    """One client connection."""

    __slots__ = ("_head_timeout_s", "_head_timer", "_stall_s", "_unread", "_way", "context")

    def __init__(
        self,
        manager: web.Server,
        *,
        head_timeout_s: float,
        stall_s: Callable[[], float],
        loop: asyncio.AbstractEventLoop,
        **settings: Any,
    ) -> None:
        super().__init__(manager, loop=loop, **settings)
        self.context: RequestContext | None = None
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
        super().data_received(data)
        if self._head_timer is None and self._waiter is not None and not self._waiter.done():
            # a further request has begun on a connection that was idle, and its head is not whole yet
            self._head_timer = self._loop.call_later(self._head_timeout_s, self._head_late)

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
        request: web.BaseRequest,  # noqa: ARG002 - aiohttp's signature
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
        response = error_response(error, None)
        response.force_close()
        return response


class UserServer(web.Server):
    """aiohttp's server with our connections."""

    def __init__(
        self,
        handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        head_timeout_s: float,
        stall_s: Callable[[], float],
    ) -> None:
        super().__init__(handler, request_factory=_request, access_log=None)
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
            head_timeout_s=self._head_timeout_s,
            stall_s=self._stall_s,
            loop=self._loop,
            access_log=None,
            keepalive_timeout=KEEPALIVE_S,
            max_line_size=_HEAD_MAX_BYTES,
            max_field_size=_HEAD_MAX_BYTES,
            max_headers=_HEADERS_MAX,
            auto_decompress=False,
            lingering_time=2.0,
        )


def _unreadable(exc: BaseException | None) -> CallerError:
    if isinstance(exc, LineTooLong) or "Too many headers" in str(exc):
        return CallerError(
            431,
            "header_too_large",
            f"The request line or a header is longer than {_HEAD_MAX_BYTES} bytes, or there are more than"
            f" {_HEADERS_MAX} headers. Send less.",
            close=True,
        )
    return CallerError(400, "bad_request", "This is not an HTTP/1.1 request.", close=True)


def _request(
    message: RawRequestMessage,
    payload: StreamReader,
    protocol: web.RequestHandler,
    writer: AbstractStreamWriter,
    task: "asyncio.Task[None]",
) -> web.BaseRequest:
    return web.BaseRequest(message, payload, protocol, writer, task, task.get_loop())


def make_server(
    deps: Deps, answer: Answer, ids: RequestIds, clock: Clock, *, gated: bool, head_timeout_s: float
) -> UserServer:
    """Return the protocol factory for one listening socket. gated False: the Unix socket, which no web page reaches."""

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        now_ms = clock.now_ms()
        context = RequestContext(AiohttpDownstream(request), ids.next(now_ms), clock, now_ms)
        connection = request.protocol
        if isinstance(connection, UserConnection):
            connection.head_arrived()
            connection.context = context
        try:
            if "Transfer-Encoding" in request.headers:
                check_framing(request)
            if gated:
                check_request(request, context.client.said, deps.services.live.current)
            # each reply to an AiohttpClient has what the server asks of a response
            response = cast(web.StreamResponse, await answer(context, deps))
            log_served(context, cast(web.StreamResponse | RawResponse, response), deps.services.access)
        except ApiError as error:
            log_refused(context, known_words(request.raw_path), error, deps.services.access)
            if context.reply is not None:
                return cast(web.StreamResponse, answer_inside(context, error))
            response = error_response(error, context.request_id, context.told(), error_shape(request.raw_path))
            if request.version not in (HttpVersion10, HttpVersion11):
                request._cache["version"] = HttpVersion11  # noqa: SLF001 - else the answer begins with the odd one
        except Exception:
            log.exception("request.failed", extra={"request_id": context.request_id})
            response = error_response(
                internal_error(context.id), context.request_id, shape=error_shape(request.raw_path)
            )
            if context.began:  # half an answer has gone out: a second one would be taken for its rest
                context.cut()
        finally:
            if isinstance(connection, UserConnection):
                connection.context = None
        if isinstance(response, web.StreamResponse):
            response.headers.setdefault("Server", "tollkeeper")
            if context.client.said.cors is not None:  # the head of a stream has gone out with them
                response.headers.update(context.client.said.cors)
        return response

    return UserServer(handle, head_timeout_s, lambda: deps.services.live.current.settings.server.write_timeout_s)


def log_served(context: RequestContext, response: web.StreamResponse | RawResponse, access: AccessLog | None) -> None:
    """Log a request that could cost nothing; those that watch over the proxy ask too often for a line each."""
    if access is None or context.is_logged or context.asked is not None:
        return
    path = known_words(context.request.raw_path)
    if path not in _WATCHED:
        status = response.status if isinstance(response, web.StreamResponse) else int(response.data[9:12])
        access.served(context, path, status)


def log_refused(context: RequestContext, path: str, error: ApiError, access: AccessLog | None) -> None:
    """Log a request that was answered with an error and has no row. path: see known_words()."""
    if access is not None and not context.is_logged:
        access.refused(context, path, error)


def known_words(raw_path: str) -> str:
    """Return a path without its query and with those words only that are ours: clients put tokens into paths too."""
    words = raw_path.partition("?")[0].split("/")[:_WORDS_MAX]
    return "/".join(word if word in _WORDS else "…" for word in words)


def internal_error(request_id: int) -> OwnError:
    return OwnError(
        500,
        "internal_error",
        f"The proxy failed. The operator finds the reason in its log under {id_text(request_id)}.",
    )
