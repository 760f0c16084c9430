"""What a failed attempt has told: its status, its words wherever they stand, and nothing of what others said."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.policy.failure import ErrorWords, Failure, status_of, words_of


@pytest.mark.parametrize(
    ("error", "status"),
    [
        ({"code": 429}, 429),
        ({"code": "429"}, 429),
        ({"code": "rate_limit_exceeded"}, 429),
        ({"code": None, "type": "invalid_request_error"}, 400),
        ({"status": "RESOURCE_EXHAUSTED"}, 429),
        ({"__type": "ThrottlingException"}, 429),
        ({"metadata": {"error_type": "payment_required"}}, 402),
        ({"availability": {"http_status": 503}}, 503),
        ({"code": 200}, None),
        ({"code": 1301, "type": "server_error"}, 500),  # a number of its own: the next word counts
        ({"code": True}, None),
        ({"code": "no such word"}, None),
        ({}, None),
    ],
)
def test_the_status_that_an_error_means(error: dict[str, Any], status: int | None) -> None:
    assert status_of(error) == status
    assert Failure("answer", 200, error=error).code == status  # within a 200
    assert Failure("status", 418, error=error).code == 418  # beside a status of its own the object says nothing


def test_without_an_error_nothing_was_said() -> None:
    failure = Failure("connect")
    assert (failure.code, failure.message, failure.limit_source, failure.value("x")) == (None, "", "", None)
    assert failure.part("metadata") == {}
    assert words_of(None) == ErrorWords(frozenset(), "")


def test_what_metadata_says_goes_before_the_error() -> None:
    error = {"message": "Too FAST", "raw": "outer", "metadata": {"raw": "inner", "limit_source": "key"}}
    failure = Failure("status", 429, error=error)
    assert (failure.message, failure.limit_source, failure.value("raw")) == ("too fast", "key", "inner")
    assert failure.value("message") == "Too FAST"
    assert Failure("status", 429, error={"metadata": "text", "raw": 5}).value("raw") == 5


def test_words_are_found_in_depth_and_in_texts_that_are_json() -> None:
    inner = json.dumps({"error": {"code": "quota_exceeded", "message": "Pay first."}})
    error = {"message": "Provider returned error", "code": 402, "metadata": {"raw": inner, "provider_code": "E7"}}
    words = words_of(error)
    assert {"402", "quota_exceeded", "e7"} <= words.codes
    assert words.text == "provider returned error\npay first."


@pytest.mark.parametrize("name", ["previous_errors", "flagged_input", "failed_generation", "messages", "input"])
def test_what_others_said_is_passed_over(name: str) -> None:
    words = words_of({"message": "No.", name: [{"code": "insufficient_quota", "message": "pay"}]})
    assert words == ErrorWords(frozenset(), "no.")


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["error", "message", "code", "type", "raw", "metadata"]), inner, max_size=4)
    ),
)


@given(st.dictionaries(st.sampled_from(["error", "message", "code", "metadata", "availability"]), _JSON, max_size=4))
def test_any_error_can_be_read(error: dict[str, Any]) -> None:
    failure = Failure("answer", 200, error=error)
    assert failure.code is None or 300 <= failure.code < 600
    assert failure.message == failure.message.lower()
    words = words_of(error)
    assert words.text == words.text.lower()
    assert len(words.text) <= 10_000


def test_no_depth_is_too_deep() -> None:
    error: dict[str, Any] = {"message": "bottom"}
    for _ in range(2_000):
        error = {"error": error}
    assert words_of(error).text == ""
