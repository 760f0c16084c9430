"""Streams of any bytes for each endpoint, drawn by hypothesis, and where each of them truly ends.

The end is looked for here by the letter of the standard, line by line over the whole stream, so that it does not depend
on what it is held against.
"""

import itertools
import json
from typing import Any, Final, NamedTuple

from hypothesis import strategies as st

QUOTES: Final = (  # what a model may say about the protocol that it speaks through
    "data: [DONE]",
    "\n\ndata: [DONE]\n\n",
    'data: {"type":"message_stop"}',
    '"type":"message_stop"',
    "event: message_stop\ndata: {}",
    '"response.completed"',
    'data: {"type": "response.completed", "response": {"usage": {}}}',
    '"usage":{"completion_tokens":0},"finish_reason":"stop","error":{"code":1}',
    "[DONE]",
    ": OPENROUTER PROCESSING",
    '","usage":null,"',
    "\u2028\u2029\x85\ufeff",
)
ENDS: Final = (b"\n", b"\r\n", b"\r")
_BOM: Final = b"\xef\xbb\xbf"
_TERMINAL_TYPES: Final = {
    "responses": {"response.completed", "response.incomplete", "response.failed", "response.cancelled"},
    "messages": {"message_stop"},
}
ENDPOINTS: Final = ("chat/completions", "completions", "responses", "messages")
USAGE: Final = {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}


class Drawn(NamedTuple):
    """One stream, and the pieces in which it comes."""

    endpoint: str
    stream: bytes
    pieces: list[bytes]


def contents(endpoint: str, text: str) -> dict[str, Any]:
    """Return one event of content."""
    if endpoint == "responses":
        return {"type": "response.output_text.delta", "item_id": "i", "delta": text}
    if endpoint == "messages":
        return {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}
    if endpoint == "completions":
        return {"object": "text_completion", "choices": [{"index": 0, "text": text, "finish_reason": None}]}
    delta = {"role": "assistant", "content": text}
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}


def _others(endpoint: str) -> list[dict[str, Any]]:
    """Return events that are not content and not the end."""
    if endpoint == "responses":
        response = {"object": "x", "status": "in_progress", "output": []}
        return [{"type": "response.created", "response": response}, {"type": "keepalive", "sequence_number": 3}]
    if endpoint == "messages":
        start = {"type": "message", "content": [], "usage": {"input_tokens": 3, "output_tokens": 1}}
        delta = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 80}}
        return [{"type": "message_start", "message": start}, {"type": "ping"}, delta]
    stop = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    return [stop, {"choices": [], "usage": USAGE}, {**stop, "usage": None}, {"unknown": [1, {}]}]


def _terminals(endpoint: str) -> list[dict[str, Any] | str]:
    if endpoint == "responses":
        whole = {"status": "completed", "output": [], "usage": {"input_tokens": 1, "output_tokens": 2}}
        return ["[DONE]", {"type": "response.completed", "response": whole}]
    return [{"type": "message_stop"}] if endpoint == "messages" else ["[DONE]"]


@st.composite
def _events(draw: st.DrawFn, endpoint: str) -> bytes:
    end = draw(st.sampled_from(ENDS))
    shape = draw(st.integers(0, 11))
    if shape == 0:
        return b": " + draw(st.sampled_from(QUOTES)).replace("\n", " ").encode() + end * draw(st.integers(1, 2))
    if shape == 1:
        return draw(st.binary(max_size=40)) + end * draw(st.integers(0, 2))
    if shape == 2:
        return (
            draw(st.sampled_from([b"event: message_stop", b"event: done", b"id: 7", b"retry: 10", b"data", b""])) + end
        )
    if shape == 3:
        data = draw(st.sampled_from(_terminals(endpoint)))
    elif shape <= 5:
        data = draw(st.sampled_from(_others(endpoint)))
    else:
        data = contents(endpoint, draw(st.sampled_from(QUOTES) | st.text(max_size=12)))
    text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=draw(st.booleans()), separators=(",", ":"))
    raw = text.encode("utf-8", "surrogatepass")
    if draw(st.integers(0, 9)) == 0 and isinstance(data, dict):  # on two lines
        at = raw.index(b",") + 1 if b"," in raw else 1
        raw = raw[:at] + end + b"data:" + raw[at:]
    named = [b"event: x"] if draw(st.booleans()) else []
    return end.join([*named, b"data:" + (b" " if draw(st.integers(0, 4)) else b"") + raw]) + end * 2


@st.composite
def streams(draw: st.DrawFn, endpoints: tuple[str, ...] = ENDPOINTS, most: int = 8) -> Drawn:
    """Draw a stream and its pieces: whole, byte by byte, or cut anywhere."""
    endpoint = draw(st.sampled_from(endpoints))
    stream = draw(st.sampled_from([b"", b"", _BOM])) + b"".join(draw(st.lists(_events(endpoint), max_size=most)))
    size = draw(st.sampled_from([0, 0, 1, 2, 3, 7]))
    if size:
        return Drawn(endpoint, stream, [stream[at : at + size] for at in range(0, len(stream), size)])
    cuts = sorted(draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    pieces = [stream[a:b] for a, b in itertools.pairwise([0, *cuts, len(stream)])]
    return Drawn(endpoint, stream, [piece for piece in pieces if piece])


def lines_of(stream: bytes) -> list[tuple[int, bytes]]:
    """Return each line without its end, and where it begins; bytes.splitlines knows just the three ends."""
    found, at = [], 0
    for raw in stream.splitlines(keepends=True):
        found.append((at, raw.rstrip(b"\r\n")))
        at += len(raw)
    return found


def ends_at(endpoint: str, stream: bytes) -> int:
    """Return where the first line or event begins that truly ends the stream; -1: there is none."""
    if endpoint not in _TERMINAL_TYPES:
        for at, line in lines_of(stream):
            if (_value(line) or b"").startswith(b"[DONE]"):
                return at
        return -1
    begin: int | None = None
    data: list[bytes] = []
    for at, line in [*lines_of(stream), (len(stream), b"")]:
        begin = at if begin is None else begin
        if line:
            value = _value(line)
            data += [] if value is None else [value]
            continue
        if data and _is_last(endpoint, b"\n".join(data)):
            return begin
        begin, data = None, []
    return -1


def _value(line: bytes) -> bytes | None:
    line = line.removeprefix(_BOM)
    return line[5:].removeprefix(b" ") if line.startswith(b"data:") else None


def _is_last(endpoint: str, data: bytes) -> bool:
    if data.startswith(b"[DONE]"):
        return True
    try:
        message = json.loads(data)
    except ValueError:
        return False
    return isinstance(message, dict) and message.get("type") in _TERMINAL_TYPES[endpoint]
