"""What is known of a failed attempt: the facts that policy/failure_table.py decides on. Pure."""

import json
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from msgspec import Struct

EMPTY = "empty"

Where = Literal["connect", "sent", "status", "answer", "content"]

_CODES: Mapping[str, int] = {
    # OpenRouter's error_type and the status that it stands for (its documentation, errors and debugging).
    "invalid_request": 400,
    "invalid_prompt": 400,
    "context_length_exceeded": 400,
    "max_tokens_exceeded": 400,
    "token_limit_exceeded": 400,
    "string_too_long": 400,
    "invalid_image": 400,
    "authentication": 401,
    "payment_required": 402,
    "permission_denied": 403,
    "content_policy_violation": 403,
    "refusal": 403,
    "not_found": 404,
    "precondition_failed": 412,
    "payload_too_large": 413,
    "unprocessable": 422,
    "rate_limit_exceeded": 429,
    "server": 500,
    "provider_unavailable": 502,
    "provider_overloaded": 503,
    "timeout": 504,
    # OpenAI's codes and types.
    "invalid_request_error": 400,
    "invalid_api_key": 401,
    "authentication_error": 401,
    "permission_error": 403,
    "model_not_found": 404,
    "not_found_error": 404,
    "insufficient_quota": 429,
    "rate_limit_error": 429,
    "server_error": 500,
    "api_error": 500,
    "overloaded_error": 529,
    # Google's (google.rpc.Code, with the statuses that its documentation gives them).
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "RESOURCE_EXHAUSTED": 429,
    "INTERNAL": 500,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
    # Classes of exceptions: vLLM and SGLang; Bedrock (its API reference, InvokeModel).
    "BadRequestError": 400,
    "AuthenticationError": 401,
    "NotFoundError": 404,
    "RateLimitError": 429,
    "InternalServerError": 500,
    "ServiceUnavailableError": 503,
    "ValidationException": 400,
    "AccessDeniedException": 403,
    "ResourceNotFoundException": 404,
    "ModelTimeoutException": 408,
    "ModelErrorException": 424,
    "ThrottlingException": 429,
    "ModelNotReadyException": 429,
    "InternalServerException": 500,
    "ServiceUnavailableException": 503,
}

_CODE_KEYS = frozenset(
    (
        "code",
        "type",
        "status",
        "reason",
        "error_type",
        "__type",
        "error_code",
        "errorcode",
        "provider_code",
        "status_code",
        "quotaid",
        "limit_source",
    )
)
_TEXT_KEYS = frozenset(
    (
        "message",
        "msg",
        "detail",
        "error",
        "raw",
        "status_msg",
        "error_msg",
        "error_message",
        "error_description",
        "description",
        "localizedmessage",
        "faultstring",
        "title",
        "body",
    )
)
_PASSED_OVER = frozenset({"previous_errors", "flagged_input", "failed_generation", "headers", "input", "messages"})
"""What others said before, or the request and the answer say: none of it tells of this failure."""

_TEXT_MAX_CHARS = 10_000  # what is searched for is near the beginning of a text
_CODE_MAX_CHARS = 80
_DEPTH_MAX = 8
_PARTS_MAX = 300


class Failure(NamedTuple):
    """How far an attempt got, and what the provider said.

    connect  certainly no byte of the request was sent
    sent     bytes of the request were sent, and no status came
    status   the status is not 2xx
    answer   the status was 2xx, and before the first content it broke off, timed out, or was an error object
    content  it failed after content had gone to the client

    status is the HTTP status, also that of a 2xx; kind is TransportError.kind, or a word of the caller's own for a
    deadline, EMPTY where an answer ended and held nothing at all; error is the error object of the body in the form of
    wire/error.py, None where the body held none; is_page: the body was a page or a text, such as proxies in between
    send; retry_after_s comes from wire/retry_after.py.
    """

    where: Where
    status: int | None = None
    kind: str | None = None
    error: Mapping[str, Any] | None = None
    retry_after_s: float | None = None
    is_page: bool = False

    @property
    def code(self) -> int | None:
        """Return the status that counts: the HTTP status or, in a 2xx, that of the error object; None: neither."""
        if self.where == "status":
            return self.status
        return None if self.error is None else status_of(self.error)

    @property
    def message(self) -> str:
        """Return the error's text in lower case; "" if there is none."""
        return "" if self.error is None else (_text(self.error, "message") or "").lower()

    @property
    def limit_source(self) -> str:
        """Return OpenRouter's word for whose limit it was; "" if it does not say."""
        return _text(self.part("metadata"), "limit_source") or ""

    def part(self, name: str) -> Mapping[str, Any]:
        """Return an object within the error, such as metadata; empty if there is none."""
        value = None if self.error is None else self.error.get(name)
        return value if isinstance(value, Mapping) else {}

    def value(self, name: str) -> Any:
        """Return a value of the error's metadata, or of the error itself; None if neither has it."""
        value = self.part("metadata").get(name)
        return value if value is not None or self.error is None else self.error.get(name)


class ErrorWords(Struct, frozen=True):
    """The words of an error in lower case: its codes, wherever they are in it, and its texts joined."""

    codes: frozenset[str]
    text: str


def words_of(error: Mapping[str, Any] | None) -> ErrorWords:
    """Return the words of an error object, and of those within it: details, innererror, a text that is JSON itself."""
    if error is None:
        return _NO_WORDS
    codes: set[str] = set()
    texts: list[str] = []
    parts: list[tuple[Any, str, int]] = [(error, "", 0)]
    for _ in range(_PARTS_MAX):
        if not parts:
            break
        value, name, depth = parts.pop()
        if name in _PASSED_OVER:
            continue
        if isinstance(value, Mapping) and depth < _DEPTH_MAX:
            parts += [(part, str(key).lower(), depth + 1) for key, part in reversed(list(value.items()))]
        elif isinstance(value, list) and depth < _DEPTH_MAX:
            parts += [(part, name, depth + 1) for part in reversed(value[:_PARTS_MAX])]
        elif isinstance(value, str):
            inner = _json(value) if name in _TEXT_KEYS else None
            if inner is not None:
                parts.append((inner, "", depth + 1))
                continue
            if name in _CODE_KEYS and 0 < len(value) <= _CODE_MAX_CHARS:
                codes.add(value.lower())
            if name in _TEXT_KEYS and value not in texts:
                texts.append(value)
        elif name in _CODE_KEYS and type(value) is int and abs(value) < 10**9:
            codes.add(str(value))
    return ErrorWords(frozenset(codes), "\n".join(texts)[:_TEXT_MAX_CHARS].lower())


_NO_WORDS = ErrorWords(frozenset(), "")


def _json(text: str) -> Any:
    """Return the object or list that a text is; None where it is none."""
    if text[:1] not in ("{", "[") or len(text) > _TEXT_MAX_CHARS:
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict | list) else None


def status_of(error: Mapping[str, Any]) -> int | None:
    """Return the status that an error object means: a number in code, or the meaning of a word; else None.

    OpenRouter's code is the status as a number, within a 200 as well; OpenAI's is a word or null.
    """
    metadata, availability = error.get("metadata"), error.get("availability")
    names = ("code", "status", "error_type", "type", "__type", "status_code")
    values = [error.get(name) for name in names]
    values += [metadata.get("error_type")] if isinstance(metadata, Mapping) else []
    values += [availability.get("http_status")] if isinstance(availability, Mapping) else []
    for value in values:
        status = _status(value)
        if status is not None:
            return status
    return None


def _status(value: object) -> int | None:
    if isinstance(value, str):
        if value in _CODES:
            return _CODES[value]
        value = int(value) if len(value) == 3 and value.isascii() and value.isdigit() else None
    return value if type(value) is int and 300 <= value < 600 else None


def _text(part: Mapping[str, Any], key: str) -> str | None:
    value = part.get(key)
    return value if isinstance(value, str) and value else None
