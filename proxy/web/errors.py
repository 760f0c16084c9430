"""Errors as responses: in OpenAI's shape, or in Anthropic's or OpenRouter's for their clients."""

from collections.abc import Mapping

from proxy.core.errors import ApiError
from proxy.pipeline.context import RequestContext
from proxy.pipeline.downstream import Reply
from proxy.web.server.request_path import canonical_path
from proxy.wire.endpoint import ENDPOINTS, ERROR_BODIES, ErrorShape

_OPENROUTER_START = "/api/v1/"
_ANTHROPIC_PATHS = tuple(endpoint.path for endpoint in ENDPOINTS if endpoint.errors == "anthropic")


def error_shape(path: str) -> ErrorShape:
    """Return the error shape that clients expect at a path, whatever its prefix and whether or not it exists."""
    path = canonical_path(path)
    if path.endswith(_ANTHROPIC_PATHS):
        return "anthropic"
    return "openrouter" if path.startswith(_OPENROUTER_START) else "openai"


def error_reply(context: RequestContext, error: ApiError) -> Reply:
    """Return the answer for an error of this request, with what the user's limits say."""
    client, shape = context.downstream, error_shape(context.downstream.path)
    headers = error_headers(error, context.request_id, context.told())
    if shape == "anthropic":
        headers["request-id"] = context.request_id  # where Anthropic's SDKs look for it
    body = ERROR_BODIES[shape](error, context.request_id)
    return client.whole(error.status, headers, body, context.started_ms, close=error.close)


def error_headers(error: ApiError, request_id: str | None, told: Mapping[str, str]) -> dict[str, str]:
    """Return the headers of an error; they tell SDKs whether and when to try again."""
    headers = {"Content-Type": "application/json", **told, **error.headers}
    if request_id is not None:
        headers["x-request-id"] = request_id
    headers.update(_retry_headers(error))
    return headers


def _retry_headers(error: ApiError) -> Mapping[str, str]:
    headers = {}
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(error.retry_after_s)
    if error.should_retry is not None:
        headers["x-should-retry"] = "true" if error.should_retry else "false"
    return headers
