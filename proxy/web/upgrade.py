"""GET /v1/responses: programs that would rather speak over a WebSocket are told to POST."""

from proxy.core.errors import CallerError
from proxy.pipeline.context import RequestContext
from proxy.pipeline.downstream import Reply
from proxy.web.deps import Deps


async def refuse_upgrade(context: RequestContext, _deps: Deps) -> Reply:
    """Refuse by 426, after which Codex sends a POST at once; after 404 it tries seven times."""
    if "websocket" not in context.client.said.headers.get("Upgrade", "").lower():
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
