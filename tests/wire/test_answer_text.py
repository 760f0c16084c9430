"""The text of a stream, however it was cut on its way."""

import itertools
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.wire.answer_text import AnswerText

texts = st.lists(st.text(max_size=12), max_size=8)


def chat(piece: str) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {"content": piece}}]}


SHAPES: dict[str, Callable[[str], dict[str, Any]]] = {
    "chat": chat,
    "completion": lambda piece: {"choices": [{"index": 0, "text": piece}]},
    "response": lambda piece: {"type": "response.output_text.delta", "delta": piece},
    "message": lambda piece: {"type": "content_block_delta", "delta": {"type": "text_delta", "text": piece}},
}
OTHERS: list[Any] = [  # what says nothing that counts
    {"choices": [{"index": 0, "delta": {"role": "assistant", "content": None}}]},
    {"choices": [{"index": 1, "delta": {"content": "another choice"}}]},
    {"choices": [{"index": 0, "delta": {"reasoning": "I think"}}]},
    {"choices": [], "usage": {"prompt_tokens": 1}},
    {"choices": "x"},
    {"type": "response.output_text.done", "text": "again"},
    {"type": "response.reasoning_summary_text.delta", "delta": "I think"},
    {"type": "content_block_delta", "delta": {"type": "thinking_delta", "thinking": "I think"}},
    {"type": "message_stop"},
]
CALLS: list[Any] = [
    {"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": ""}}]}}]},
    {"choices": [{"index": 0, "delta": {"function_call": {"name": "f"}}}]},
    {"type": "response.output_item.added", "item": {"type": "function_call", "name": "f"}},
    {"type": "content_block_start", "content_block": {"type": "tool_use", "name": "f"}},
]


def event(message: Any) -> bytes:
    return b"data: " + json.dumps(message).encode() + b"\n\n"


def heard(stream: bytes, cuts: list[int], max_chars: int = 10_000) -> AnswerText:
    spoken = AnswerText(max_chars)
    edges = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    for start, end in itertools.pairwise(edges):
        spoken.feed(stream[start:end])
    spoken.finish()
    return spoken


@pytest.mark.parametrize("shape", SHAPES)
@given(pieces=texts, cuts=st.lists(st.integers(0, 10_000), max_size=12), data=st.data())
def test_all_that_was_said_and_nothing_else(
    shape: str, pieces: list[str], cuts: list[int], data: st.DataObject
) -> None:
    events = [event(SHAPES[shape](piece)) for piece in pieces]
    for other in data.draw(st.lists(st.sampled_from(OTHERS), max_size=4)):
        events.insert(data.draw(st.integers(0, len(events))), event(other))
    noise = data.draw(st.sampled_from([b"", b": alive\n\n", b"event: x\n", b"data: [DONE]\n\n", b"data: {half\n\n"]))
    assert heard(noise + b"".join(events), cuts).text == "".join(pieces)


@pytest.mark.parametrize("call", CALLS)
def test_a_call_of_a_tool_is_no_text(call: Any) -> None:
    assert heard(event(call), []).text is None
    assert heard(event(call) + event(chat("and so")), []).text == "and so"


def test_an_event_without_its_end_counts() -> None:
    assert heard(event(chat("all"))[:-2], []).text == "all"


def test_no_more_is_gathered_than_is_checked() -> None:
    """A little more, so that it shows that there was more."""
    spoken = heard(event(chat("x" * 10)) * 1000, [], max_chars=100)
    assert spoken.text is not None
    assert 100 < len(spoken.text) <= 110
