"""Pick the client's headers that travel to a provider."""

from proxy.core.errors import CallerError
from proxy.pipeline.values.request_headers import RequestHeaders
from proxy.wire.headers import HeaderError, pick_request_headers


def request_headers(said: RequestHeaders) -> RequestHeaders:
    """Pick the client's headers that travel; raises CallerError for one that must not."""
    if said.sent is None:
        try:
            said.sent = pick_request_headers(said.headers.items())
        except HeaderError as error:
            raise CallerError(400, "invalid_header", str(error), param=error.name) from None
    return said
