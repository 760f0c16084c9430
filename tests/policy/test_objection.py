"""What a refusal objects to, in the words of many servers."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.policy.objection import Objection, read_objection

MAX = {"max_tokens": 131_072}
SCHEMA = {"response_format": {"type": "json_schema"}}
OWN = ("model", "messages")

# what a server says -> what was written, and what is read of it
FIGURES: list[tuple[str, dict[str, int], dict[str, int]]] = [
    (
        (
            "This model's maximum context length is 131072 tokens. However, you requested 131134 tokens (122942 in the"
            " messages, 8192 in the completion). Please reduce the length of the messages or completion."
        ),
        {"max_tokens": 8192},
        {"context": 131_072, "room": 8130},
    ),
    (
        (
            "This endpoint's maximum context length is 131072 tokens. However, you requested about 131198 tokens (26 of"
            " text input, 100 of tool input, 131072 in the output)."
        ),
        MAX,
        {"context": 131_072, "room": 130_946},
    ),
    (
        (
            "'max_tokens' or 'max_completion_tokens' is too large: 131072. This model's maximum context length is"
            " 131072 tokens and your request has 26 input tokens (131072 > 131072 - 26)."
        ),
        MAX,
        {"context": 131_072, "room": 131_046},
    ),
    (
        (
            "You passed 27 input tokens and requested 131072 output tokens. However, the model's context length is only"
            " 131072 tokens, resulting in a maximum input length of 0 tokens."
        ),
        MAX,
        {"context": 131_072, "room": 131_045},
    ),
    (
        (
            "Requested token count exceeds the model's maximum context length of 131072 tokens. You requested a total"
            " of 131100 tokens: 28 tokens from the input messages and 131072 tokens for the completion."
        ),
        MAX,
        {"context": 131_072, "room": 131_044},
    ),
    (
        (
            "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000, decrease input length or"
            " `max_tokens` and try again"
        ),
        {"max_tokens": 20_000},
        {"context": 200_000, "room": 10_000},
    ),
    (
        "`inputs` tokens + `max_new_tokens` must be <= 8193. Given: 30 `inputs` tokens and 8192 `max_new_tokens`",
        {"max_tokens": 8192},
        {"context": 8193, "room": 8163},
    ),
    (
        (
            "max_tokens is too large: 131072. This model supports at most 16384 completion tokens, whereas you provided"
            " 131072."
        ),
        MAX,
        {"most": 16_384},
    ),
    (
        "max_tokens: 131072 > 64000, which is the maximum allowed number of output tokens for claude-sonnet-4",
        MAX,
        {"most": 64_000},
    ),
    ("`max_tokens` must be less than or equal to `32768`, the maximum value", MAX, {"most": 32_768}),
    ("Invalid max_tokens value, the valid range of max_tokens is [1, 8192]", MAX, {"most": 8192}),
    ("Range of max_tokens should be [1, 8192]", MAX, {"most": 8192}),
    ("too many tokens: max tokens must be less than or equal to 4096", MAX, {"most": 4096}),
    (
        (
            "Unable to submit request because it has a maxOutputTokens value of 70000 but the supported range is from 1"
            " (inclusive) to 65537 (exclusive). Update the value and try again."
        ),
        {"max_tokens": 70_000},
        {"most": 65_536},
    ),
    ("The maximum tokens you requested exceeds the model limit of 4096.", MAX, {"most": 4096}),
    (
        "Invalid 'max_output_tokens': integer below minimum value. Expected a value >= 16, but got 5 instead.",
        {"max_output_tokens": 5},
        {"least": 16},
    ),
    (
        "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
        {"max_tokens": 8000},
        {},
    ),
    ("Unrecognized request argument supplied: max_completion_tokens", {"max_completion_tokens": 8000}, {}),
]

NAMES: list[tuple[str, dict[str, Any], str]] = [
    ("Validation error at #/stream_options: Extra inputs are not permitted", {"stream_options": {}}, "stream_options"),
    ("Unknown parameter: 'stream_options.include_usage'", {"stream_options": {}}, "stream_options"),
    ("Unsupported value: 'temperature' does not support 0.2 with this model.", {"temperature": 0.2}, "temperature"),
    ("invalid temperature: only 1 is allowed for this model", {"temperature": 0.2}, "temperature"),
    ("`temperature` and `top_p` cannot both be specified for this model.", {"temperature": 1, "top_p": 1}, "top_p"),
    ("`temperature` and `top_p` cannot both be specified for this model.", {"top_p": 1}, "top_p"),
    ("This response_format type is unavailable now", SCHEMA, "response_format"),
    ("'response_format' of type 'json_schema' is not supported with this model.", SCHEMA, "response_format"),
    ("Model does not support structured outputs", SCHEMA, "response_format"),
    ("System role not supported", {"messages": []}, "messages"),
    ("Developer instruction is not enabled for models/gemma-3-27b-it", {"messages": []}, "messages"),
    ("'messages[0].role' does not support 'system' with this model.", {"messages": []}, "messages"),
    ("Conversation roles must alternate user/assistant/user/assistant/...", {"messages": []}, "messages"),
    ("System message must be at the beginning.", {"messages": []}, "messages"),
    ("usage: Extra inputs are not permitted", {"usage": {}}, "usage"),
    ("Unrecognized request argument supplied: usage", {"usage": {}}, "usage"),
    ('Invalid JSON payload received. Unknown name "usage": Cannot find field.', {"usage": {}}, "usage"),
    ("Additional properties are not allowed ('usage' was unexpected)", {"usage": {}}, "usage"),
    ("property 'usage' is unsupported", {"usage": {}}, "usage"),
    ("body -> usage extra fields not permitted", {"usage": {}}, "usage"),
    ("Argument not supported on this model: presencePenalty", {"presence_penalty": 1}, "presence_penalty"),
    ("Argument not supported on this model: stop", {"stop": ["END"]}, "stop"),
    ("Model grok-4 does not support parameter stop.", {"stop": "x"}, "stop"),
    ("unknown field `seed`, expected one of", {"seed": 1}, "seed"),
    ("'parallel_tool_calls' is only allowed when 'tools' are specified.", {"parallel_tool_calls": 1}, ""),
    ("Invalid service_tier argument", {"service_tier": "flex"}, "service_tier"),
    ("n > 1 is not supported", {"n": 2}, "n"),
    ("logprobs is not supported with this model", {"logprobs": True}, "logprobs"),
    ("reasoning_effort is not supported", {"reasoning_effort": "low"}, "reasoning_effort"),
    ("Thinking is not supported by this model", {"thinking": {}}, "thinking"),
    ("'models' is not a permitted field", {"models": []}, "models"),
    ("The 'metadata' parameter is only allowed when 'store' is enabled.", {"metadata": {}}, "metadata"),
]

SHAPES: dict[str, Any] = {
    "error": lambda text: {"error": {"message": text, "type": "invalid_request_error", "param": None, "code": None}},
    "top level": lambda text: {"object": "error", "message": text, "type": "BadRequestError", "code": 400},
    "detail": lambda text: {"detail": text},
    "list": lambda text: [{"error": {"code": 400, "message": text, "status": "INVALID_ARGUMENT"}}],
    "behind a router": lambda text: {
        "error": {
            "message": "Provider returned error",
            "code": 400,
            "metadata": {"raw": json.dumps({"error": {"message": text}}), "provider_name": "X"},
        }
    },
}


def said(text: str, shape: str = "error") -> bytes:
    return json.dumps(SHAPES[shape](text)).encode()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("text", "written", "figures"), FIGURES, ids=[text[:40] for text, _, _ in FIGURES])
def test_figures_of_a_bound(text: str, written: dict[str, int], figures: dict[str, int], shape: str) -> None:
    found = read_objection(said(text, shape), written, OWN)
    assert found is not None
    assert found.fields == tuple(written)
    told = {"most": found.most, "least": found.least, "context": found.context, "room": found.room}
    assert {name: value for name, value in told.items() if value is not None} == figures


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("text", "written", "name"), NAMES, ids=[text[:40] for text, _, _ in NAMES])
def test_names(text: str, written: dict[str, Any], name: str, shape: str) -> None:
    found = read_objection(said(text, shape), written, [one for one in OWN if one not in written])
    assert found is not None
    assert not found.is_vague
    assert found.fields == ((name,) if name else tuple(written))


@pytest.mark.parametrize(
    ("refusal", "fields"),
    [
        ({"error": {"message": "no", "param": "seed"}}, ("seed",)),
        ({"error": {"message": "no", "param": "stream_options.include_usage"}}, ("stream_options",)),
        ({"detail": [{"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "no", "input": 1}]}, ("seed",)),
        ({"message": {"detail": [{"loc": ["body", "stream_options", "x"], "msg": "no"}]}}, ("stream_options",)),
        ({"error": {"details": [{"fieldViolations": [{"field": "seed", "description": "no"}]}]}}, ("seed",)),
        # it is the client's own
        ({"error": {"message": "stream_options and seed came too", "param": "tools[0].type"}}, None),
        ({"detail": [{"loc": ["body", "tools"], "msg": "Field required", "input": {"seed": 1}}]}, None),
        ({"error": {"message": "'tools' is no list", "param": None}}, None),
    ],
)
def test_places(refusal: Any, fields: tuple[str, ...] | None) -> None:
    found = read_objection(json.dumps(refusal).encode(), {"stream_options": {}, "seed": 1}, ("model", "tools"))
    assert (None if found is None else found.fields) == fields


@pytest.mark.parametrize("text", ["Bad Request", "Invalid parameters", "Provider returned error", ""])
def test_nothing_is_named(text: str) -> None:
    asked = {"usage": {"include": True}}  # what all take is not doubted because of any failure
    assert (read_objection(text.encode(), asked, OWN) is None) is text.startswith("Provider")
    assert read_objection(said(text), {"seed": 1}, OWN) == Objection(is_vague=True)
    assert read_objection(text.encode(), {"seed": 1}, OWN) == Objection(is_vague=True)
    assert read_objection(said(text), {}, OWN) is None


@pytest.mark.parametrize(
    "text",
    [
        "You exceeded your usage limit",
        "The image could not be read",
        "Incorrect API key provided",
        "Your input was flagged by our content policy",
        "The model `x` does not exist",
        "Rate limit reached",
        "tools[0].function.name: too long",
    ],
)
def test_something_else_is_wrong(text: str) -> None:
    assert read_objection(said(text), {"usage": {}, "seed": 1, "stop": "x", "n": 1}, (*OWN, "tools")) is None


@given(refusal=st.binary(max_size=400) | st.text(max_size=200).map(str.encode), name=st.text(min_size=1, max_size=12))
def test_any_bytes(refusal: bytes, name: str) -> None:
    """Whatever a server sends, nothing is raised, and only what was written is named."""
    written: dict[str, Any]
    for written in ({name: 1}, {"max_tokens": 100}, {"messages": []}, {}):
        found = read_objection(refusal, written, OWN)
        assert found is None or set(found.fields) <= set(written)
