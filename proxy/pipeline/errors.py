"""Errors that several steps raise: the client hung up, the proxy stops, the ledger cannot be written."""

from proxy.core.errors import ApiError, OwnError

CLIENT_GONE_STATUS = 499  # nginx's word for a client that closed the request


def client_gone() -> ApiError:
    return ApiError(CLIENT_GONE_STATUS, "client_gone", "The client closed the connection before an answer began.")


def draining() -> OwnError:
    return OwnError(503, "draining", "The proxy is stopping. Try again in a moment.", retry_after_s=5, close=True)


def ledger_down(reason: str) -> OwnError:
    return OwnError(
        503,
        "ledger_unavailable",
        f"The ledger cannot be written ({reason}), so nothing was sent. Try again soon. Operator: see /readyz.",
        retry_after_s=2,
    )
