"""The table of endpoints: what each row reads, checks and writes."""

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.endpoint_kind import MAXIMUM
from proxy.wire.body import BodyError, dump_body, parse_body
from proxy.wire.endpoint import CHAT, COMPLETIONS, COUNT_TOKENS, EMBEDDINGS, ENDPOINTS, MESSAGES, RESPONSES, Endpoint
from proxy.wire.usage import Usage

TURNS = [{"role": "user", "content": "Hello"}]
GOOD: dict[Endpoint, dict[str, Any]] = {
    CHAT: {"model": "m", "messages": TURNS},
    COMPLETIONS: {"model": "m", "prompt": "Hello"},
    EMBEDDINGS: {"model": "m", "input": ["Hello", "you"]},
    RESPONSES: {"model": "m", "input": "Hello"},
    MESSAGES: {"model": "m", "messages": TURNS, "max_tokens": 10},
    COUNT_TOKENS: {"model": "m", "messages": TURNS},
}
MONEY = {"cost": 0.000168, "is_byok": False}


def test_each_has_a_row() -> None:
    assert {endpoint.kind for endpoint in ENDPOINTS} == set(MAXIMUM)
    assert len({endpoint.path for endpoint in ENDPOINTS}) == len(ENDPOINTS)
    assert set(GOOD) == set(ENDPOINTS)


def test_scoring_of_a_prompt() -> None:
    """The older completions take 0: nothing is written, the prompt comes back with its scores."""
    COMPLETIONS.check({**GOOD[COMPLETIONS], "max_tokens": 0, "best_of": 0, "echo": True, "logprobs": 1})


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint.name)
def test_good(endpoint: Endpoint) -> None:
    endpoint.check(GOOD[endpoint])


BAD: list[tuple[Endpoint, dict[str, Any], str, str]] = [
    *((endpoint, {"model": None}, "invalid_type", "model") for endpoint in ENDPOINTS),
    *((endpoint, {"model": ""}, "invalid_value", "model") for endpoint in ENDPOINTS),
    *((endpoint, {"stream": 1}, "invalid_type", "stream") for endpoint in ENDPOINTS if not endpoint.is_free),
    *((endpoint, {"models": "x"}, "invalid_type", "models") for endpoint in ENDPOINTS),
    *((endpoint, {"models": [5]}, "invalid_type", "models[0]") for endpoint in ENDPOINTS),
    *((endpoint, {name: "9"}, "invalid_type", name) for endpoint in ENDPOINTS for name in endpoint.maximum),
    *(
        (endpoint, {name: 0}, "invalid_value", name)
        for endpoint in ENDPOINTS
        for name in endpoint.maximum
        if endpoint is not COMPLETIONS  # there 0 asks for the prompt's own scores
    ),
    *((endpoint, {name: 2**40}, "invalid_value", name) for endpoint in ENDPOINTS for name in endpoint.maximum),
    (COMPLETIONS, {"prompt": None}, "missing_required_parameter", "prompt"),
    (COMPLETIONS, {"prompt": 5}, "invalid_type", "prompt"),
    (COMPLETIONS, {"prompt": []}, "invalid_value", "prompt"),
    (COMPLETIONS, {"n": 129}, "invalid_value", "n"),
    (COMPLETIONS, {"best_of": "x"}, "invalid_type", "best_of"),
    (COMPLETIONS, {"best_of": -1}, "invalid_value", "best_of"),
    (COMPLETIONS, {"best_of": 129}, "invalid_value", "best_of"),
    (COMPLETIONS, {"max_tokens": -1}, "invalid_value", "max_tokens"),
    (EMBEDDINGS, {"input": None}, "missing_required_parameter", "input"),
    (EMBEDDINGS, {"input": {}}, "invalid_type", "input"),
    (EMBEDDINGS, {"input": ""}, "invalid_value", "input"),
    (EMBEDDINGS, {"stream": True}, "invalid_value", "stream"),
    (RESPONSES, {"input": 5}, "invalid_type", "input"),
    (RESPONSES, {"background": "yes"}, "invalid_type", "background"),
    (MESSAGES, {"messages": []}, "invalid_value", "messages"),
    (MESSAGES, {"messages": ["x"]}, "invalid_type", "messages[0]"),
    (COUNT_TOKENS, {"messages": None}, "invalid_type", "messages"),
    (MESSAGES, {"thinking": True}, "invalid_type", "thinking"),
    (MESSAGES, {"thinking": {"budget_tokens": "9"}}, "invalid_type", "thinking.budget_tokens"),
    (CHAT, {"models": ["m"] * 33}, "invalid_value", "models"),
    (MESSAGES, {"models": ["m"] * 33}, "invalid_value", "models"),
    (MESSAGES, {"fallbacks": [{"model": "m"}] * 33}, "invalid_value", "fallbacks"),
    (COUNT_TOKENS, {"fallbacks": 5}, "invalid_type", "fallbacks"),
    (COUNT_TOKENS, {"fallbacks": [{}]}, "invalid_type", "fallbacks[0].model"),
    (MESSAGES, {"fallbacks": {}}, "invalid_type", "fallbacks"),
    (MESSAGES, {"fallbacks": ["x"]}, "invalid_type", "fallbacks[0]"),
    (MESSAGES, {"fallbacks": [{}]}, "invalid_type", "fallbacks[0].model"),
]


@pytest.mark.parametrize(("endpoint", "fields", "code", "param"), BAD)
def test_bad(endpoint: Endpoint, fields: dict[str, Any], code: str, param: str) -> None:
    """The text names the field and what it must be."""
    with pytest.raises(BodyError) as caught:
        endpoint.check({**GOOD[endpoint], **fields})
    assert (caught.value.code, caught.value.param) == (code, param)
    assert param.partition("[")[0].partition(".")[0] in str(caught.value)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)
NAMES = st.sampled_from(
    [
        *("model", "models", "messages", "input", "prompt", "stream", "stream_options", "max_tokens", "thinking", "n"),
        *("max_completion_tokens", "max_output_tokens", "fallbacks", "background", "best_of", "system", "instructions"),
    ]
)


@settings(max_examples=300, deadline=None)
@given(endpoint=st.sampled_from(ENDPOINTS), fields=st.dictionaries(NAMES, JSON, max_size=6))
def test_any_body(endpoint: Endpoint, fields: dict[str, Any]) -> None:
    """A check raises BodyError or nothing, and what passes keeps every field on the way up."""
    body = {**GOOD[endpoint], **fields}
    try:
        endpoint.check(body)
    except BodyError:
        return
    sent = endpoint.with_maximum(parse_body(orjson.dumps(body)), 77)
    again = orjson.loads(dump_body(sent))
    for name, value in body.items():
        assert again[name] == value or (
            name in endpoint.maximum and again[name] == 77 and (value is None or value > 77)
        )
    bounds = [again[name] for name in endpoint.maximum if again.get(name) is not None]
    assert bool(bounds) == bool(endpoint.maximum)
    assert all(bound <= 77 for bound in bounds)
    assert set(again) - set(body) <= {*endpoint.maximum[:1]}


def test_the_maximum_is_written_where_the_client_wrote_it() -> None:
    assert CHAT.with_maximum({"max_completion_tokens": 9}, 5) == {"max_completion_tokens": 5}
    assert CHAT.with_maximum({"max_tokens": 9, "max_completion_tokens": 9}, 5) == dict.fromkeys(CHAT.maximum, 5)
    assert CHAT.with_maximum({"max_tokens": 3, "max_completion_tokens": 9}, 5) == dict(
        zip(CHAT.maximum, (3, 5), strict=True)
    )
    assert CHAT.with_maximum({"max_tokens": 3}, 5) == {"max_tokens": 3}
    assert CHAT.with_maximum({}, 5) == {"max_tokens": 5}
    assert RESPONSES.with_maximum({"max_tokens": 9}, 5) == {"max_tokens": 9, "max_output_tokens": 5}
    assert EMBEDDINGS.with_maximum({"max_tokens": 9}, 5) == {"max_tokens": 9}
    assert MESSAGES.with_maximum({"max_tokens": 9}, None) == {"max_tokens": 9}


def test_defaults() -> None:
    """A preset is written once, in the words of chat completions, and holds for each shape."""
    defaults = {"temperature": 0, "max_tokens": 20}
    assert CHAT.with_defaults(defaults, {"model": "m"}) == {"temperature": 0, "max_tokens": 20, "model": "m"}
    assert CHAT.with_defaults(defaults, {"max_completion_tokens": 9}) == {"temperature": 0, "max_completion_tokens": 9}
    assert RESPONSES.with_defaults(defaults, {"temperature": 1}) == {"temperature": 1, "max_output_tokens": 20}
    assert RESPONSES.with_defaults(defaults, {"max_output_tokens": 5}) == {"temperature": 0, "max_output_tokens": 5}
    assert EMBEDDINGS.with_defaults(defaults, {"input": "x"}) == {"input": "x"}
    assert MESSAGES.with_defaults({"max_completion_tokens": 7}, {}) == {"max_tokens": 7}


@pytest.mark.parametrize("sent", [{"max_tokens": None}, {"max_completion_tokens": None}, dict.fromkeys(CHAT.maximum)])
def test_a_null_is_nothing_sent(sent: dict[str, Any]) -> None:
    """SDKs write null for what nobody set, and OpenAI reads it so: a default holds then, and bounds what is spent."""
    defaults = {"temperature": 0, "max_tokens": 20}
    body = {**sent, "temperature": None, "seed": None}
    assert CHAT.with_defaults(defaults, body) == {**sent, "temperature": 0, "seed": None, "max_tokens": 20}
    merged = CHAT.with_defaults({"temperature": 1, "max_tokens": 90}, body)
    found = CHAT.with_target_defaults(defaults, merged, body)
    assert {name: value for name, value in found.items() if value is not None} == defaults
    assert found["seed"] is None
    assert CHAT.with_defaults({"top_p": 1}, body) == {"top_p": 1, **body}  # what has no default passes as it came


def test_a_null_in_other_shapes() -> None:
    asked = {"response_format": {"type": "json_object"}, "reasoning_effort": "low"}
    found = RESPONSES.with_defaults(asked, {"text": None, "reasoning": None, "max_output_tokens": None})
    assert found == {"text": {"format": {"type": "json_object"}}, "reasoning": {"effort": "low"}} | {
        "max_output_tokens": None
    }


def test_every_model_that_may_answer_is_named() -> None:
    """Each must be one that the user may use, and is paid for at its own price."""
    body = {"model": "a", "models": ["b"], "fallbacks": [{"model": "c"}]}
    assert MESSAGES.others(body) == ("b", "c")
    assert CHAT.others(body) == ("b",)
    assert RESPONSES.others({"model": "a"}) == ()
    assert MESSAGES.without_others(body) == {"model": "a"}
    assert CHAT.without_others(body) == {"model": "a", "fallbacks": [{"model": "c"}]}
    more = {"model": "a", "fallbacks": [{"model": "c", "max_tokens": 9}]}
    assert MESSAGES.without_others(more) == more


def test_a_presets_response_format() -> None:
    """Each shape has its own way to say it; the client's own holds."""
    schema = {"type": "object"}
    asked = {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": schema}}}
    assert CHAT.with_defaults(asked, {}) == asked
    flat = {"type": "json_schema", "name": "x", "strict": True, "schema": schema}
    assert RESPONSES.with_defaults(asked, {}) == {"text": {"format": flat}}
    assert MESSAGES.with_defaults(asked, {}) == {"output_config": {"format": {"type": "json_schema", "schema": schema}}}
    assert RESPONSES.with_defaults(asked, {"text": {"verbosity": "low"}}) == {"text": {"verbosity": "low"}}
    assert RESPONSES.renamed({"response_format": {"type": "json_object"}}) == {
        "text": {"format": {"type": "json_object"}}
    }
    assert MESSAGES.renamed({"response_format": {"type": "json_object"}}) == {}
    assert EMBEDDINGS.renamed({**asked, "dimensions": 8}) == {"dimensions": 8}


def test_system_prompts() -> None:
    """Before the client's own words, in the place that each shape has for it."""
    turns = {"messages": TURNS}
    assert CHAT.with_system(turns, "Be brief.")["messages"][0] == {"role": "system", "content": "Be brief."}
    assert RESPONSES.with_system({"input": "x"}, "Be brief.") == {"input": "x", "instructions": "Be brief."}
    assert RESPONSES.with_system({"instructions": "Y"}, "X") == {"instructions": "X\n\nY"}
    assert MESSAGES.with_system({"system": "Y"}, "X") == {"system": "X\n\nY"}
    blocks = [{"type": "text", "text": "Y"}]
    assert MESSAGES.with_system({"system": blocks}, "X") == {"system": [{"type": "text", "text": "X"}, *blocks]}
    assert EMBEDDINGS.with_system({"input": "x"}, "X") == {"input": "x"}


def test_embeddings_answer() -> None:
    """Only the prompt is counted; the output is none, not unknown."""
    usage = {"prompt_tokens": 8, "total_tokens": 8}
    body = {"object": "list", "data": [{"embedding": [0.5]}], "model": "text-embedding-3-small", "usage": usage}
    read = EMBEDDINGS.read(orjson.dumps(body))
    assert read is not None
    assert read.usage == Usage(8, 0, None, None, None, True, None, None, None)
    assert (read.has_choices, read.model, read.generation_id) == (True, "text-embedding-3-small", None)
    read = EMBEDDINGS.read(orjson.dumps({**body, "id": "gen-1", "usage": {**usage, **MONEY}}))
    assert read is not None
    assert read.usage is not None
    assert (read.usage.cost_pusd, read.generation_id) == (168_000_000, "gen-1")
    assert EMBEDDINGS.read(b"[]") is None
    without = EMBEDDINGS.read(orjson.dumps({**body, "usage": {}}))
    assert without is not None
    assert without.usage is None


def test_completions_answer() -> None:
    usage = {"prompt_tokens": 8, "completion_tokens": 2, "total_tokens": 10, **MONEY}
    body = {"id": "cmpl-1", "model": "m", "choices": [{"text": "x", "finish_reason": "stop"}], "usage": usage}
    read = COMPLETIONS.read(orjson.dumps(body))
    assert read is not None
    assert (read.finish_reason, read.has_choices) == ("stop", True)
    assert read.usage == Usage(8, 2, None, None, 168_000_000, True, None, False, None)
    assert COMPLETIONS.meter is not None
    meter = COMPLETIONS.meter(False)
    chunk = b'data: {"id":"cmpl-1","choices":[{"text":"x","finish_reason":null}]}\n\n'
    assert meter.feed(chunk) == chunk
    assert meter.content_seen


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint.name)
@settings(max_examples=100, deadline=None)
@given(body=JSON, usage=JSON, error=JSON)
def test_any_answer(endpoint: Endpoint, body: Any, usage: Any, error: Any) -> None:
    """Whatever a provider answers, reading it raises nothing."""
    fields = body if isinstance(body, dict) else {"choices": body, "output": body, "content": body, "data": body}
    read = endpoint.read(orjson.dumps({**fields, "usage": usage, "error": error, "status": "completed"}))
    assert read is not None
    assert read.error_seen is bool(error)
    endpoint.read(orjson.dumps(body))
