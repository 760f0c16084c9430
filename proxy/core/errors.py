"""Every error that a person may read, by whose fault it is.

TollkeeperError            text = what happened, where, and what to do
├── ApiError               answered over HTTP in OpenAI's shape
│   ├── CallerError        the caller's fault: retrying the same request gives the same answer
│   ├── ProviderError      the provider's fault, or the way to it
│   └── OwnError           ours: no durable ledger, draining, a bug
└── SetupError             what keeps a command or the server from starting; carries the exit code
    ├── ConfigError        2
    ├── PortError          3
    └── LedgerError        4
"""

from collections.abc import Mapping
from typing import Any

import orjson

from proxy.core.limit_figures import LimitFigures
from proxy.core.text import whole_text


class TollkeeperError(Exception):
    """The root; its text is written for a person."""


class ApiError(TollkeeperError):
    """An answer with a status of 4xx or 5xx.

    code is a stable word (docs/reference/errors.md lists them all); type is OpenAI's class of error; param names the
    field at fault. should_retry becomes the header x-should-retry, which OpenAI's SDKs obey before the status. limit:
    the figures of the limit that refused.
    """

    default_type = "api_error"

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        type_: str | None = None,
        param: str | None = None,
        retry_after_s: int | None = None,
        should_retry: bool | None = None,
        close: bool = False,
        headers: Mapping[str, str] | None = None,
        limit: LimitFigures | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = whole_text(message)  # it may quote a name that is not valid UTF-8
        self.type = type_ or self.default_type
        self.param = param
        self.retry_after_s = retry_after_s
        self.should_retry = should_retry
        self.close = close  # the connection cannot be used again: the rest of the request was not read
        self.headers = dict(headers or {})
        self.limit = limit


def error_body(error: ApiError, request_id: str | None) -> bytes:
    """Return an error as JSON in OpenAI's shape, with the request's id beside it."""
    shown = {"message": error.message, "type": error.type, "param": error.param, "code": error.code}
    body = {"error": {**shown, **_limit_fields(error)}}
    return orjson.dumps(body if request_id is None else {**body, "request_id": request_id})


def _limit_fields(error: ApiError) -> Mapping[str, Any]:
    return {} if error.limit is None else error.limit.as_json()


_ANTHROPIC_TYPES: Mapping[int, str] = {  # Anthropic's class of error for a status; all others are api_error
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    408: "timeout_error",
    409: "invalid_request_error",
    413: "request_too_large",
    415: "invalid_request_error",
    422: "invalid_request_error",
    426: "invalid_request_error",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}


def anthropic_error_body(error: ApiError, request_id: str | None) -> bytes:
    """Return an error as JSON in Anthropic's shape; our stable code is its ``code``, which Anthropic's SDKs keep."""
    kind = _ANTHROPIC_TYPES.get(error.status, "api_error")
    shown = {"type": kind, "message": error.message, "code": error.code, "param": error.param}
    body = {"type": "error", "error": {**shown, **_limit_fields(error)}, "request_id": request_id}
    return orjson.dumps(body)


def openrouter_error_body(error: ApiError, request_id: str | None) -> bytes:
    """Return an error as JSON in OpenRouter's shape. Its SDKs want the status as ``code``; ours is in metadata."""
    shown = openrouter_error(error.status, error.code, error.message, error.type)
    shown["metadata"].update(_limit_fields(error))  # where OpenRouter's own errors have what programs read
    body = {"error": {**shown, "param": error.param}}
    return orjson.dumps(body if request_id is None else {**body, "request_id": request_id})


def openrouter_error(status: int, code: str, message: str, type_: str) -> dict[str, Any]:
    return {"message": message, "type": type_, "code": status, "metadata": {"error_type": code}}


class CallerError(ApiError):
    default_type = "invalid_request_error"


class ProviderError(ApiError):
    default_type = "provider_error"


class OwnError(ApiError):
    default_type = "server_error"


class SetupError(TollkeeperError):
    exit_code = 1


class ConfigError(SetupError):
    exit_code = 2


class PortError(SetupError):
    exit_code = 3


class LedgerError(SetupError):
    exit_code = 4
