"""What an attempt that failed has told: the facts that policy/fallback.py decides on. Pure."""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

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
}


_RAW_MAX_CHARS = 10_000  # what a text is searched for stands at its beginning


class Failure(NamedTuple):
    """How far an attempt came, and what was said.

    connect  certainly no byte of the request was sent
    sent     bytes of the request were sent, and no status came
    status   the status is not 2xx
    answer   the status was 2xx, and before the first content it broke off, timed out, or was an error object
    content  it failed after content had gone to the client

    status is the HTTP status, also that of a 2xx; kind is TransportError.kind, or a word of the caller's own for a
    deadline; error is the parsed error object (what stands under "error"), of any shape; retry_after_s comes from
    wire/retry_after.py.
    """

    where: Where
    status: int | None = None
    kind: str | None = None
    error: Mapping[str, Any] | None = None
    retry_after_s: float | None = None

    @property
    def code(self) -> int | None:
        """Give the status that counts: the HTTP one, or within a 2xx that of the error object; None: neither."""
        if self.where == "status":
            return self.status
        return None if self.error is None else status_of(self.error)

    @property
    def message(self) -> str:
        """Give the error's text in lower case; empty where there is none."""
        return "" if self.error is None else (_text(self.error, "message") or "").lower()

    @property
    def text(self) -> str:
        """Give the error's text and that of the provider behind a router (metadata.raw), in lower case."""
        raw = self.part("metadata").get("raw")
        return f"{self.message} {raw[:_RAW_MAX_CHARS].lower()}" if isinstance(raw, str) else self.message

    @property
    def words(self) -> frozenset[str]:
        """Give every word of the error that is a code: its code, type, metadata.error_type, availability.code."""
        if self.error is None:
            return frozenset()
        metadata, availability = self.part("metadata"), self.part("availability")
        found = (
            _text(self.error, "code"),
            _text(self.error, "type"),
            _text(self.error, "error_type"),
            _text(metadata, "error_type"),
            _text(metadata, "reason"),
            _text(availability, "code"),
            _text(availability, "error_type"),
        )
        return frozenset(word for word in found if word is not None)

    @property
    def limit_source(self) -> str:
        """Give OpenRouter's word for whose limit it was; empty where it does not say."""
        return _text(self.part("metadata"), "limit_source") or ""

    def part(self, name: str) -> Mapping[str, Any]:
        """Give an object within the error, such as metadata; empty where there is none."""
        value = None if self.error is None else self.error.get(name)
        return value if isinstance(value, Mapping) else {}

    def said(self, name: str) -> Any:
        """Give a value of the error's metadata, or of the error itself; None where neither has it."""
        value = self.part("metadata").get(name)
        return value if value is not None or self.error is None else self.error.get(name)


def status_of(error: Mapping[str, Any]) -> int | None:
    """Give the status that an error object stands for: a number in code, or the meaning of a word; else None.

    OpenRouter's code is the status as a number, within a 200 as well; OpenAI's is a word or null.
    """
    metadata, availability = error.get("metadata"), error.get("availability")
    values = [error.get("code"), error.get("status"), error.get("error_type"), error.get("type")]
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
