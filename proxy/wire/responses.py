"""/responses: what a response says about itself, whole or as a stream of typed events.

OpenAI names each event on an ``event:`` line and ends with the last one; OpenRouter names none and sends
``data: [DONE]`` behind it. The type stands in the JSON with both. Usage comes with the last event.
"""

from typing import Any, ClassVar, Final

import orjson

from proxy.wire.error import error_of_message
from proxy.wire.parsed_answer import ParsedAnswer, error_code, error_type, read_message, text_of
from proxy.wire.typed_meter import TypedMeter
from proxy.wire.usage import RESPONSES, STREAMED_RESPONSES, read_usage

_LAST: Final = frozenset({"response.completed", "response.incomplete", "response.failed", "response.cancelled"})
_CONTENT: Final = (".delta", ".done", ".partial_image")  # ends of the types of events that say something
_CALLS: Final = ("function_call", "custom_tool_call", "local_shell_call", "apply_patch_call", "computer_call")
_INCOMPLETE: Final = {"max_output_tokens": "length", "content_filter": "content_filter"}


def read_response(body: bytes) -> ParsedAnswer | None:
    """Read a response that is not streamed; None if it is no JSON object."""
    message = read_message(body)
    if message is None:
        return None
    error = error_of_message(message)
    return ParsedAnswer(
        text_of(message, "id"),
        text_of(message, "model"),
        text_of(message, "provider"),
        finish_of(message),
        read_usage(message, body, RESPONSES),
        error is not None,
        error_code(error) if error else None,
        error_type(error) if error else None,
        bool(message.get("output")),
    )


def finish_of(response: dict[str, Any]) -> str | None:
    """Return why a response ended, in the words of chat completions; None while it has not."""
    status = response.get("status")
    if status == "completed":
        output = response.get("output")
        kinds = [item.get("type") for item in output if isinstance(item, dict)] if isinstance(output, list) else []
        return "tool_calls" if any(kind in _CALLS for kind in kinds) else "stop"
    if status == "incomplete":
        details = response.get("incomplete_details")
        reason = text_of(details, "reason") if isinstance(details, dict) else None
        return "incomplete" if reason is None else _INCOMPLETE.get(reason, reason)
    return "error" if status in ("failed", "cancelled") else None


class ResponsesMeter(TypedMeter):
    """The stream of a response."""

    __slots__ = ()
    telling: ClassVar = (
        b'"response.completed"',
        b'"response.incomplete"',
        b'"response.failed"',
        b'"response.cancelled"',
        b'"usage"',
        b'"error"',
    )

    def note(self, message: dict[str, Any], data: bytes) -> bool:
        kind = text_of(message, "type") or ""
        response = message.get("response")
        is_whole = message.get("object") == "response"
        if is_whole:  # a response in one piece where a stream was asked for
            response = message
        if isinstance(response, dict):
            self.note_origin(response)
            self.finish_reason = finish_of(response) or self.finish_reason
            self.content_seen = self.content_seen or bool(response.get("output"))
        if kind.endswith(_CONTENT):
            self.note_content()
        if kind in ("", "error") or message.get("error") or (isinstance(response, dict) and response.get("error")):
            self.note_error(message)
        usage = read_usage(message, data, RESPONSES if is_whole else STREAMED_RESPONSES)
        self.note_usage(usage, message, data, is_last=is_whole or kind in _LAST)
        return is_whole or kind in _LAST


def response_error_event(code: str, message: str, type_: str, request_id: str, answer_id: str | None) -> bytes:
    """Return the event that ends a stream with an error.

    The ``error`` at the top makes OpenAI's SDKs raise APIError; programs that follow the events (Codex, the AI SDK)
    read that the response failed. answer_id is the id that the stream gave the response before.
    """
    error = {"message": message, "type": type_, "param": None, "code": code}
    failed: dict[str, Any] = {
        "id": answer_id or request_id,
        "object": "response",
        "status": "failed",
        "output": [],
        "usage": None,
    }
    body = {
        "type": "response.failed",
        "response": {**failed, "error": {"code": code, "message": message}},
        "error": error,
        "request_id": request_id,
    }
    return b"event: response.failed\ndata: " + orjson.dumps(body) + b"\n\n"
