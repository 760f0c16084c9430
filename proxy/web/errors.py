"""Every error in OpenAI's shape, at every door."""

from collections.abc import Mapping
from types import MappingProxyType

from aiohttp import web

from proxy.core.errors import ApiError, error_body


def error_response(
    error: ApiError, request_id: str | None, told: Mapping[str, str] = MappingProxyType({})
) -> web.Response:
    """Give the answer for an error; the headers tell SDKs whether and when to try again. told: what limits say."""
    headers = {"Content-Type": "application/json", "Server": "tollkeeper", **told, **error.headers}
    if request_id is not None:
        headers["x-request-id"] = request_id
    headers.update(_retry_headers(error))
    response = web.Response(status=error.status, headers=headers, body=error_body(error, request_id))
    if error.close:
        response.force_close()
    return response


def _retry_headers(error: ApiError) -> Mapping[str, str]:
    headers = {}
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(error.retry_after_s)
    if error.should_retry is not None:
        headers["x-should-retry"] = "true" if error.should_retry else "false"
    return headers
