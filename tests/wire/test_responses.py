"""What a response says of itself in one piece; its stream: test_typed_meter.py."""

import json
from typing import Any

import pytest

from proxy.wire.responses import finish_of, read_response, response_error_event


def answer(**fields: Any) -> bytes:
    usage = {"input_tokens": 7, "input_tokens_details": {"cached_tokens": 4}, "output_tokens": 5, "total_tokens": 12}
    output = [{"type": "message", "content": [{"type": "output_text", "text": "Hi"}]}]
    return json.dumps(
        {"id": "resp_1", "model": "m", "status": "completed", "output": output, "usage": usage, **fields}
    ).encode()


def test_an_answer() -> None:
    found = read_response(answer())
    assert found is not None
    assert (found.generation_id, found.model, found.finish_reason) == ("resp_1", "m", "stop")
    assert found.usage is not None
    assert (found.usage.input_tokens, found.usage.cached_tokens, found.usage.output_tokens) == (7, 4, 5)
    assert (found.error_seen, found.has_choices) == (False, True)


def test_a_failed_one_and_what_is_none() -> None:
    found = read_response(answer(status="failed", output=[], error={"code": "server_error", "message": "No."}))
    assert found is not None
    assert (found.error_seen, found.error_code, found.has_choices) == (True, "server_error", False)
    assert read_response(b"[]") is None


@pytest.mark.parametrize(
    ("response", "word"),
    [
        ({"status": "completed", "output": [{"type": "function_call"}]}, "tool_calls"),
        ({"status": "completed", "output": "odd"}, "stop"),
        ({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}, "length"),
        ({"status": "in_progress"}, None),
    ],
)
def test_why_it_ended(response: dict[str, Any], word: str | None) -> None:
    assert finish_of(response) == word


def test_our_error_is_an_event_of_its_shape() -> None:
    event = response_error_event("upstream_broken", 'It "broke".\n', "api_error", "req_1", "resp_1")
    data = next(line for line in event.split(b"\n") if line.startswith(b"data: "))
    said = json.loads(data.removeprefix(b"data: "))
    assert (said["type"], said["response"]["status"], said["response"]["id"]) == ("response.failed", "failed", "resp_1")
    assert said["error"]["message"] == said["response"]["error"]["message"] == 'It "broke".\n'
