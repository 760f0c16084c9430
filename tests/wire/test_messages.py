"""What a message of Anthropic's shape says of itself in one piece; its stream: test_typed_meter.py."""

import json
from typing import Any

import pytest

from proxy.wire.messages import finish_of, message_error_event, read_message_answer


def answer(**fields: Any) -> bytes:
    usage = {"input_tokens": 3, "cache_read_input_tokens": 4, "output_tokens": 5}
    content = [{"type": "text", "text": "Hi"}]
    return json.dumps({"id": "msg_1", "model": "m", "content": content, "usage": usage, **fields}).encode()


def test_an_answer() -> None:
    found = read_message_answer(answer(stop_reason="end_turn"))
    assert found is not None
    assert (found.generation_id, found.model, found.finish_reason) == ("msg_1", "m", "stop")
    assert found.usage is not None
    assert (found.usage.input_tokens, found.usage.cached_tokens, found.usage.output_tokens) == (
        7,
        4,
        5,
    )  # cached beside
    assert (found.error_seen, found.has_choices) == (False, True)


def test_an_error_and_what_is_none() -> None:
    error = {"type": "overloaded_error", "message": "No."}
    found = read_message_answer(json.dumps({"type": "error", "error": error}).encode())
    assert found is not None
    assert (found.error_seen, found.error_type, found.has_choices) == (True, "overloaded_error", False)
    assert read_message_answer(b"[]") is None


@pytest.mark.parametrize(
    ("reason", "word"),
    [("max_tokens", "length"), ("tool_use", "tool_calls"), ("refusal", "content_filter"), ("new", "new"), (None, None)],
)
def test_why_it_ended(reason: str | None, word: str | None) -> None:
    assert finish_of({"stop_reason": reason}) == word


def test_our_error_is_an_event_of_its_shape() -> None:
    event = message_error_event("upstream_broken", 'It "broke".\n', "api_error", "req_1", None)
    name, data = event.strip().split(b"\n")
    assert name == b"event: error"
    said = json.loads(data.removeprefix(b"data: "))
    assert (said["type"], said["error"]["message"]) == ("error", 'It "broke".\n')
