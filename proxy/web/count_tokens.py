"""POST /v1/messages/count_tokens: free, so that it is passed on and nothing is booked."""

from proxy.core.errors import OwnError
from proxy.pipeline.call import Call
from proxy.pipeline.client import Reply
from proxy.pipeline.count import count
from proxy.web.state import State
from proxy.wire.endpoint import COUNT_TOKENS


async def count_tokens(call: Call, state: State) -> Reply:
    parts = state.parts
    if parts.draining:
        raise OwnError(503, "draining", "The proxy is stopping. Try again in a moment.", retry_after_s=5, close=True)
    call.endpoint = COUNT_TOKENS
    return await count(call, parts)
