"""The error in a provider's answer, whatever its shape and place, and no error where there is an answer."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.wire.error import error_of_body, error_of_event, error_of_message, is_json_body

SHAPES: dict[str, Any] = {  # each says "No." and most a code
    "OpenAI": {"error": {"message": "No.", "type": "invalid_request_error", "code": "bad"}},
    "a text": {"error": "No.", "code": "bad"},
    "a list": [{"error": {"message": "No.", "code": "bad"}}],
    "errors": {"errors": [{"message": "No.", "code": "bad"}]},
    "an object": {"object": "error", "message": "No.", "code": "bad"},
    "a bare message": {"message": "No.", "__type": "bad"},
    "a detail": {"detail": "No."},
    "details": {"detail": [{"loc": ["body", "model"], "msg": "No.", "type": "bad"}]},
    "MiniMax": {"base_resp": {"status_code": 1004, "status_msg": "No."}},
    "Qianfan": {"error_code": 17, "error_msg": "No."},
    "JSON in a text": {"error": {"message": json.dumps({"error": {"message": "No.", "code": "bad"}})}},
}


@pytest.mark.parametrize("name", SHAPES)
def test_every_shape_says_the_same(name: str) -> None:
    found = error_of_body(json.dumps(SHAPES[name]).encode())
    assert found is not None
    assert "No." in found["message"]


@pytest.mark.parametrize("name", [name for name in SHAPES if isinstance(SHAPES[name], dict)])
def test_it_is_an_error_under_200_as_well(name: str) -> None:
    found = error_of_message(SHAPES[name])
    assert found is not None
    assert "No." in found["message"]


@pytest.mark.parametrize(
    "answer",
    [
        {"choices": [{"message": {"content": "error"}}]},
        {"data": [], "usage": {"prompt_tokens": 1}},
        {"error": None, "choices": []},
        {"base_resp": {"status_code": 0, "status_msg": "success"}},
        {"type": "ping", "message": "x"},
        {"content": [{"text": "x"}], "message": "kept"},
        {},
    ],
)
def test_an_answer_is_none(answer: dict[str, Any]) -> None:
    assert error_of_message(answer) is None


def test_the_first_choice_that_failed() -> None:
    choices = [{"message": {}}, {"error": {"message": "No.", "code": 502}}]
    assert error_of_message({"choices": choices}) == {"message": "No.", "code": 502}


def test_an_error_of_which_nothing_is_told_is_one() -> None:
    odd: Any
    for odd in (True, 5, [[]]):
        assert error_of_message({"error": odd}) is not None


@pytest.mark.parametrize(("body", "text"), [(b"", None), (b" \n", None), (b"<html>No.</html>", None), (b"No.", "No.")])
def test_pages_and_texts(body: bytes, text: str | None) -> None:
    found = error_of_body(body)
    assert (found and found["message"]) == text


def test_an_event_where_json_was_asked_for() -> None:
    found = error_of_body(b': hi\n\ndata: {"error":{"message":"No."}}\n\n')
    assert found is not None
    assert found["message"] == "No."


def test_an_event_that_calls_itself_an_error() -> None:
    assert error_of_event(b"event: error\ndata: x", b"No.") == {"message": "No."}
    assert error_of_event(b"event: error\r\n", b"") == {"message": ""}
    assert error_of_event(b"event: message\ndata: error", b"No.") is None


@pytest.mark.parametrize(
    ("body", "is_json"),
    [(b"{}", True), (b' {"a": 1} \n', True), (b'[{"error": 1}]', True), (b"[1]", False), (b"{", False)],
)
def test_whole_json(body: bytes, is_json: bool) -> None:
    assert is_json_body(body) is is_json


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["error", "errors", "message", "detail", "choices", "loc"]), inner, max_size=4
        )
    ),
)


@given(st.binary(max_size=200) | _JSON.map(lambda value: json.dumps(value).encode()))
def test_any_body_can_be_read(body: bytes) -> None:
    found = error_of_body(body)
    assert found is None or isinstance(found, dict)
