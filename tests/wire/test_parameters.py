"""Parameters of a preset at every endpoint: what each has a word for, in its shape, and nothing else."""

from typing import Any

import pytest

from proxy.core.endpoint_kind import MAXIMUM, Endpoint
from proxy.wire.endpoint import CHAT, COMPLETIONS, COUNT_TOKENS, EMBEDDINGS, ENDPOINTS, MESSAGES, RESPONSES
from proxy.wire.parameters import LACKS

FUNCTION = {"name": "now", "description": "The time.", "parameters": {"type": "object", "properties": {}}}
TOOLS = [{"type": "function", "function": FUNCTION}]
SCHEMA = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}}
EVERYTHING: dict[str, Any] = {
    "temperature": 0.2,
    "top_p": 0.9,
    "max_tokens": 300,
    "stop": "\n",
    "seed": 1,
    "n": 1,
    "logprobs": True,
    "presence_penalty": 0.1,
    "frequency_penalty": 0.1,
    "logit_bias": {},
    "response_format": SCHEMA,
    "reasoning_effort": "low",
    "tools": TOOLS,
    "tool_choice": "required",
    "parallel_tool_calls": False,
    "user": "u",
    "service_tier": "flex",
    "metadata": {"a": "b"},
    "my_own": 1,
}
SAID: dict[Endpoint, dict[str, Any]] = {
    "chat": EVERYTHING,
    "completions": {
        **{name: EVERYTHING[name] for name in ("temperature", "top_p", "max_tokens", "stop", "seed", "n", "user")},
        **{name: EVERYTHING[name] for name in ("presence_penalty", "frequency_penalty", "logit_bias", "service_tier")},
        "my_own": 1,
    },
    "embeddings": {"user": "u", "service_tier": "flex", "my_own": 1},
    "responses": {
        **{name: EVERYTHING[name] for name in ("temperature", "top_p", "user", "service_tier", "metadata")},
        "max_output_tokens": 300,
        "reasoning": {"effort": "low"},
        "tools": [{"type": "function", **FUNCTION}],
        "tool_choice": "required",
        "parallel_tool_calls": False,
        "text": {"format": {"type": "json_schema", "name": "a", "schema": {"type": "object"}}},
        "my_own": 1,
    },
    "messages": {
        "temperature": 0.2,
        "top_p": 0.9,
        "max_tokens": 300,
        "stop_sequences": ["\n"],
        "tools": [{"name": "now", "description": "The time.", "input_schema": FUNCTION["parameters"]}],
        "tool_choice": {"type": "any"},
        "output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}},
        "my_own": 1,
    },
}


@pytest.mark.parametrize("endpoint", [CHAT, COMPLETIONS, EMBEDDINGS, RESPONSES, MESSAGES], ids=lambda one: one.name)
def test_every_parameter_in_the_words_of_the_endpoint(endpoint: Any) -> None:
    assert endpoint.renamed(EVERYTHING) == SAID[endpoint.kind]
    assert set(endpoint.renamed(EVERYTHING)) & LACKS[endpoint.kind] == set()


@pytest.mark.parametrize("endpoint", [one for one in ENDPOINTS if not one.is_free], ids=lambda one: one.name)
@pytest.mark.parametrize("name", sorted({name for names in MAXIMUM.values() for name in names}))
def test_a_bound_under_any_name_is_written_under_one_that_holds(endpoint: Any, name: str) -> None:
    found = endpoint.renamed({name: 300})
    own = MAXIMUM[endpoint.kind]
    assert found == ({} if not own else {name if name in own else own[0]: 300})


def test_counting_a_prompt_has_no_answer() -> None:
    """Anthropic refuses what is said of one there."""
    assert set(COUNT_TOKENS.renamed(EVERYTHING)) == {"tools", "tool_choice"}


def test_a_bound_is_not_below_what_responses_take() -> None:
    assert RESPONSES.renamed({"max_tokens": 8}) == {"max_output_tokens": 16}
    assert CHAT.renamed({"max_tokens": 8}) == {"max_tokens": 8}


@pytest.mark.parametrize("name", ["parallel_tool_calls", "tool_choice"])
def test_how_to_call_tools_goes_with_tools(name: str) -> None:
    """OpenAI answers them without tools with 400."""
    defaults = {name: "auto"}
    assert CHAT.with_defaults(defaults, {"messages": []}) == {"messages": []}
    assert CHAT.with_defaults(defaults, {"tools": TOOLS}) == {name: "auto", "tools": TOOLS}
    assert CHAT.with_target_defaults(defaults, {"messages": []}, {}) == {"messages": []}


def test_stream_options_go_with_a_stream() -> None:
    defaults = {"stream_options": {"include_usage": True}}
    assert CHAT.with_defaults(defaults, {"stream": False}) == {"stream": False}
    assert CHAT.with_defaults(defaults, {"stream": True}) == {**defaults, "stream": True}


def test_one_bound_of_an_answer_where_several_say_one() -> None:
    """The client's own first, then the target's, then the preset's: of two names a model may obey either."""
    target = {"max_completion_tokens": 5}
    assert CHAT.with_target_defaults(target, {"max_tokens": 9}, {}) == {"max_completion_tokens": 5}
    assert CHAT.with_target_defaults(target, {"max_tokens": 9}, {"max_tokens": 9}) == {"max_tokens": 9}


USER = {"role": "user", "content": "Hi"}


@pytest.mark.parametrize("role", ["system", "developer"])
@pytest.mark.parametrize(
    ("own", "joined"),
    [
        ("Own.", "House.\n\nOwn."),
        ("", "House."),
        ([{"type": "text", "text": "Own."}], [{"type": "text", "text": "House."}, {"type": "text", "text": "Own."}]),
    ],
    ids=["text", "empty", "parts"],
)
def test_two_prompts_are_one_message(role: str, own: Any, joined: Any) -> None:
    """The preset's first, in the client's own message, whose role and other fields stay."""
    body = {"messages": [{"role": role, "content": own, "name": "x"}, USER]}
    found = CHAT.with_system(body, "House.")
    assert found == {"messages": [{"role": role, "content": joined, "name": "x"}, USER]}
    assert body["messages"][0] == {"role": role, "content": own, "name": "x"}


@pytest.mark.parametrize("own", [{"text": "?"}, None, 5])
def test_a_system_message_of_another_shape_stays_as_it_is(own: Any) -> None:
    body = {"messages": [{"role": "system", "content": own}, USER]}
    assert CHAT.with_system(body, "House.")["messages"] == [{"role": "system", "content": "House."}, *body["messages"]]


def test_a_later_system_message_stays_where_it_is() -> None:
    later = {"role": "system", "content": "Later."}
    found = CHAT.with_system({"messages": [USER, later]}, "House.")
    assert found["messages"] == [{"role": "system", "content": "House."}, USER, later]
