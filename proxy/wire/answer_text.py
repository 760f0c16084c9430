"""The text of an answer, collected from a stream on its way, for the checks of a preset."""

from typing import Any, Final

from proxy.wire.parsed_answer import choices_of, read_message
from proxy.wire.sse import EventSplitter, data_spans, split_events

MAX_EVENT_BYTES: Final = 1 << 20  # no piece of text is that large
EVENT_BYTES: Final = len(b"data: \n\n")


class AnswerText:
    """Feed it every chunk of the upstream's body; text is that of the first choice, as far as it has come.

    It reads the streams of all endpoints, each by its own events. It collects about max_chars at most; called is true
    once a tool was called.
    """

    __slots__ = ("_chars", "_events", "_max_chars", "_pieces", "called")

    def __init__(self, max_chars: int) -> None:
        self._events = EventSplitter(MAX_EVENT_BYTES)
        self._max_chars = max_chars
        self._pieces: list[str] = []
        self._chars = 0
        self.called = False

    @property
    def text(self) -> str | None:
        """Return the text; None if tools were called and nothing was said."""
        return "".join(self._pieces) or (None if self.called else "")

    def feed(self, chunk: bytes) -> None:
        """Read the next bytes."""
        _, events, _ = self._events.feed(chunk)
        self._read(events)

    def finish(self) -> None:
        """Read a last event that no empty line ended, at the end of the body."""
        self._read(self._events.finish())

    def _read(self, events: bytes) -> None:
        for event in split_events(events):
            data = b"\n".join([event[slice(*span)] for span in data_spans(event)])
            message = read_message(data) if data[:1] == b"{" else None
            if message is None:
                continue
            self.called = self.called or _calls(message)
            text = _text(message)
            if text and self._chars <= self._max_chars:
                self._pieces.append(text)
                self._chars += len(text)


def text_of_choices(choices: list[dict[str, Any]]) -> str:
    """Return the text that one event of a chat says; empty for thoughts, calls of tools and all else."""
    found = _of_choice(_first_of(choices))
    return found if isinstance(found, str) else ""


def _text(message: dict[str, Any]) -> str:
    kind, delta = message.get("type"), message.get("delta")
    if kind == "response.output_text.delta":
        found = delta
    elif kind == "content_block_delta":
        found = delta.get("text") if isinstance(delta, dict) else None
    else:
        found = _of_choice(_first(message))
    return found if isinstance(found, str) else ""


def _of_choice(choice: dict[str, Any]) -> Any:
    delta = choice.get("delta")
    return delta.get("content") if isinstance(delta, dict) else choice.get("text")


def _first(message: dict[str, Any]) -> dict[str, Any]:
    return _first_of(choices_of(message))


def _first_of(choices: list[dict[str, Any]]) -> dict[str, Any]:
    return next((choice for choice in choices if choice.get("index") in (0, None)), {})


def _calls(message: dict[str, Any]) -> bool:
    """Return whether an event begins or continues a tool call."""
    kind = message.get("type")
    if kind == "response.output_item.added":
        return _is_call(message.get("item"))
    if kind == "content_block_start":
        return _is_call(message.get("content_block"))
    delta = _first(message).get("delta")
    return isinstance(delta, dict) and bool(delta.get("tool_calls") or delta.get("function_call"))


def _is_call(part: Any) -> bool:
    kind = part.get("type") if isinstance(part, dict) else None
    return isinstance(kind, str) and kind.endswith(("_call", "tool_use"))
