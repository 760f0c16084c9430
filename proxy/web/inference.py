"""POST /v1/chat/completions, and its siblings of the table in wire/endpoint.py."""

from collections.abc import Awaitable, Callable

from proxy.core.errors import CallerError
from proxy.pipeline.context import RequestContext
from proxy.pipeline.count_tokens import pass_on_count
from proxy.pipeline.downstream import Reply
from proxy.pipeline.run import run
from proxy.web.deps import Deps
from proxy.wire.endpoint import COUNT_TOKENS, Endpoint


def completions_of(endpoint: Endpoint) -> Callable[[RequestContext, Deps], Awaitable[Reply]]:
    """Return the handler of one endpoint; handlers differ only by the endpoint's row."""

    def handler(context: RequestContext, deps: Deps) -> Awaitable[Reply]:
        context.endpoint = endpoint
        return run(context, deps.services)

    return handler


async def count_tokens(context: RequestContext, deps: Deps) -> Reply:
    """Pass on POST /v1/messages/count_tokens, which is free: nothing is booked."""
    context.endpoint = COUNT_TOKENS
    return await pass_on_count(context, deps.services)


async def refuse_upgrade(context: RequestContext, _deps: Deps) -> Reply:
    """Refuse GET /v1/responses, by which programs ask for a WebSocket: after 426 Codex sends a POST at once.

    After 404 it tries seven times.
    """
    if "websocket" not in context.downstream.request_headers.headers.get("Upgrade", "").lower():
        raise CallerError(
            405, "method_not_allowed", "Send a response's request by POST.", headers={"Allow": "OPTIONS, POST"}
        )
    raise CallerError(
        426,
        "upgrade_required",
        "Responses are not served over a WebSocket here. Send the request by POST.",
        headers={"Upgrade": "HTTP/1.1", "Connection": "Upgrade"},
        should_retry=False,
        close=True,
    )
