"""One request on either server: its checks, its handler, and the error page if that fails."""

import logging
from collections.abc import Awaitable, Callable

from proxy.core.errors import ApiError, OwnError
from proxy.pipeline.access_log import AccessLog
from proxy.pipeline.context import RequestContext
from proxy.pipeline.downstream import Reply
from proxy.pipeline.relay.final_error import answer_inside
from proxy.pipeline.snapshot import Snapshot
from proxy.web.deps import Deps
from proxy.web.errors import error_reply
from proxy.web.server.refusal import refusal_of
from proxy.web.server.request_path import known_words
from proxy.web.server.response import RawResponse

log = logging.getLogger("tollkeeper.web")

HEAD_MAX_BYTES = 8190  # one header line, as nginx and Apache take
HEADERS_MAX = 100
KEEPALIVE_S = 75.0  # longer than the 60 s of common load balancers, so that they close first

Handler = Callable[[RequestContext, Deps], Awaitable[Reply]]
Check = Callable[[RequestContext, Snapshot], None]

_WATCHED = frozenset({"/healthz", "/readyz", "/metrics"})


async def serve_one(context: RequestContext, deps: Deps, check: Check, answer: Handler) -> Reply:
    """Answer one request. Whatever is raised becomes an error page, but for CancelledError."""
    try:
        pass_head(context, deps, check)
        reply = await answer(context, deps)
    except Exception as error:  # noqa: BLE001 - the page says what it was
        return reply_to_error(context, deps, error)
    if context.asked is None:
        _log_served(context, reply, deps.services.access)
    return reply


def pass_head(context: RequestContext, deps: Deps, check: Check) -> None:
    """Check a head once for its connection, as long as the configuration holds.

    check raises CallerError for a request that may not be answered, whatever it asks for.
    """
    snapshot = deps.services.live.current
    if context.downstream.request_headers.passed is not snapshot:
        check(context, snapshot)


def reply_to_error(context: RequestContext, deps: Deps, error: Exception) -> Reply:
    """Return the answer to a request that raised: the one place where an error becomes a page."""
    if isinstance(error, ApiError):
        if not context.is_logged:
            _tell_refusal(context, deps, error)
        return answer_inside(context, error) if context.reply is not None else error_reply(context, error)
    log.error("request.failed", exc_info=error, extra={"request_id": context.request_id})
    if context.began:  # half an answer is sent: a second one would be read as its rest
        context.cut()
    context.told = dict  # the headers of limits may be what failed
    failure = _internal_error(context.request_id)
    if not context.is_logged:
        _tell_refusal(context, deps, failure)
    return error_reply(context, failure)


def _tell_refusal(context: RequestContext, deps: Deps, error: ApiError) -> None:
    services = deps.services
    path = known_words(context.downstream.path)
    services.events.refused(refusal_of(context, path, error, services.live.current.directory))


def _log_served(context: RequestContext, reply: Reply, access: AccessLog | None) -> None:
    """Log a request that could cost nothing; those that watch over the proxy ask too often for a line each."""
    if access is None or context.is_logged or not isinstance(reply, RawResponse):
        return
    path = known_words(context.downstream.path)
    if path not in _WATCHED:
        access.served(context, path, reply.status)


def _internal_error(request_id: str) -> OwnError:
    return OwnError(
        500,
        "internal_error",
        f"The proxy failed. The operator finds the reason in its log under {request_id}.",
    )
