"""How few tokens a text can be: never more than any tokenizer would make of it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.wire.text_size import CHARS_A_TOKEN, LARGE_BYTES, bytes_of_text, least_streamed_tokens, least_tokens

WORDS = "The quick brown fox jumps over the lazy dog. "


@pytest.mark.parametrize(
    "answer",
    [
        {"choices": [{"message": {"content": WORDS * 20}}]},
        {"choices": [{"text": WORDS * 20}]},
        {"choices": [{"message": {"reasoning": WORDS * 10, "content": WORDS * 10}}]},
        {"content": [{"type": "text", "text": WORDS * 20}]},
        {"output": [{"content": [{"type": "output_text", "text": WORDS * 20}]}]},
    ],
)
def test_the_text_of_every_shape(answer: dict[str, object]) -> None:
    assert least_tokens(json.dumps(answer).encode()) == len(WORDS * 20) // CHARS_A_TOKEN


@pytest.mark.parametrize("body", [b"[]", b"", b"x", b'{"choices": [{"message": {"content": null}}]}', b'{"data": "x"}'])
def test_where_there_is_no_text(body: bytes) -> None:
    assert least_tokens(body) == 0


def test_a_run_of_one_character_may_be_one_token() -> None:
    assert least_tokens(json.dumps({"choices": [{"message": {"content": "-" * 9_000 + " " * 9_000}}]}).encode()) == 0


@given(st.text(max_size=400))
def test_never_more_than_characters(text: str) -> None:
    body = json.dumps({"choices": [{"message": {"content": text}}]}).encode()
    assert least_tokens(body) <= len(text) // CHARS_A_TOKEN


def test_a_stream_by_its_bytes_and_lines() -> None:
    assert least_streamed_tokens(10**6, 10, 0) == 0  # no content came
    assert least_streamed_tokens(1_000, 10, 200) == 0
    assert least_streamed_tokens(10 * 264 + 256 * 7, 10, 200) == 7
    assert least_streamed_tokens(0, 1024 + 128 * 3, 200) == 3  # many lines, however short


def test_pictures_and_sources_are_no_text() -> None:
    large = b"x" * LARGE_BYTES
    assert bytes_of_text(b": alive\n\n") == 0
    assert bytes_of_text(b"data: {}\n\n") == 10
    assert bytes_of_text(b'data: {"content":"' + large + b'"}\n\n') == len(large) + 22
    assert bytes_of_text(b'data: {"images":["' + large + b'"],"content":"x"}\n\n') == 0
    assert bytes_of_text(b'data: {"odd":"' + large + b'"}\n\n') == 0
