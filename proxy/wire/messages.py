"""/messages, Anthropic's shape: what a message says about itself, whole or as a stream of typed events.

Usage comes twice in a stream: ``message_start`` counts the prompt, ``message_delta`` what was written until then, and
may say all of it again. OpenRouter tells the cost in the latter. ``message_stop`` is the end.
"""

from typing import Any, ClassVar, Final

import orjson

from proxy.wire.error import error_of_message
from proxy.wire.parsed_answer import ParsedAnswer, error_code, error_type, read_message, text_of
from proxy.wire.stream_meter import MAX_EVENT_BYTES
from proxy.wire.token_classes import FELL, whole
from proxy.wire.typed_meter import TypedMeter
from proxy.wire.usage import MESSAGES, read_usage, with_cost, with_doubt

_FINISH: Final = {  # Anthropic's word -> that of chat completions
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
_MONEY: Final = frozenset({"cost", "cost_details", "is_byok"})  # of an intermediate count; only the last is the cost


def read_message_answer(body: bytes) -> ParsedAnswer | None:
    """Read a message that is not streamed; None if it is no JSON object."""
    message = read_message(body)
    if message is None:
        return None
    error = error_of_message(message)
    return ParsedAnswer(
        text_of(message, "id"),
        text_of(message, "model"),
        text_of(message, "provider"),
        finish_of(message),
        read_usage(message, body, MESSAGES),
        error is not None,
        error_code(error) if error else None,
        error_type(error) if error else None,
        bool(message.get("content")),
    )


def finish_of(message: dict[str, Any]) -> str | None:
    """Return why a message ended, in the words of chat completions; None while it has not."""
    reason = text_of(message, "stop_reason")
    return None if reason is None else _FINISH.get(reason, reason)


class MessagesMeter(TypedMeter):
    """The stream of a message."""

    __slots__ = ("_counted",)
    telling: ClassVar = (b'"message_start"', b'"message_delta"', b'"message_stop"', b'"usage"', b'"error"')

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        super().__init__(max_event_bytes)
        self._counted: dict[str, Any] = {}  # the usage so far

    def note(self, message: dict[str, Any], data: bytes) -> bool:
        kind = text_of(message, "type") or ""
        if kind == "message_start" and isinstance(message.get("message"), dict):
            self.note_origin(message["message"])
            self._count(message["message"].get("usage"), message, data)  # of the prompt: output still adds to it
            self.usage_is_whole = False
        elif kind == "message_delta":
            delta = message.get("delta")
            finish_reason = finish_of(delta) if isinstance(delta, dict) else None
            self.finish_reason = finish_reason or self.finish_reason
            self._count(message.get("usage"), message, data)
            ends = self.finish_reason is not None or self.error_seen
            self.usage_is_last = self.usage_is_whole and ends
        elif kind == "message_stop":
            self.usage_is_last = self.usage_is_whole
        elif kind == "content_block_delta":
            self.note_content()
        elif kind == "content_block_start":
            if _says_something(message.get("content_block")):
                self.note_content()
        elif kind == "message":  # a message in one piece where a stream was asked for
            self.note_origin(message)
            self.finish_reason = finish_of(message)
            self.content_seen = bool(message.get("content"))
            self.note_usage(read_usage(message, data, MESSAGES), message, data, is_last=True)
        if kind in ("", "error") or message.get("error"):
            self.note_error(message)
        return kind in ("message_stop", "message")

    def _count(self, usage: Any, message: dict[str, Any], data: bytes) -> None:
        """Update the counts by those of an event: what it leaves out stays as it was, except the cost.

        If a count falls the greater one is kept, and flagged.
        """
        if not isinstance(usage, dict):
            return
        before = {name: value for name, value in self._counted.items() if name not in _MONEY}
        counted = {**before, **{name: value for name, value in usage.items() if value is not None}}
        fallen = {name: old for name, old in before.items() if _fell(old, counted.get(name))}
        self._counted = {**counted, **fallen}
        found = read_usage({"usage": self._counted}, data, MESSAGES)
        if found is not None:
            self.usage = with_doubt(found, FELL) if fallen or FELL in self._doubts() else found
            if self.cost_paths:
                self.usage = with_cost(self.usage, message, data, self.cost_paths)
            self.usage_is_whole = True

    def _doubts(self) -> frozenset[str]:
        return frozenset() if self.usage is None else self.usage.doubts


def _fell(old: Any, new: Any) -> bool:
    """Return whether a count is smaller than it was."""
    before, now = whole(old), whole(new)
    return before is not None and (now is None or now < before) and not isinstance(new, dict)


def _says_something(block: Any) -> bool:
    """Return whether a block has content from its start: a tool call, or the result of one; text comes in deltas."""
    return isinstance(block, dict) and (block.get("type") not in ("text", "thinking") or bool(block.get("text")))


def message_error_event(code: str, message: str, type_: str, request_id: str, answer_id: str | None) -> bytes:  # noqa: ARG001 - one signature for all shapes
    """Return the event that ends a stream with an error, in the form that Anthropic's SDKs raise."""
    error = {"type": "api_error", "message": message, "code": code}
    return b"event: error\ndata: " + orjson.dumps({"type": "error", "error": error, "request_id": request_id}) + b"\n\n"
