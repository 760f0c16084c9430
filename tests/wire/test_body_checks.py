"""The types of what the proxy itself reads of a body, endpoint by endpoint."""

from collections.abc import Callable
from typing import Any

import pytest

from proxy.wire.body import MAX_OUTPUT_TOKENS, BodyError
from proxy.wire.body_checks import check_completion, check_count_tokens, check_embedding, check_message, check_response

Check = Callable[[dict[str, Any]], None]
SAID = [{"role": "user", "content": "Hi"}]
GOOD: list[tuple[Check, dict[str, Any]]] = [
    (check_completion, {"prompt": "Once"}),
    (
        check_completion,
        {"prompt": [1, 2], "max_tokens": 0, "best_of": 0, "n": 2},
    ),  # 0: an echo
    (check_embedding, {"input": ["a", "b"], "stream": False}),
    (check_response, {"input": "x", "background": True}),
    (check_response, {"prompt": {"id": "p"}}),  # it may stand for the input
    (check_message, {"messages": SAID, "thinking": {"type": "enabled", "budget_tokens": 1}}),
    (check_message, {"messages": SAID, "thinking": None, "fallbacks": [{"model": "b"}]}),
    (check_count_tokens, {"messages": SAID}),
]
BAD: list[tuple[Check, dict[str, Any], str, str]] = [
    (check_completion, {}, "missing_required_parameter", "prompt"),
    (check_completion, {"prompt": 5}, "invalid_type", "prompt"),
    (check_completion, {"prompt": ""}, "invalid_value", "prompt"),
    (check_completion, {"prompt": "x", "max_tokens": -1}, "invalid_value", "max_tokens"),
    (check_completion, {"prompt": "x", "best_of": "2"}, "invalid_type", "best_of"),
    (check_embedding, {"input": []}, "invalid_value", "input"),
    (check_embedding, {"input": "x", "stream": True}, "invalid_value", "stream"),
    (check_response, {"input": {}}, "invalid_type", "input"),
    (check_response, {"input": "x", "background": 1}, "invalid_type", "background"),
    (check_response, {"input": "x", "max_output_tokens": 0}, "invalid_value", "max_output_tokens"),
    (check_message, {}, "missing_required_parameter", "messages"),
    (check_message, {"messages": SAID, "thinking": []}, "invalid_type", "thinking"),
    (check_message, {"messages": SAID, "thinking": {"budget_tokens": 0}}, "invalid_type", "thinking.budget_tokens"),
    (
        check_message,
        {"messages": SAID, "thinking": {"budget_tokens": MAX_OUTPUT_TOKENS + 1}},
        "invalid_type",
        "thinking.budget_tokens",
    ),
    (check_message, {"messages": SAID, "fallbacks": "b"}, "invalid_type", "fallbacks"),
    (check_count_tokens, {"messages": SAID, "fallbacks": ["b"]}, "invalid_type", "fallbacks[0]"),
    (check_count_tokens, {"messages": SAID, "fallbacks": [{"model": 5}]}, "invalid_type", "fallbacks[0].model"),
]


@pytest.mark.parametrize(("check", "body"), GOOD)
def test_what_passes(check: Check, body: dict[str, Any]) -> None:
    check({"model": "m", **body})


@pytest.mark.parametrize(("check", "body", "code", "param"), BAD)
def test_what_is_refused(check: Check, body: dict[str, Any], code: str, param: str) -> None:
    with pytest.raises(BodyError) as caught:
        check({"model": "m", **body})
    assert (caught.value.code, caught.value.param) == (code, param)


@pytest.mark.parametrize("check", {check for check, _ in GOOD}, ids=lambda check: check.__name__)
def test_a_model_and_true_or_false_for_stream_are_asked_everywhere(check: Check) -> None:
    body = {"prompt": "x", "input": "x", "messages": SAID}
    with pytest.raises(BodyError) as caught:
        check(body)
    assert caught.value.param == "model"
    if check is not check_count_tokens:  # it has no stream
        with pytest.raises(BodyError) as caught:
            check({"model": "m", **body, "stream": "yes"})
        assert caught.value.param == "stream"
