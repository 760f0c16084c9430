"""The error for a client that hung up before an answer began; nobody reads it, the ledger keeps its code."""

from proxy.core.errors import ApiError

CLIENT_GONE_STATUS = 499  # nginx's word for a client that closed the request


def client_gone() -> ApiError:
    return ApiError(CLIENT_GONE_STATUS, "client_gone", "The client closed the connection before an answer began.")
