"""Events that are known by what stands around their texts: learnt from two, and never taken for what must be read."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.wire.framed_meter import FramedMeter, frame_of
from proxy.wire.messages import MessagesMeter
from proxy.wire.responses import ResponsesMeter
from proxy.wire.stream_meter import StreamMeter


def chat(text: str, padding: str = "ab", number: int = 0) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    return _event({"id": "c", "created": number, "choices": [choice], "obfuscation": padding})


def with_null(text: str, padding: str = "ab", number: int = 0) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    return _event({"id": "c", "created": number, "choices": [choice], "usage": None, "obfuscation": padding})


def responses(text: str, padding: str = "ab", number: int = 0) -> bytes:
    kind = "response.output_text.delta"
    told = {"type": kind, "sequence_number": number, "item_id": "m", "delta": text, "obfuscation": padding}
    return f"event: {kind}\n".encode() + _event(told)


def messages(text: str, padding: str = "ab", number: int = 0) -> bytes:
    delta = {"type": "text_delta", "text": text, "padding": padding}
    return b"event: content_block_delta\n" + _event({"type": "content_block_delta", "index": number, "delta": delta})


def _event(told: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(told, separators=(",", ":")).encode() + b"\n\n"


SHAPES: dict[str, tuple[Callable[..., bytes], Callable[[], FramedMeter], list[bytes]]] = {
    "chat": (
        chat,
        StreamMeter,
        [
            _event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}),
            _event({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}}),
            _event({"error": {"code": 502, "message": "gone"}}),
            b"data: [DONE]\n\n",
        ],
    ),
    "hidden": (
        with_null,
        lambda: StreamMeter(True),
        [
            _event({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}}),
            _event({"usage": None, "choices": [{"index": 0, "delta": {"content": "x"}, "finish_reason": "stop"}]}),
            _event({"choices": [], "usage": {}})[:-2] + b"\r\r",
            b"\n",
            b"data: [DONE]\n\n",
        ],
    ),
    "responses": (
        responses,
        ResponsesMeter,
        [
            _event({"type": "response.completed", "response": {"id": "r", "status": "completed", "usage": None}}),
            _event({"type": "error", "code": "server_error", "message": "gone"}),
        ],
    ),
    "messages": (
        messages,
        MessagesMeter,
        [
            _event({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 9}}),
            _event({"type": "message_stop"}),
            _event({"type": "error", "error": {"type": "overloaded_error", "message": "gone"}}),
        ],
    ),
}
TEXTS = st.one_of(
    st.text(max_size=6),
    st.sampled_from(['"', "\\", ":", "a: b", '","usage":{"x":1},"y":"', "\n\ndata: [DONE]\n\n", "error", "usage"]),
)


@pytest.mark.parametrize("shape", SHAPES)
def test_what_differs_in_texts_and_numbers_is_known(shape: str, monkeypatch: pytest.MonkeyPatch) -> None:
    say, make, _ = SHAPES[shape]
    meter = make()
    for n, text in enumerate(("one", "two", "three")):
        meter.feed(say(text, "p" * n, n))
    read: list[bytes] = []

    def passes(_: FramedMeter, events: bytes) -> bool:
        read.append(events)
        return True

    monkeypatch.setattr(type(meter), "_passes", passes)
    for n, text in enumerate(("", " more", "é", "{}[]")):
        told = say(text, "xyz", 100 + n)
        assert meter.feed(told) == (told if shape != "hidden" else told.replace(b',"usage":null', b""))
    assert not read
    meter.feed(say("so: a colon"))
    assert len(read) == 1


@pytest.mark.parametrize("shape", SHAPES)
@given(data=st.data())
@settings(max_examples=30)
def test_known_or_read_it_is_the_same(shape: str, data: st.DataObject) -> None:
    say, make, others = SHAPES[shape]
    said = st.builds(say, TEXTS, st.text("abc", max_size=3), st.integers(0, 99))
    raw = st.binary(max_size=12).map(lambda bad: say("@").replace(b"@", bad))  # what no JSON is
    events = [say("a"), say("b"), *data.draw(st.lists(st.one_of(said, raw, st.sampled_from(others)), max_size=10))]
    known, read = make(), make()
    told = [
        name
        for name in (*type(known).__slots__, *FramedMeter.__slots__)
        if not name.startswith("_") and name != "telling"
    ]
    together = data.draw(st.integers(1, 3))
    for n in range(0, len(events), together):
        chunk = b"".join(events[n : n + together])
        assert known.feed(chunk) == read._feed_closely(chunk)
        assert [getattr(known, name, None) for name in told] == [getattr(read, name, None) for name in told]


def test_a_frame() -> None:
    assert frame_of(chat("x", "a", 1), chat("yy", "b", 2)) == (
        b'data: {"id":"c","created":',
        b',"choices":[{"index":0,"delta":{"content":"',
        b'"},"finish_reason":null}],"obfuscation":"',
        b'"}\n\n',
    )
    assert frame_of(chat("x"), chat("x")) == (chat("x"),)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('{"delta":{"content":"a"}}', '{"delta":{"refusal":"a"}}'),  # a key
        ('{"type":"text","x":"a"}', '{"type":"error","x":"a"}'),
        ('{"finish_reason":"a","x":1}', '{"finish_reason":"b","x":1}'),
        ('{"x":["a","b"]}', '{"x":["a","c"]}'),  # no value of a key
        ('{"code":1}', '{"code":2}'),
        ('{"x":null}', '{"x":1}'),
        ('{"x":"a"}', '{"x":"a","y":"b"}'),
        ("event: a", "event: b"),
    ],
)
def test_what_may_tell_something_is_no_frame(one: str, other: str) -> None:
    assert frame_of(f"data: {one}\n\n".encode(), f"data: {other}\n\n".encode()) == ()
