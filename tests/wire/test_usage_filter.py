"""An event without its usage: the same bytes but for it, and nothing at all where it told nothing else."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.wire.usage_filter import without_usage


@pytest.mark.parametrize(
    ("event", "left"),
    [
        (b'data: {"a":1,"usage":null}\n\n', b'data: {"a":1}\n\n'),
        (b'data: {"usage":null,"a":1}\n\n', b'data: {"a":1}\n\n'),
        (b'data: {"a": 1.50e0 , "usage" : {"b":["}"]} , "c":2}\r\n\r\n', b'data: {"a": 1.50e0  , "c":2}\r\n\r\n'),
        (b'id: 7\ndata: {"a":"\\u00e9","usage":{"x":1}}\n\n', b'id: 7\ndata: {"a":"\\u00e9"}\n\n'),
        (
            b'data: {"choices":[{"usage":1}]}\n\n',
            b'data: {"choices":[{"usage":1}]}\n\n',
        ),  # another's
        (b'data: {"id":"g","choices":[],"usage":{"cost":1}}\n\n', b""),
        (b': hi\n\ndata: {"id":"g","choices":[],"usage":{"cost":1}}\n\n', b": hi\n\n"),
        (b"data: [DONE]\n\n", b"data: [DONE]\n\n"),
        (b'data: {"usage":', b'data: {"usage":'),
        (b": only a comment\n\n", b": only a comment\n\n"),
    ],
)
def test_what_is_left(event: bytes, left: bytes) -> None:
    assert without_usage(event) == left


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.dictionaries(st.sampled_from(["choices", "id", "delta", "é", "x"]), _JSON, max_size=4),
    st.integers(0, 4),
    _JSON,
    st.sampled_from([None, 1]),
    st.booleans(),
)
def test_everything_else_is_as_it_was(
    fields: dict[str, Any], at: int, usage: Any, indent: int | None, ascii_: bool
) -> None:
    items = list(fields.items())
    body = dict([*items[:at], ("usage", usage), *items[at:]])
    text = json.dumps(body, indent=indent, ensure_ascii=ascii_)
    event = b"".join(b"data: " + line.encode() + b"\n" for line in text.split("\n")) + b"\n"
    left = without_usage(event)
    if left:
        data = b"\n".join(line.removeprefix(b"data: ") for line in left.splitlines() if line.startswith(b"data:"))
        assert json.loads(data) == fields
        assert left.endswith(b"\n\n")
    else:
        assert usage is not None
        assert not fields.get("choices")
    assert without_usage(left) == left
