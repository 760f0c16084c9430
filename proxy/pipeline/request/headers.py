"""Select the client's headers that are sent to a provider."""

from proxy.core.errors import CallerError
from proxy.pipeline.values.request_headers import RequestHeaders
from proxy.wire.headers import HeaderError, pick_request_headers


def pick_headers(said: RequestHeaders) -> None:
    """Select the client's headers that are sent upstream; raises CallerError for one that must not."""
    try:
        said.sent = pick_request_headers(said.headers.items())
    except HeaderError as error:
        raise CallerError(400, "invalid_header", str(error), param=error.name) from None
