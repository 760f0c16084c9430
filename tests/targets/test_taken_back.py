"""What only the proxy wrote, and a target refuses, is taken back before the client sees anything."""

from pathlib import Path
from typing import Any

import pytest

from tests.targets.strict import ASKS, Body, Refusal, error, place

HARD = {"cost": "$5/day"}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}}


def without(name: str, words: str, status: int = 400, **more: Any) -> Any:
    """Refuse a body that has a field."""

    def refuse(_: str, body: Body) -> Refusal | None:
        return error(words, status, **more) if name in body else None

    return refuse


UNKNOWN = "Unrecognized request argument supplied: {}"
FORBIDDEN = "Extra inputs are not permitted"

# a default of a preset -> the words in which it is refused
DEFAULTS: dict[str, tuple[dict[str, Any], str, int]] = {
    "temperature": (
        {"temperature": 0.2},
        "Unsupported value: 'temperature' does not support 0.2 with this model.",
        400,
    ),
    "top_p": ({"top_p": 0.9}, "top_p is not supported with this model", 400),
    "seed": ({"seed": 1}, "property 'seed' is unsupported", 400),
    "stop": ({"stop": ["x"]}, "Model does not support parameter stop.", 400),
    "response_format": ({"response_format": {"type": "json_object"}}, "response_format is not supported", 500),
    "reasoning_effort": ({"reasoning_effort": "low"}, "Unrecognized request argument supplied: reasoning_effort", 400),
    "reasoning": ({"reasoning": {"effort": "low"}}, "Unknown parameter: 'reasoning'.", 400),
    "service_tier": ({"service_tier": "flex"}, "Invalid service_tier argument", 400),
    "n": ({"n": 1}, "n must be 1", 422),
    "logprobs": ({"logprobs": True}, "logprobs is not supported with this model", 400),
    "metadata": ({"metadata": {"a": "b"}}, "The 'metadata' parameter is only allowed when 'store' is enabled.", 400),
    "logit_bias": ({"logit_bias": {}}, 'unknown field "logit_bias"', 415),
    "my_own": ({"my_own": 1}, "Additional properties are not allowed ('my_own' was unexpected)", 404),
}


@pytest.mark.sampled(0.4)
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("defaults", "words", "status"), DEFAULTS.values(), ids=DEFAULTS)
async def test_a_default_of_a_preset(
    tmp_path: Path, defaults: dict[str, Any], words: str, status: int, stream: bool
) -> None:
    """It goes again without it; within the hour it is not written there any more, and the others stay."""
    (name,) = defaults
    preset = {"targets": "strict/m", "defaults": {**defaults, "top_k": 5}}
    async with place(tmp_path, {"presets": {"p": preset}}) as found:
        found.one.refuse = without(name, words, status)
        for _ in range(2):
            answer = await found.ask("p", stream=stream)
            assert (answer.status, b"Hello." in answer.body) == (200, True), answer.body
        assert [name in body for body in found.one.bodies] == [True, False, False]
        assert all(body["top_k"] == 5 for body in found.one.bodies)
        assert [(n, outcome) for n, outcome, _ in await found.attempts()] == [
            (1, "upstream_error"),
            (2, "ok"),
            (1, "ok"),
        ]
        assert (await found.ask("p", **defaults)).status == status  # the client's own: as the provider says
        assert found.one.bodies[-1][name] == defaults[name]


@pytest.mark.parametrize("path", ["responses", "messages", "completions"])
async def test_at_other_endpoints(tmp_path: Path, path: str) -> None:
    preset = {"targets": "strict/m", "defaults": {"temperature": 0.2, "top_k": 5}}
    async with place(tmp_path, {"presets": {"p": preset}}) as found:
        found.one.refuse = without("top_k", "top_k: Extra inputs are not permitted", 422)
        assert (await found.ask("p", path)).status == 200
        assert [("top_k" in body, body["temperature"]) for body in found.one.bodies] == [(True, 0.2), (False, 0.2)]


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (422, {"object": "error", "message": {"detail": [{"loc": ["body", "stream_options"], "msg": FORBIDDEN}]}}),
        (400, {"detail": "Unknown parameter: 'stream_options'."}),
        (400, "stream_options: not allowed"),
        (400, [{"error": {"code": 400, "message": 'Unknown name "stream_options": Cannot find field.'}}]),
        (500, {"error": {"message": "stream_options is not supported"}}),
        (200, {"error": {"message": "stream_options is not supported", "code": 400}}),
        (400, {"error": {"message": "Bad Request"}}),
    ],
)
async def test_our_own_stream_options(tmp_path: Path, status: int, told: Any) -> None:
    async with place(tmp_path) as found:
        found.one.refuse = lambda _, body: (status, told) if "stream_options" in body else None
        for _ in range(2):
            answer = await found.ask("strict/m", stream=True)
            assert (answer.status, b"Hello." in answer.body, b"error" in answer.body) == (200, True, False)
        assert ["stream_options" in body for body in found.one.bodies] == [True, False, False]
        again = await found.ask("strict/m", stream=True, stream_options={"include_usage": False})
        assert status in (again.status, 200)
        assert found.one.bodies[-1]["stream_options"] == {"include_usage": False}


async def test_our_own_usage(tmp_path: Path) -> None:
    """A proxy of somebody's that is configured as OpenRouter, and strict."""
    async with place(tmp_path, names=("openrouter",)) as found:
        found.one.refuse = without("usage", UNKNOWN.format("usage"))
        assert (await found.ask("a/b")).status == 200
        assert (await found.ask("a/b", usage={"x": 1})).status == 400
        assert [body.get("usage") for body in found.one.bodies] == [{"include": True}, None, {"x": 1}]


BOUNDS = [
    ("max_tokens", "max_completion_tokens", "Unsupported parameter: 'max_tokens' is not supported with this model."),
    ("max_completion_tokens", "max_tokens", "Unrecognized request argument supplied: max_completion_tokens"),
]


@pytest.mark.parametrize(("refused", "taken", "words"), BOUNDS)
@pytest.mark.parametrize("origin", ["limit", "preset", "cap"])
async def test_a_bound_has_two_names(tmp_path: Path, origin: str, refused: str, taken: str, words: str) -> None:
    """It arrives under the one that is taken, with its figure."""
    presets = {"p": {"targets": "strict/m", "defaults": {refused: 700}}}
    user: dict[str, Any] = {"limits": HARD} if origin == "limit" else {}
    user |= {"max_tokens": 700} if origin != "preset" else {}
    more: dict[str, Any] = {"presets": presets} if origin == "preset" else {}
    if refused == "max_completion_tokens" and origin != "preset":
        more = {"providers": {"strict": {"parameters": {"*": {"max_tokens": "max_completion_tokens"}}}}}
    async with place(tmp_path, more, **user) as found:
        found.one.refuse = without(refused, words, param=refused)
        for _ in range(2):
            assert (await found.ask("p" if origin == "preset" else "strict/m")).status == 200
        assert found.one.bodies[0][refused] == 700
        assert [body.get(taken) for body in found.one.bodies][1] == 700
        assert refused not in found.one.bodies[1]
        if more.get("providers") is None:  # what the operator says is written goes on being written
            assert len(found.one.bodies) == 3
        body: dict[str, Any] = {refused: 9}
        told = await found.ask("strict/m", **body)
        assert (told.status, found.one.bodies[-1][refused]) == (400, 9)


async def test_a_bound_that_no_limit_needs_is_left_out(tmp_path: Path) -> None:
    presets = {"p": {"targets": "strict/m", "defaults": {"max_tokens": 700}}}

    def refuse(_: str, body: Body) -> Refusal | None:
        return next((error(f"Unknown parameter: '{name}'.") for name in body if name.startswith("max_")), None)

    async with place(tmp_path, {"presets": presets}) as found:
        found.one.refuse = refuse
        assert (await found.ask("p")).status == 200
        sent = [[name for name in body if name.startswith("max_")] for body in found.one.bodies]
        assert sent == [["max_tokens"], ["max_completion_tokens"], []]


async def test_a_bound_that_money_rests_on_is_never_dropped(tmp_path: Path) -> None:
    """No price list names the model's own maximum: it is refused by name, and nothing is spent."""

    def refuse(_: str, body: Body) -> Refusal | None:
        return next((error(f"Unknown parameter: '{name}'.") for name in body if name.startswith("max_")), None)

    async with place(tmp_path, limits=HARD, max_tokens=700) as found:
        found.one.refuse = refuse
        answer = await found.ask("strict/m")
        assert (answer.status, answer.json()["error"]["code"]) == (400, "bound_refused")
        assert all(any(name.startswith("max_") for name in body) for body in found.one.bodies)
        assert [cost for _, _, cost in await found.attempts()] == [0, 0]


async def test_a_target_that_takes_no_bound_is_passed_over(tmp_path: Path) -> None:
    def refuse(_: str, body: Body) -> Refusal | None:
        return next((error(f"Unknown parameter: '{name}'.") for name in body if name.startswith("max_")), None)

    presets = {"p": ["first/m", "second/m"]}
    async with place(tmp_path, {"presets": presets}, names=("first", "second"), limits=HARD, max_tokens=700) as found:
        found.strict["first"].refuse = refuse
        answer = await found.ask("p")
        assert (answer.status, answer.header("x-tollkeeper-provider")) == (200, "second")


def listed(context: int, most: int | None) -> Body:
    return {
        "id": "a/b",
        "canonical_slug": "a/b",
        "context_length": context,
        "architecture": {"input_modalities": ["text"], "output_modalities": ["text"]},
        "pricing": {"prompt": "0.000001", "completion": "0.000004"},
        "top_provider": {"context_length": context, "max_completion_tokens": most},
    }


async def known(found: Any, *models: Body) -> None:
    await found.list_models("openrouter", *models)


async def test_the_models_own_maximum_is_held_for_where_no_bound_is_taken(tmp_path: Path) -> None:
    """Both names are refused: the bound is left out, with the dearer answer held for before it goes again."""

    def refuse(_: str, body: Body) -> Refusal | None:
        return next((error(f"Unknown parameter: '{name}'.") for name in body if name.startswith("max_")), None)

    async with place(tmp_path, names=("openrouter",), limits={"cost": "$0.04"}) as found:
        await known(found, listed(30_000, 8_000))
        found.one.refuse = refuse
        assert (await found.ask("a/b")).status == 200
        assert [name for name in found.one.bodies[-1] if name.startswith("max_")] == []
        row = found.rows()[-1]
        assert row["reserved_pusd"] >= 8_000 * 4_000_000
        assert (await found.ask("a/b")).status == 200  # known by now, and held for from the start
        assert len(found.one.bodies) == 4


@pytest.mark.parametrize(
    ("context", "most", "prompt", "limit"),
    [
        (131_072, None, 1, "$5"),
        (131_072, 131_072, 1, "$5"),
        (200_000, 64_000, 600_000, "$50"),
        (8_000, None, 4_000, "$5"),
    ],
)
async def test_a_bound_leaves_room_for_the_prompt(
    tmp_path: Path, context: int, most: int | None, prompt: int, limit: str
) -> None:
    """Where it cannot be told beforehand how much, the provider says, and it goes again."""

    def refuse(_: str, body: Body) -> Refusal | None:
        came = len(str(body["messages"])) // 4
        asked = body.get("max_tokens") or 0
        words = (
            f"This endpoint's maximum context length is {context} tokens. However, you requested about {came + asked}"
            f" tokens ({came} of text input, {asked} in the output). Please reduce the length of either one."
        )
        return error(words) if came + asked > context else None

    async with place(tmp_path, names=("openrouter",), limits={"cost": limit}) as found:
        await known(found, listed(context, most))
        found.one.refuse = refuse
        answer = await found.ask("a/b", messages=[{"role": "user", "content": "x" * prompt}])
        assert answer.status == 200, answer.body
        assert found.one.bodies[-1].get("max_tokens", 10**6) >= min(most or context, context - prompt) // 2


async def test_a_bound_above_the_models_maximum(tmp_path: Path) -> None:
    """The figure that the provider names is written, and remembered."""
    words = "max_tokens is too large: {}. This model supports at most 16384 completion tokens, whereas you provided {}."

    def refuse(_: str, body: Body) -> Refusal | None:
        asked = body["max_tokens"]
        return error(words.format(asked, asked), param="max_tokens") if asked > 16_384 else None

    async with place(tmp_path, limits=HARD, max_tokens=32_000) as found:
        found.one.refuse = refuse
        for _ in range(2):
            answer = await found.ask("strict/m")
            assert (answer.status, answer.header("x-tollkeeper-max-tokens")) == (200, "16384")
        assert [body["max_tokens"] for body in found.one.bodies] == [32_000, 16_384, 16_384]


async def test_a_bound_below_the_least(tmp_path: Path) -> None:
    words = "Invalid 'max_output_tokens': integer below minimum value. Expected a value >= 16, but got {} instead."

    def refuse(_: str, body: Body) -> Refusal | None:
        asked = body["max_output_tokens"]
        return error(words.format(asked)) if asked < 16 else None

    presets = {"p": {"targets": "strict/m", "defaults": {"max_tokens": 5}}}
    async with place(tmp_path, {"presets": presets}, limits=HARD) as found:
        found.one.refuse = refuse
        assert (await found.ask("p", "responses")).status == 200
        assert [body["max_output_tokens"] for body in found.one.bodies] == [16]


@pytest.mark.parametrize(("limit", "status", "bounds"), [(2000, 400, [300]), (20_000, 200, [300, 5000])])
async def test_a_bound_that_has_to_be_raised_counts_for_limits_on_tokens(
    tmp_path: Path, limit: int, status: int, bounds: list[int]
) -> None:
    """It goes again only where what it may come to then is held."""

    def refuse(_: str, body: Body) -> Refusal | None:
        return error("max_tokens must be at least 5000", param="max_tokens") if body["max_tokens"] < 5000 else None

    presets = {"p": {"targets": "strict/m", "defaults": {"max_tokens": 300}}}
    tokens = {"amount": limit, "window": "day", "mode": "hard"}
    async with place(tmp_path, {"presets": presets}, limits={"tokens": tokens}) as found:
        found.one.refuse = refuse
        answer = await found.ask("p")
        assert (answer.status, [body["max_tokens"] for body in found.one.bodies]) == (status, bounds), answer.body


SYSTEMS = [
    "System role not supported",
    "Developer instruction is not enabled for models/gemma-3-27b-it",
    "Unsupported value: 'messages[0].role' does not support 'system' with this model.",
    "Conversation roles must alternate user/assistant/user/assistant/...",
]


@pytest.mark.parametrize("words", SYSTEMS)
async def test_a_prompt_goes_to_the_user_where_there_is_no_other_place(tmp_path: Path, words: str) -> None:
    """A client's own system message stays what it is, and so does the refusal of it."""
    presets = {"p": {"targets": "strict/m", "system": "House."}}

    def refuse(_: str, body: Body) -> Refusal | None:
        return error(words) if body["messages"][0]["role"] != "user" else None

    async with place(tmp_path, {"presets": presets}) as found:
        found.one.refuse = refuse
        for _ in range(2):
            assert (await found.ask("p")).status == 200
        assert [body["messages"] for body in found.one.bodies[1:]] == [
            [{"role": "user", "content": "House.\n\nHi"}]
        ] * 2
        own = [{"role": "system", "content": "Own."}, {"role": "user", "content": "Hi"}]
        assert (await found.ask("p", messages=own)).status == 400
        assert found.one.bodies[-1]["messages"][0] == {"role": "system", "content": "House.\n\nOwn."}


async def test_a_schema_is_asked_for_as_json_first(tmp_path: Path) -> None:
    presets = {"p": {"targets": "strict/m", "response_format": SCHEMA}}

    def refuse(_: str, body: Body) -> Refusal | None:
        asked = (body.get("response_format") or {}).get("type")
        return error("This response_format type is unavailable now") if asked == "json_schema" else None

    async with place(tmp_path, {"presets": presets}) as found:
        found.one.refuse = refuse
        assert (await found.ask("p")).status == 200
        assert [body.get("response_format") for body in found.one.bodies] == [SCHEMA, {"type": "json_object"}]
        found.one.refuse = without("response_format", "response_format is not supported")
        assert (await found.ask("p")).status == 200
        assert found.one.bodies[-1].get("response_format") is None


async def test_of_two_that_exclude_each_other_the_clients_stays(tmp_path: Path) -> None:
    words = "`temperature` and `top_p` cannot both be specified for this model. Please use only one."
    presets = {"p": {"targets": "strict/m", "defaults": {"temperature": 0.2, "top_p": 0.9}}}
    async with place(tmp_path, {"presets": presets}) as found:
        found.one.refuse = lambda _, body: error(words) if {"temperature", "top_p"} <= set(body) else None
        assert (await found.ask("p", top_p=0.5)).status == 200
        assert (found.one.bodies[-1].get("temperature"), found.one.bodies[-1]["top_p"]) == (None, 0.5)
        assert (await found.ask("p")).status == 200
        assert len({"temperature", "top_p"} & set(found.one.bodies[-1])) == 1


async def test_it_never_loops(tmp_path: Path) -> None:
    """A target that refuses everything is asked once for each field, and the client is told its words."""
    presets = {"p": {"targets": "strict/m", "defaults": {"temperature": 0.2, "seed": 1}}}
    async with place(tmp_path, {"presets": presets}) as found:
        found.one.refuse = lambda *_: error("temperature and seed are not supported")
        answer = await found.ask("p")
        assert answer.status == 400
        assert len(found.one.bodies) == 2
        found.one.refuse = lambda *_: error("Bad Request")
        answer = await found.ask("p")
        assert (answer.status, len(found.one.bodies)) == (400, 4)


@pytest.mark.parametrize("status", [500, 501])
async def test_what_may_be_billed_is_not_sent_again(tmp_path: Path, status: int) -> None:
    """A failure with a generation's id is of one that was begun: its words may name what they like."""
    presets = {"p": {"targets": "a/b", "defaults": {"seed": 1}}}
    async with place(tmp_path, {"presets": presets}, names=("openrouter",)) as found:
        found.one.refuse = without("seed", UNKNOWN.format("seed"), status)
        found.one.headers = {"X-Generation-Id": "gen-1"}
        assert (await found.ask("p")).status == status
        assert len(found.one.bodies) == 1


@pytest.mark.parametrize("status", [400, 404, 422])
async def test_a_refusal_that_names_a_generation(tmp_path: Path, status: int) -> None:
    """OpenRouter may name one with a refusal as well: a status of 4xx says that nothing was begun."""
    presets = {"p": {"targets": "a/b", "defaults": {"seed": 1}}}
    async with place(tmp_path, {"presets": presets}, names=("openrouter",)) as found:
        found.one.refuse = without("seed", UNKNOWN.format("seed"), status)
        found.one.headers = {"X-Generation-Id": "gen-1"}
        assert (await found.ask("p")).status == 200
        assert ["seed" in body for body in found.one.bodies] == [True, False]


async def test_other_targets_of_the_route_get_all_of_it(tmp_path: Path) -> None:
    """What one refuses another may take; retries and breakers know nothing of it."""
    presets = {"p": {"targets": ["first/m", "second/m"], "defaults": {"seed": 1}}}
    async with place(tmp_path, {"presets": presets}, names=("first", "second")) as found:
        first, second = found.strict["first"], found.strict["second"]
        first.refuse = lambda _, body: error(UNKNOWN.format("seed")) if "seed" in body else error("overloaded", 503)
        answer = await found.ask("p")
        assert (answer.status, answer.header("x-tollkeeper-provider")) == (200, "second")
        assert second.bodies[0]["seed"] == 1
        assert "seed" not in first.bodies[1]


@pytest.mark.parametrize("path", ASKS)
async def test_what_the_client_sent_is_its_own(tmp_path: Path, path: str) -> None:
    async with place(tmp_path) as found:
        found.one.refuse = without("seed", UNKNOWN.format("seed"))
        assert (await found.ask("strict/m", path, seed=1)).status == 400
        assert [body["seed"] for body in found.one.bodies] == [1]


@pytest.mark.parametrize(
    "fields",
    [
        {"thinking": {"type": "enabled", "budget_tokens": 4000}},
        {"reasoning": {"max_tokens": 4000}},
        {"thinking_budget": 4000},
        {"extra_body": {"google": {"thinking_config": {"thinking_budget": 4000}}}},
    ],
)
async def test_a_thinking_budget_and_a_bound_of_ours(tmp_path: Path, fields: dict[str, Any]) -> None:
    """A cap below it is refused by name before anything is sent; a default goes on top of it."""
    presets = {"p": {"targets": "strict/m", "defaults": {"max_tokens": 1000}}}
    async with place(tmp_path, {"presets": presets}, max_tokens=3000) as found:
        answer = await found.ask("strict/m", **fields)
        assert (answer.status, answer.json()["error"]["code"]) == (400, "thinking_budget_too_large")
        assert found.one.bodies == []
    async with place(tmp_path, {"presets": presets, "database": "./other.db"}, limits=HARD) as found:
        assert (await found.ask("p", **fields)).status == 200
        assert found.one.bodies[0]["max_tokens"] == 5000


async def test_a_cap_below_what_responses_take(tmp_path: Path) -> None:
    async with place(tmp_path, max_tokens=5) as found:
        assert (await found.ask("strict/m", "responses")).status == 200
        assert (await found.ask("strict/m", "responses", max_output_tokens=3)).status == 200
        assert [body["max_output_tokens"] for body in found.one.bodies] == [16, 3]
