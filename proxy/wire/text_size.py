"""The fewest tokens that a text can be: a usage that counts fewer cannot be right.

No vocabulary is needed: the bounds lie far beyond all that are in use. In plain answers, where
the text is at hand, runs of one character are left out, for a token may stand for a whole run of blanks or dashes;
what remains has at most some 15 characters a token on average in any language, and 32 are allowed. In a stream only
bytes and lines are counted: a token then may be a run of 128 characters, each of which takes two bytes in JSON.
"""

import re
from collections.abc import Iterator
from typing import Any, Final

from proxy.wire.parsed_answer import choices_of, read_message

CHARS_A_TOKEN: Final = 32
_STREAMED_BYTES_A_TOKEN: Final = 256
_LINE_SLACK_BYTES: Final = 64  # how much the frames of two events may differ: times, padding, log probabilities
_LINES_A_TOKEN: Final = 128  # providers that send each character by itself
_IDLE_LINES: Final = 1024  # keep-alives that look like events
LARGE_BYTES: Final = 2048  # more than a text grows by between two events
_TEXTS: Final = re.compile(
    rb'"(?:content|text|delta|reasoning|reasoning_content|thinking|arguments|partial_json|refusal)"'
)
_OTHERS: Final = (
    b'"images"',
    b'"image_url"',
    b'"audio"',
    b'"b64_json"',
    b'"annotations"',
    b'"citations"',
    b'"url_citation"',
    b'audio.delta"',
)
_RUN: Final = re.compile(r"(.)\1{3,}", re.DOTALL)


def least_tokens(body: bytes) -> int:
    """Return how many tokens the text of a plain answer is at the very least."""
    message = read_message(body)
    if message is None:
        return 0
    return sum(len(_RUN.sub(r"\1", text)) for text in _texts(message)) // CHARS_A_TOKEN


def least_streamed_tokens(told_bytes: int, lines: int, frame_bytes: int) -> int:
    """Return how many tokens the text of a stream is at the very least.

    told_bytes: as bytes_of_text counts. lines: those with data.
    frame_bytes: what the first event with content held beside its text; 0: there was none.
    """
    if not frame_bytes:
        return 0
    text_bytes = told_bytes - lines * (frame_bytes + _LINE_SLACK_BYTES)
    return max(0, text_bytes // _STREAMED_BYTES_A_TOKEN, (lines - _IDLE_LINES) // _LINES_A_TOKEN)


def bytes_of_text(events: bytes) -> int:
    """Return how many bytes of events count as text and its frames: none of comments, pictures, sounds and sources.

    Events of a few bytes are not parsed, be there one or many.
    """
    is_text = events.find(b"data:") >= 0 if _are_small(events) else _holds_text_alone(events)
    return len(events) if is_text else 0


def _are_small(events: bytes) -> bool:
    """Return whether certainly none of them has more than LARGE_BYTES: one ends in each half of that."""
    size_bytes, step_bytes = len(events), LARGE_BYTES // 2
    if size_bytes <= LARGE_BYTES:
        return True
    for start in range(0, size_bytes, step_bytes):
        if events.find(b"\n\n", start, start + step_bytes) < 0:
            return size_bytes - start < step_bytes and events[-2:] == b"\n\n"
    return True


def _holds_text_alone(events: bytes) -> bool:
    return _TEXTS.search(events) is not None and not any(events.find(name) >= 0 for name in _OTHERS)


def _texts(message: dict[str, Any]) -> Iterator[str]:
    """Yield the texts of an answer of any endpoint: of the choices, the content or the output."""
    for choice in choices_of(message):
        yield from _said(choice)
        yield from _said(choice.get("message"))
    for name in ("content", "output"):
        parts = message.get(name)
        for part in parts if isinstance(parts, list) else ():
            yield from _said(part)


def _said(part: Any) -> Iterator[str]:
    if not isinstance(part, dict):
        return
    for name in ("content", "text", "reasoning", "reasoning_content", "thinking", "refusal"):
        value = part.get(name)
        if isinstance(value, str):
            yield value
        elif isinstance(value, list):
            for inner in value:
                yield from _said(inner)
