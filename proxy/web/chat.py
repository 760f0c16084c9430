"""POST /v1/chat/completions, and its siblings of the table in wire/endpoint.py."""

from collections.abc import Awaitable, Callable

from proxy.core.errors import ApiError, CallerError, OwnError
from proxy.pipeline.call import Call
from proxy.pipeline.client import Reply
from proxy.pipeline.run import run
from proxy.web.state import State
from proxy.wire.endpoint import Endpoint


async def chat_completions(call: Call, state: State) -> Reply:
    """Answer a chat completion by the pipeline; shutdown waits until it has ended."""
    parts = state.parts
    if parts.draining:
        raise OwnError(503, "draining", "The proxy is stopping. Try again in a moment.", retry_after_s=5, close=True)
    parts.in_flight.add(call)
    try:
        return await run(call, parts)
    except ApiError as error:
        if call.claim is not None and error.code != "client_gone":  # of that one nobody else is to hear
            call.claim.error = error
        if isinstance(error, CallerError | OwnError):
            parts.tally.refusals[error.status, error.code] += 1
        raise
    finally:
        parts.in_flight.remove(call)
        if call.claim is not None:
            parts.claims.end(call.claim)


def completions_of(endpoint: Endpoint) -> Callable[[Call, State], Awaitable[Reply]]:
    """Return the handler of one endpoint; handlers differ only by the endpoint's row."""

    def handler(call: Call, state: State) -> Awaitable[Reply]:
        call.endpoint = endpoint
        return chat_completions(call, state)

    return handler
