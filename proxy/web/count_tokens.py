"""POST /v1/messages/count_tokens: free, so that it is passed on and nothing is booked."""

from proxy.core.errors import OwnError
from proxy.pipeline.context import RequestContext
from proxy.pipeline.count_tokens import pass_on_count
from proxy.pipeline.downstream import Reply
from proxy.web.deps import Deps
from proxy.wire.endpoint import COUNT_TOKENS


async def count_tokens(context: RequestContext, deps: Deps) -> Reply:
    services = deps.services
    if services.draining:
        raise OwnError(503, "draining", "The proxy is stopping. Try again in a moment.", retry_after_s=5, close=True)
    context.endpoint = COUNT_TOKENS
    return await pass_on_count(context, services)
