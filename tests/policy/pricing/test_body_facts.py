"""What a body says that its cost rests on, whatever its shape."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.policy.pricing import (
    FLOOR_TOKENS,
    BodyFacts,
    ClampedOutput,
    Price,
    UnaffordableOutput,
    UnboundedError,
    clamp_output_tokens,
    floor_tokens,
    input_bound_tokens,
    read_facts,
    unpriced_features,
    worst_case_pusd,
)
from proxy.wire.body import BodyError
from proxy.wire.endpoint import ENDPOINTS, Endpoint
from tests.policy.made_price import price_from_config
from tests.support.sampling import count


def _facts(body: dict[str, object], endpoint: str = "chat") -> BodyFacts:
    return read_facts(body, len(json.dumps(body)), endpoint)  # type: ignore[arg-type]


def _user(*parts: object) -> dict[str, object]:
    return {"model": "a/b", "messages": [{"role": "user", "content": list(parts)}]}


def test_a_plain_chat_has_nothing_but_its_size() -> None:
    body: dict[str, object] = {
        "model": "a/b",
        "messages": [{"role": "user", "content": "data:image/png;base64,AAAA"}],
    }
    assert _facts(body) == BodyFacts(len(json.dumps(body)))


@pytest.mark.parametrize(
    ("fields", "tokens"),
    [
        ({"max_tokens": 5}, 5),
        ({"max_completion_tokens": 7}, 7),
        ({"max_output_tokens": 9}, None),  # providers do not read it here
        ({"max_tokens": 5, "max_completion_tokens": 700}, 700),
        ({"max_tokens": None}, None),
        ({"max_tokens": 0}, 0),
        ({}, None),
    ],
)
def test_the_greatest_output_length_counts(fields: dict[str, object], tokens: int | None) -> None:
    assert _facts({"model": "a/b", "messages": [], **fields}).max_output_tokens == tokens


@pytest.mark.parametrize(
    ("endpoint", "tokens"), [("responses", 9), ("messages", 5), ("completions", 5), ("embeddings", None)]
)
def test_only_the_endpoints_own_maximum_bounds_the_answer(endpoint: str, tokens: int | None) -> None:
    """A name that the provider does not read would make the bound too small."""
    body: dict[str, object] = {"model": "a/b", "max_tokens": 5, "max_completion_tokens": 7, "max_output_tokens": 9}
    assert _facts(body, endpoint).max_output_tokens == tokens


@pytest.mark.parametrize(
    ("body", "endpoint", "choices"),
    [
        ({"n": 3}, "chat", 3),
        ({"n": None}, "chat", 1),
        ({"n": 2, "best_of": 4, "prompt": "x"}, "completions", 4),
        ({"n": 2, "prompt": ["x", "y", "z"]}, "completions", 6),
        ({"prompt": [1, 2, 3]}, "completions", 1),
        ({"prompt": [[1, 2], [3]]}, "completions", 2),
    ],
)
def test_every_choice_is_counted(body: dict[str, object], endpoint: str, choices: int) -> None:
    assert _facts({"model": "a/b", **body}, endpoint).choices == choices


def test_images_are_taken_out_of_the_bytes() -> None:
    url = "data:image/png;base64," + "A" * 5000
    for part in (
        {"type": "image_url", "image_url": {"url": url}},
        {"type": "input_image", "image_url": url},
        {"type": "image", "source": {"type": "base64", "data": url}},
    ):
        body = _user({"type": "text", "text": "what?"}, part)
        facts = _facts(body)
        assert (facts.images, facts.data_url_bytes, facts.whole_context) == (1, len(url), "")
        assert facts.size_bytes - facts.data_url_bytes < 200
    linked = _facts(_user({"type": "image_url", "image_url": {"url": "https://x.test/" + "a" * 500}}))
    assert (linked.images, linked.data_url_bytes) == (1, 0)


@pytest.mark.parametrize(
    "body",
    [
        _user({"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}),
        _user({"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AAAA"}}),
        _user({"type": "video_url", "video_url": {"url": "https://x.test/v"}}),
        _user({"type": "hologram"}),
        _user({"text": "no type"}),
        _user(5),
        {"model": "a/b", "messages": [{"role": "assistant", "audio": {"id": "audio_1"}}]},
        {"model": "a/b", "messages": [{"role": "user", "content": {"odd": "shape"}}]},
        {"model": "a/b", "input": "go on", "previous_response_id": "resp_1"},
        {"model": "a/b", "prompt": {"id": "pmpt_1"}},
        {"model": "a/b", "input": [{"type": "item_reference", "id": "x"}]},
    ],
)
def test_what_the_bytes_do_not_tell_counts_as_the_whole_context(body: dict[str, object]) -> None:
    facts = _facts(body)
    assert facts.whole_context
    assert input_bound_tokens(price_from_config(input="1", output="1", context_tokens=32768), facts) == 32768
    with pytest.raises(UnboundedError):
        input_bound_tokens(price_from_config(input="1", output="1"), facts)


def test_images_inside_tool_results_are_found() -> None:
    image = {"type": "image", "source": {"type": "base64", "data": "A" * 100}}
    facts = _facts(_user({"type": "tool_result", "tool_use_id": "t", "content": [image, image]}), "messages")
    assert (facts.images, facts.data_url_bytes) == (2, 200)
    body: dict[str, object] = {
        "model": "a/b",
        "input": [{"type": "function_call_output", "call_id": "c", "output": [{"type": "input_image"}]}],
    }
    assert _facts(body, "responses").images == 1


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"plugins": [{"id": "web"}]}, ["plugin web"]),
        ({"plugins": [{"id": "web", "enabled": False}, {"id": "context-compression"}]}, []),
        ({"tools": [{"type": "openrouter:web_search"}]}, ["server tool openrouter:web_search"]),
        ({"tools": [{"type": "web_search_20250305", "name": "w"}]}, ["server tool web_search_20250305"]),
        ({"tools": [{"type": "function"}, {"name": "mine"}, {"type": "bash_20250124"}]}, []),
        ({"service_tier": "priority"}, ["service tier priority"]),
        ({"service_tier": "default"}, []),
        ({"service_tier": None}, []),
        ({"web_search_options": {}}, ["web search (web_search_options)"]),
        ({"models": ["x/y:online", "x/z"]}, ["web search (x/y:online)"]),
        ({"model": "a/b:online"}, ["web search (a/b:online)"]),
        ({"model": "a/b@preset/p"}, ["a preset of the provider (a/b@preset/p)"]),
        ({"preset": "p"}, ["a preset of the provider (preset)"]),
        ({"speed": "fast"}, ["speed fast"]),
    ],
)
def test_what_costs_on_top_is_named(fields: dict[str, object], names: list[str]) -> None:
    facts = _facts({"model": "a/b", "messages": [], **fields})
    assert unpriced_features(facts) == names


@pytest.mark.parametrize(
    ("endpoint", "fields", "names"),
    [
        (
            "responses",
            {"previous_response_id": "resp_1"},
            ["earlier turns that the provider keeps (previous_response_id)"],
        ),
        ("responses", {"conversation": "conv_1"}, ["earlier turns that the provider keeps (conversation)"]),
        ("responses", {"prompt": {"id": "p"}}, ["a prompt that the provider keeps (prompt)"]),
        (
            "responses",
            {"background": True},
            ["an answer made in the background, whose usage comes later (background)"],
        ),
        ("responses", {"background": False, "store": True, "previous_response_id": None}, []),
        ("responses", {"tools": [{"type": "web_search", "external_web_access": False}]}, ["server tool web_search"]),
        ("responses", {"tools": [{"type": "namespace", "tools": [{"type": "function"}, {"type": "custom"}]}]}, []),
        (
            "responses",
            {"tools": [{"type": "namespace", "tools": [{"type": "file_search"}]}, 5]},
            ["server tool file_search", "server tool ?"],
        ),
        (
            "responses",
            {"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "f"}]}]},
            ["a file, whose parsing may have a price of its own (input_file)"],
        ),
        (
            "messages",
            {"messages": [{"role": "user", "content": [{"type": "document", "source": {"type": "base64"}}]}]},
            ["a file, whose parsing may have a price of its own (document)"],
        ),
        (
            "messages",
            {"messages": [{"role": "user", "content": [{"type": "document", "source": {"type": "text"}}]}]},
            [],
        ),
        ("messages", {"fallbacks": [{"model": "x/y"}]}, []),
        ("messages", {"fallbacks": [{"model": "x/y", "speed": "fast"}]}, ["fallbacks that change more than the model"]),
        ("messages", {"context_management": {"edits": [{"type": "clear_tool_uses_20250919"}]}}, []),
        (
            "messages",
            {"context_management": {"edits": [{"type": "compact_20260112"}]}},
            ["context management compact_20260112"],
        ),
        (
            "responses",
            {"context_management": [{"type": "compaction", "compact_threshold": 1}]},
            ["context management compaction"],
        ),
        ("messages", {"mcp_servers": [{}]}, ["remote tools (mcp_servers)"]),
        (
            "messages",
            {"max_tokens": 100, "thinking": {"type": "enabled", "budget_tokens": 100}},
            ["a thinking budget of 100 tokens, which is not below the maximum of the answer"],
        ),
        ("messages", {"max_tokens": 101, "thinking": {"type": "enabled", "budget_tokens": 100}}, []),
        ("chat", {"tools": {"odd": 1}}, ["tools of an unknown shape"]),
    ],
)
def test_what_other_shapes_ask_for_on_top_is_named(endpoint: str, fields: dict[str, object], names: list[str]) -> None:
    assert unpriced_features(_facts({"model": "a/b", **fields}, endpoint)) == names


def test_models_to_fall_back_on_are_priced() -> None:
    fields: dict[str, object] = {"model": "a/b", "models": ["c/d"], "fallbacks": [{"model": "e/f"}]}
    assert _facts(fields, "messages").models == ("a/b", "c/d", "e/f")


@pytest.mark.parametrize("prompt", ["Hello", ["Hello", "you"], [1, 2, 3], [[1, 2], [3]]])
def test_embeddings_cost_their_input_alone(prompt: object) -> None:
    """A token covers at least a byte of what is sent, as text and as numbers of tokens."""
    facts = _facts({"model": "a/b", "input": prompt}, "embeddings")
    price = price_from_config(input="1", output="7", context_tokens=8192)
    assert not facts.generates
    assert worst_case_pusd([price], facts) == input_bound_tokens(price, facts) * 10**6
    assert facts.size_bytes < input_bound_tokens(price, facts)
    fitted = clamp_output_tokens([price], facts, 10**12)
    assert isinstance(fitted, ClampedOutput)
    assert fitted.max_tokens is None


_KNOWN_KEYS = st.sampled_from(
    [
        *("model", "models", "messages", "input", "prompt", "tools", "functions", "deferred_tools", "plugins", "n"),
        *("max_tokens", "max_output_tokens", "thinking", "reasoning", "fallbacks", "service_tier", "speed", "system"),
        *("modalities", "prediction", "background", "context_management", "inference_geo", "best_of", "container"),
    ]
)
_PART_KEYS = st.sampled_from(["type", "role", "content", "source", "image_url", "data", "url", "tools", "id", "model"])
_ANY = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=4) | st.sampled_from(["image", "tool_result"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_PART_KEYS, inner, max_size=4),
    max_leaves=14,
)


@settings(max_examples=count(1000, 0.2), deadline=None)
@given(endpoint=st.sampled_from(ENDPOINTS), fields=st.dictionaries(_KNOWN_KEYS, _ANY, max_size=6))
def test_facts_of_any_body_that_was_let_in(endpoint: Endpoint, fields: dict[str, Any]) -> None:
    """Whatever passed the checks has facts: what no field's type is checked for raises nothing."""
    body = {"model": "a/b", **fields}
    try:
        endpoint.check(body)
    except BodyError:
        return
    facts = read_facts(body, len(json.dumps(body)), endpoint.kind)
    assert facts.max_output_tokens is None or endpoint.maximum
    assert 0 <= facts.data_url_bytes <= facts.size_bytes
    unpriced_features(facts)


BUDGETS: dict[str, dict[str, Any]] = {
    "anthropic": {"thinking": {"type": "enabled", "budget_tokens": 4000}},
    "openrouter": {"reasoning": {"max_tokens": 4000}},
    "gemini": {"extra_body": {"google": {"thinking_config": {"thinking_budget": 4000}}}},
    "gemini bare": {"google": {"thinking_config": {"thinking_budget": 4000, "include_thoughts": True}}},
    "qwen": {"enable_thinking": True, "thinking_budget": 4000},
    "vllm": {"chat_template_kwargs": {"enable_thinking": True, "thinking_budget": 4000}},
}
EFFORTS: dict[str, dict[str, Any]] = {
    "openai": {"reasoning_effort": "high"},
    "openrouter": {"reasoning": {"effort": "low"}},
    "openrouter on": {"reasoning": {"enabled": True}},
    "anthropic": {"thinking": {"type": "adaptive"}},
    "qwen": {"enable_thinking": True},
    "vllm": {"chat_template_kwargs": {"enable_thinking": True}},
    "gemini": {"extra_body": {"google": {"thinking_config": {"thinking_budget": -1}}}},
}
NONE: dict[str, dict[str, Any]] = {
    "effort": {"reasoning_effort": "none"},
    "budget": {"thinking_budget": 0},
    "switch": {"enable_thinking": False, "chat_template_kwargs": {"enable_thinking": False}},
    "odd": {"thinking": "yes", "reasoning": [], "extra_body": {"google": 5}, "thinking_budget": "many"},
}


@pytest.mark.parametrize("fields", BUDGETS.values(), ids=BUDGETS)
def test_a_thinking_budget_in_every_form(fields: dict[str, Any]) -> None:
    facts = read_facts({"model": "m", "messages": [], **fields}, 100)
    assert facts.min_output_tokens == 4001
    assert floor_tokens(facts) == 4001
    price = Price(10**12, 10**13, context_tokens=200_000, output_max_tokens=8_000)
    lowered = clamp_output_tokens([price], facts, 4_100 * 10**7 + 10**10)
    assert isinstance(lowered, ClampedOutput)
    assert lowered.max_tokens is not None
    assert lowered.max_tokens > 4000
    assert isinstance(clamp_output_tokens([price], facts, 3_900 * 10**7), UnaffordableOutput)


@pytest.mark.parametrize("fields", EFFORTS.values(), ids=EFFORTS)
def test_thinking_without_a_budget_has_room(fields: dict[str, Any]) -> None:
    assert floor_tokens(read_facts({"model": "m", "messages": [], **fields}, 100)) == FLOOR_TOKENS + 1024


@pytest.mark.parametrize("fields", NONE.values(), ids=NONE)
def test_no_thinking(fields: dict[str, Any]) -> None:
    facts = read_facts({"model": "m", "messages": [], **fields}, 100)
    assert (facts.thinks, facts.min_output_tokens, floor_tokens(facts)) == (False, 1, FLOOR_TOKENS)
