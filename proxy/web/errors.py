"""Every error at every door: in OpenAI's shape, and in Anthropic's or OpenRouter's where their programs call."""

from collections.abc import Mapping
from types import MappingProxyType

from aiohttp import web

from proxy.core.errors import ApiError
from proxy.pipeline.response import RawResponse, whole_bytes
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


def error_response(
    error: ApiError,
    request_id: str | None,
    told: Mapping[str, str] = MappingProxyType({}),
    shape: ErrorShape = "openai",
) -> web.Response:
    """Return the response for an error. told: the headers of the user's limits."""
    headers = {"Server": "tollkeeper", **error_headers(error, request_id, told)}
    if shape == "anthropic" and request_id is not None:
        headers["request-id"] = request_id  # where Anthropic's SDKs look for it
    response = web.Response(status=error.status, headers=headers, body=ERROR_BODIES[shape](error, request_id))
    if error.close:
        response.force_close()
    return response


def error_whole(
    error: ApiError, request_id: str, told: Mapping[str, str], shape: ErrorShape, now_ms: int
) -> RawResponse:
    """Return the same response as HTTP/1.1 bytes."""
    headers = error_headers(error, request_id, told)
    if error.close:
        headers["Connection"] = "close"
    data = whole_bytes(error.status, headers, ERROR_BODIES[shape](error, request_id), now_ms)
    return RawResponse(data, close=error.close)


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
