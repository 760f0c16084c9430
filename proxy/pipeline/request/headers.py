"""Select the client's headers that are sent to a provider."""

from proxy.core.errors import CallerError
from proxy.pipeline.values.request_headers import RequestHeaders
from proxy.wire.headers import HeaderError, pick_request_headers


def pick_headers(request_headers: RequestHeaders) -> None:
    """Select the client's headers that are sent upstream; raises CallerError for one that must not."""
    try:
        request_headers.sent = pick_request_headers(request_headers.headers.items())
    except HeaderError as error:
        raise CallerError(400, "invalid_header", str(error), param=error.name) from None
