"""POST /v1/chat/completions, and its siblings of the table in wire/endpoint.py."""

from collections.abc import Awaitable, Callable

from proxy.core.errors import ApiError, CallerError, OwnError
from proxy.pipeline.context import RequestContext
from proxy.pipeline.downstream import Reply
from proxy.pipeline.run import run
from proxy.web.deps import Deps
from proxy.wire.endpoint import Endpoint


async def answer_inference(context: RequestContext, deps: Deps) -> Reply:
    """Answer a chat completion by the pipeline; shutdown waits until it has ended."""
    services = deps.services
    if services.draining:
        raise OwnError(503, "draining", "The proxy is stopping. Try again in a moment.", retry_after_s=5, close=True)
    services.in_flight.add(context)
    try:
        return await run(context, services)
    except ApiError as error:
        if context.claim is not None and error.code != "client_gone":  # of that one nobody else is to hear
            context.claim.error = error
        if isinstance(error, CallerError | OwnError):
            services.tally.refusals[error.status, error.code] += 1
        raise
    finally:
        services.in_flight.remove(context)
        if context.claim is not None:
            services.claims.end(context.claim)


def completions_of(endpoint: Endpoint) -> Callable[[RequestContext, Deps], Awaitable[Reply]]:
    """Return the handler of one endpoint; handlers differ only by the endpoint's row."""

    def handler(context: RequestContext, deps: Deps) -> Awaitable[Reply]:
        context.endpoint = endpoint
        return answer_inference(context, deps)

    return handler
