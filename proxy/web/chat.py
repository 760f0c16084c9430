"""POST /v1/chat/completions."""

from proxy.core.errors import CallerError, OwnError
from proxy.pipeline.call import Call
from proxy.pipeline.client import Reply
from proxy.pipeline.run import run
from proxy.web.state import State


async def chat_completions(call: Call, state: State) -> Reply:
    """Hand the call to the pipeline; while it runs, shutdown waits for it."""
    parts = state.parts
    if parts.draining:
        raise OwnError(503, "draining", "The proxy is stopping. Try again in a moment.", retry_after_s=5, close=True)
    parts.in_flight.add(call)
    try:
        return await run(call, parts)
    except (CallerError, OwnError) as error:
        parts.tally.refusals[error.status, error.code] += 1
        raise
    finally:
        parts.in_flight.remove(call)
