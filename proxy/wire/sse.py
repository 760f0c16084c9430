"""Server-sent events as bytes: where one ends, what it carries, and the few that the proxy itself writes.

Lines end in LF, CRLF or CR, an event ends at an empty line (WHATWG HTML, part 9.2). JSON has no raw line end
inside, so these bytes never stand in a value.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import orjson

from proxy.core.errors import openrouter_error

KEEP_ALIVE: Final = b": TOLLKEEPER PROCESSING\n\n"
"""A comment, which clients skip. Never an ``id:`` field: openai-python trips over the empty event after
it."""

_LF: Final = 0x0A
# Atomic groups keep the two halves of one CRLF from being taken for two line ends.
_EVENT_END: Final = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")
_EVENT_END_SUFFIXES: Final = (b"\n\n", b"\r\n\r\n", b"\r\r")
_COMMENT_LINES: Final = re.compile(rb"(?::[^\r\n]*(?:\r\n|\n|\r(?=[^\n])))+")
_DATA_LINE: Final = re.compile(rb"(?:\A|(?<=[\r\n]))(?:\xef\xbb\xbf)?data: ?([^\r\n]*)")
_DONE: Final = b"[DONE]"
_BEFORE_DONE: Final = frozenset(mark + field for mark in (b"", b"\xef\xbb\xbf") for field in (b"data:", b"data: "))
_DONE_LINE_BYTES: Final = 16  # one more than all of that line up to the last bracket, a byte order mark included


class EventSplitter:
    """Split a stream into runs of complete events, and keep an unfinished one until its end comes.

    Holds at most max_event_bytes plus one chunk. An event that grows beyond is given out as it came and not
    kept.
    """

    __slots__ = ("_max_event_bytes", "_pending", "_skipped_last", "oversized")

    def __init__(self, max_event_bytes: int) -> None:
        self._max_event_bytes = max_event_bytes
        self._pending = bytearray()
        self._skipped_last = b""  # the last byte of an oversized event that has not ended yet
        self.oversized = False  # an event was passed on in parts because it was too large to keep

    @property
    def is_between_events(self) -> bool:
        return not self._pending and not self._skipped_last

    @property
    def begun(self) -> bytearray:
        """Return the unfinished event, as far as it is kept; not to be changed."""
        return self._pending

    @property
    def begun_bytes(self) -> int:
        """Return how many bytes of the unfinished event are kept."""
        return len(self._pending)

    def feed(self, chunk: bytes) -> tuple[bytes, bytes, bytes]:
        """Return the end of an oversized event, the complete events after it, the start of an oversized event.

        Each may be empty.
        """
        if self._skipped_last:
            return self._skip(chunk)
        pending = self._pending
        if not pending and chunk.endswith(_EVENT_END_SUFFIXES):
            return b"", chunk, b""
        # One byte back, for the chunk may bring the second half of the event's end.
        known = max(0, len(pending) - 1)
        pending += chunk
        end = _last_event_end(pending, known)
        events = bytes(pending[:end])
        del pending[:end]
        if len(pending) <= self._max_event_bytes:
            return b"", events, b""
        begun = self.finish()
        self._skipped_last = begun[-1:]
        self.oversized = True
        return b"", events, begun

    def _skip(self, chunk: bytes) -> tuple[bytes, bytes, bytes]:
        match = _EVENT_END.search(self._skipped_last + chunk)
        if match is None:
            self._skipped_last = chunk[-1:] or self._skipped_last
            return chunk, b"", b""
        self._skipped_last = b""
        end = match.end() - 1
        _, events, begun = self.feed(chunk[end:])
        return chunk[:end], events, begun

    def take_comments(self) -> bytes:
        """Return the whole lines of comments that the begun event starts with: signs of life must not wait for it."""
        match = _COMMENT_LINES.match(self._pending) if self._pending.startswith(b":") else None
        if match is None:
            return b""
        comments = match[0]
        del self._pending[: len(comments)]
        return bytes(comments)

    def finish(self) -> bytes:
        """Return the unfinished event, which no empty line ended."""
        begun = bytes(self._pending)
        self._pending.clear()
        self._skipped_last = b""
        return begun


def _last_event_end(text: bytearray, start: int) -> int:
    """Return the index after the last event's end that lies beyond start, or 0."""
    if text.find(b"\r", start) < 0:
        return text.rfind(b"\n\n", start) + 2 if text.find(b"\n\n", start) >= 0 else 0
    end = 0
    for match in _EVENT_END.finditer(text, start):
        end = match.end()
    return end


def split_events(run: bytes) -> Iterator[bytes]:
    """Yield the events of a run, each with the empty line that ends it; the last may lack it."""
    start = 0
    if b"\r" not in run:  # nearly always, and ten times as fast as the expression
        while (at := run.find(b"\n\n", start)) >= 0:
            yield run[start : at + 2]
            start = at + 2
    else:
        for match in _EVENT_END.finditer(run):
            yield run[start : match.end()]
            start = match.end()
    if start < len(run):
        yield run[start:]


def data_spans(event: bytes) -> list[tuple[int, int]]:
    """Return the spans of the values of an event's ``data:`` lines, without the one leading space."""
    if event.startswith(b"data: "):  # the one line that nearly every event is
        end = event.find(b"\n")
        if end == len(event) - 2 and event[end + 1] == _LF and b"\r" not in event:
            return [(6, end)]
    return [match.span(1) for match in _DATA_LINE.finditer(event)]


def find_done(window: bytes) -> int:
    """Return where the line ``data: [DONE]`` begins, or -1; window begins with a line, or with begun_line of one."""
    at = window.find(_DONE)
    while at >= 0:
        start = max(0, at - _DONE_LINE_BYTES)
        begin = 1 + max(window.rfind(b"\n", start, at), window.rfind(b"\r", start, at))
        if (begin or not start) and window[begin:at] in _BEFORE_DONE:
            return begin
        at = window.find(_DONE, at + 1)
    return -1


def begun_line(window: bytes) -> bytes:
    """Return the begin of the unended line at the end of window, as much as find_done needs; b"" if the line has ended.

    It is never the line's end: a text that quotes ``data: [DONE]`` may be cut anywhere, and what stood before the quote
    tells that it is one. window begins as for find_done.
    """
    if window.endswith((b"\n", b"\r")):
        return b""
    at = max(window.rfind(b"\n"), window.rfind(b"\r")) + 1
    return window[at : at + _DONE_LINE_BYTES]


def error_event(code: str, message: str, type_: str, request_id: str) -> bytes:
    """Return the event that ends a stream with an error, in the form that OpenAI's SDKs raise as APIError.

    They raise at the first event with an ``error`` that is not empty, and read nothing after it.
    """
    error = {"message": message, "type": type_, "param": None, "code": code}
    return b"data: " + orjson.dumps({"error": error, "request_id": request_id}) + b"\n\n"


def whole_as_events(body: bytes) -> bytes:
    """Return a completion in one piece as a stream of one chunk, or an error as the event of one; b"" for what is none.

    For a client that asked for a stream and has its head already, from a provider that sent none.
    """
    try:
        message = orjson.loads(body)
    except orjson.JSONDecodeError:
        return b""
    if not isinstance(message, dict):
        return b""
    if message.get("error"):
        return _written(message, b"")
    choices = message.get("choices")
    if not isinstance(choices, list) or not all(isinstance(choice, dict) for choice in choices):
        return b""
    for choice in choices:
        if "message" in choice:
            choice["delta"] = choice.pop("message")
    if isinstance(message.get("object"), str):
        message["object"] = message["object"].removesuffix(".chunk") + ".chunk"
    return _written(message, b"data: [DONE]\n\n")


def _written(message: dict[str, Any], rest: bytes) -> bytes:
    try:
        return b"data: " + orjson.dumps(message) + b"\n\n" + rest
    except orjson.JSONEncodeError:  # nested deeper than it writes
        return b""


_STATUSES: Final[Mapping[str, int]] = {"upstream_timeout": 504, "internal_error": 500, "cut": 503}  # else 502


def openrouter_error_event(code: str, message: str, type_: str, request_id: str, answer_id: str | None) -> bytes:
    """Return the same event as a chunk of OpenRouter's, whose SDKs refuse one without all of their fields.

    No choices: langchain-openrouter takes no notice of an error beside one.
    """
    chunk = {
        "id": answer_id or request_id,
        "object": "chat.completion.chunk",
        "created": 0,
        "model": "",
        "choices": [],
        "error": openrouter_error(_STATUSES.get(code, 502), code, message, type_),
        "request_id": request_id,
    }
    return b"data: " + orjson.dumps(chunk) + b"\n\n"
