"""Any provider's usage is read into classes that do not overlap: shape by shape, and rule by rule."""

from typing import Any

import orjson
import pytest

from proxy.core.counts import Counts
from proxy.core.token_split import split_tokens
from proxy.wire.token_classes import AMBIGUOUS, FELL, NONSENSE, PART, TOTAL
from proxy.wire.usage import (
    CHAT,
    EMBEDDINGS,
    MESSAGES,
    NO_EXTRAS,
    RESPONSES,
    Usage,
    UsageShape,
    later,
    read_usage,
    with_cost,
    with_told_cost,
)


def read(usage: Any, shape: UsageShape = CHAT, **message: Any) -> Usage:
    found = read_usage(body := {"usage": usage, **message}, orjson.dumps(body), shape)
    assert found is not None
    return found


Shape = tuple[UsageShape, dict[str, Any], tuple[int | None, int | None, int | None, int | None], Counts]
SHAPES: dict[str, Shape] = {
    "OpenAI": (
        CHAT,
        {
            "prompt_tokens": 2006,
            "completion_tokens": 300,
            "total_tokens": 2306,
            "prompt_tokens_details": {"cached_tokens": 1920, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": 128,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        },
        (2006, 300, 1920, 128),
        Counts(),
    ),
    "OpenAI with sound": (
        CHAT,
        {
            "prompt_tokens": 100,
            "completion_tokens": 50,
            "total_tokens": 150,
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 60, "text_tokens": 40},
            "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 30, "text_tokens": 20},
        },
        (100, 50, 0, 0),
        Counts(audio_input_tokens=60, audio_output_tokens=30),
    ),
    "OpenAI responses": (
        RESPONSES,
        {
            "input_tokens": 36,
            "output_tokens": 87,
            "total_tokens": 123,
            "input_tokens_details": {"cached_tokens": 12},
            "output_tokens_details": {"reasoning_tokens": 64},
        },
        (36, 87, 12, 64),
        Counts(),
    ),
    "OpenRouter, writing to a cache": (
        CHAT,
        {
            "prompt_tokens": 1200,
            "completion_tokens": 80,
            "total_tokens": 1280,
            "is_byok": False,
            "prompt_tokens_details": {"cached_tokens": 100, "cache_write_tokens": 800, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0, "image_tokens": 0},
        },
        (1200, 80, 100, 0),
        Counts(cache_write_tokens=800),
    ),
    "OpenRouter, painting": (
        CHAT,
        {
            "prompt_tokens": 12,
            "completion_tokens": 1300,
            "total_tokens": 1312,
            "completion_tokens_details": {"reasoning_tokens": 10, "image_tokens": 1290},
        },
        (12, 1300, None, 10),
        Counts(image_output_tokens=1290),
    ),
    "Anthropic": (
        MESSAGES,
        {
            "input_tokens": 6,
            "cache_creation_input_tokens": 1500,
            "cache_read_input_tokens": 2000,
            "cache_creation": {"ephemeral_5m_input_tokens": 1000, "ephemeral_1h_input_tokens": 500},
            "output_tokens": 274,
            "service_tier": "standard",
            "server_tool_use": {"web_search_requests": 3},
        },
        (3506, 274, 2000, None),
        Counts(cache_write_tokens=1500, cache_write_1h_tokens=500, searches=3),
    ),
    "Bedrock": (
        CHAT,
        {
            "inputTokens": 30,
            "outputTokens": 628,
            "totalTokens": 758,
            "cacheReadInputTokens": 70,
            "cacheWriteInputTokens": 30,
        },
        (130, 628, 70, None),
        Counts(cache_write_tokens=30),
    ),
    "DeepSeek": (
        CHAT,
        {
            "prompt_tokens": 2000,
            "completion_tokens": 50,
            "total_tokens": 2050,
            "prompt_cache_hit_tokens": 1984,
            "prompt_cache_miss_tokens": 16,
            "completion_tokens_details": {"reasoning_tokens": 20},
        },
        (2000, 50, 1984, 20),
        Counts(),
    ),
    "Moonshot": (
        CHAT,
        {"prompt_tokens": 2989, "completion_tokens": 20, "total_tokens": 3009, "cached_tokens": 2989},
        (2989, 20, 2989, None),
        Counts(),
    ),
    "xAI": (
        CHAT,
        {
            "prompt_tokens": 10120,
            "completion_tokens": 1499,
            "total_tokens": 14428,
            "num_sources_used": 0,
            "prompt_tokens_details": {"cached_tokens": 128, "text_tokens": 10120, "image_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 2809},
        },
        (10120, 4308, 128, 2809),
        Counts(),
    ),
    "cached beside the prompt": (
        CHAT,
        {
            "prompt_tokens": 100,
            "completion_tokens": 10,
            "total_tokens": 910,
            "prompt_tokens_details": {"cached_tokens": 800},
        },
        (900, 10, 800, None),
        Counts(),
    ),
    "Anthropic's names beside OpenAI's, inside": (
        CHAT,
        {
            "prompt_tokens": 1000,
            "completion_tokens": 10,
            "total_tokens": 1010,
            "cache_read_input_tokens": 600,
            "cache_creation_input_tokens": 300,
            "prompt_tokens_details": {"cached_tokens": 600, "cache_creation_tokens": 300},
        },
        (1000, 10, 600, None),
        Counts(cache_write_tokens=300),
    ),
    "Mistral, counts as texts": (
        CHAT,
        {"prompt_tokens": "16", "completion_tokens": "34", "total_tokens": "50", "num_cached_tokens": 4},
        (16, 34, 4, None),
        Counts(),
    ),
    "counts with a point": (
        CHAT,
        {"prompt_tokens": 16.0, "completion_tokens": 34.0, "total_tokens": 50.0},
        (16, 34, None, None),
        Counts(),
    ),
    "Cohere": (
        CHAT,
        {"billed_units": {"input_tokens": 5, "output_tokens": 418}, "tokens": {"input_tokens": 71}},
        (5, 418, None, None),
        Counts(),
    ),
    "Voyage": (EMBEDDINGS, {"total_tokens": 8}, (8, 0, None, None), Counts()),
    "Jina": (EMBEDDINGS, {"total_tokens": 8, "prompt_tokens": 8}, (8, 0, None, None), Counts()),
    "a total and the prompt alone": (CHAT, {"prompt_tokens": 8, "total_tokens": 20}, (8, 12, None, None), Counts()),
}


@pytest.mark.parametrize("name", SHAPES)
def test_a_shape_without_a_doubt(name: str) -> None:
    shape, usage, counted, counts = SHAPES[name]
    found = read(usage, shape)
    assert found[:4] == counted
    assert (found.extras or NO_EXTRAS).counts == counts
    assert found.doubts == frozenset()


def test_the_life_of_what_is_written() -> None:
    told = read(SHAPES["Anthropic"][1], MESSAGES)
    untold = read({"input_tokens": 6, "cache_creation_input_tokens": 1500, "output_tokens": 2}, MESSAGES)
    assert (told.extras or NO_EXTRAS).untold_life_tokens == 0
    assert (untold.extras or NO_EXTRAS).untold_life_tokens == 1500


def test_what_the_total_has_above_is_output_of_no_name() -> None:
    """Gemini's endpoint counts its thoughts in the total alone; what is cached stays inside."""
    usage = {"prompt_tokens": 1000, "completion_tokens": 8, "total_tokens": 1508}
    found = read({**usage, "prompt_tokens_details": {"cached_tokens": 900}})
    assert found[:4] == (1000, 508, 900, None)
    assert found.extras is not None
    assert (found.extras.unnamed_tokens, found.doubts) == (500, frozenset())


ELSEWHERE: dict[str, dict[str, Any]] = {
    "Groq": {"x_groq": {"id": "req_1", "usage": {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}}},
    "Moonshot": {"choices": [{"usage": {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}}]},
    "two choices": {
        "choices": [
            {"usage": {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}},
            {"usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}},
        ]
    },
    "Gemini": {"usageMetadata": {"promptTokenCount": 7, "candidatesTokenCount": 5, "totalTokenCount": 12}},
    "llama.cpp": {"timings": {"prompt_n": 3, "cache_n": 4, "predicted_n": 5, "predicted_ms": 1.5}},
    "Ollama": {"model": "m", "done": True, "prompt_eval_count": 7, "eval_count": 5},
}


@pytest.mark.parametrize("name", ELSEWHERE)
@pytest.mark.parametrize("usage", [None, "absent"])
def test_a_usage_that_stands_elsewhere(name: str, usage: str | None) -> None:
    message = {**ELSEWHERE[name], **({} if usage else {"usage": None})}
    found = read_usage(message, orjson.dumps(message))
    assert found is not None
    assert found[:2] == (7, 5)


RULES: dict[str, tuple[dict[str, Any], tuple[int | None, int | None], str]] = {
    "reasoning above its whole, no total": (
        {"prompt_tokens": 10, "completion_tokens": 1, "completion_tokens_details": {"reasoning_tokens": 386}},
        (10, 387),
        PART,
    ),
    "reasoning inside or beside, no total": (
        {"prompt_tokens": 10, "completion_tokens": 50, "completion_tokens_details": {"reasoning_tokens": 30}},
        (10, 80),
        AMBIGUOUS,
    ),
    "cached inside or beside, no total": (
        {"prompt_tokens": 1000, "completion_tokens": 5, "cache_read_input_tokens": 400},
        (1400, 5),
        AMBIGUOUS,
    ),
    "a total that fits two readings": (
        {
            "prompt_tokens": 1000,
            "completion_tokens": 500,
            "total_tokens": 1900,
            "prompt_tokens_details": {"cached_tokens": 400},
            "completion_tokens_details": {"reasoning_tokens": 400},
        },
        (1000, 900),
        AMBIGUOUS,
    ),
    "a total below its parts": ({"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 120}, (100, 50), TOTAL),
    "a total of zero": ({"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 0}, (100, 50), TOTAL),
    "a total above all readings": (
        {
            "prompt_tokens": 10,
            "completion_tokens": 50,
            "total_tokens": 100,
            "completion_tokens_details": {"reasoning_tokens": 30},
        },
        (10, 90),
        TOTAL,
    ),
    "a total that fits by chance": (
        {
            "prompt_tokens": 2,
            "completion_tokens": 8,
            "total_tokens": 11,
            "prompt_tokens_details": {"cached_tokens": 2},
            "completion_tokens_details": {"reasoning_tokens": 1},
        },
        (4, 9),
        AMBIGUOUS,
    ),
    "a total that fits by half of what was cached beside": (
        {
            "prompt_tokens": 100,
            "completion_tokens": 5,
            "total_tokens": 125,
            "prompt_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 20},
            "completion_tokens_details": {"reasoning_tokens": 0},
        },
        (180, 5),
        AMBIGUOUS,
    ),
    "names of what stands beside, and a total without it": (
        {"inputTokens": 30, "outputTokens": 628, "totalTokens": 658, "cacheReadInputTokens": 20},
        (50, 628),
        AMBIGUOUS,
    ),
    "names of xAI, and a total that fits by what was cached beside": (
        {
            "prompt_tokens": 4,
            "completion_tokens": 100,
            "total_tokens": 123,
            "num_sources_used": 0,
            "prompt_tokens_details": {"cached_tokens": 19},
            "completion_tokens_details": {"reasoning_tokens": 19},
        },
        (23, 119),
        AMBIGUOUS,
    ),
    "no thoughts, and a total above that nothing explains": (
        {
            "prompt_tokens": 5,
            "completion_tokens": 38,
            "total_tokens": 44,
            "prompt_tokens_details": {"cached_tokens": 2},
            "completion_tokens_details": {"reasoning_tokens": 0},
        },
        (5, 39),
        TOTAL,
    ),
    "names of two families": (
        {"input_tokens": 1, "total_tokens": 21, "prompt_tokens_details": {"cached_tokens": 0}},
        (1, 20),
        AMBIGUOUS,
    ),
    "a total that has no room for what was cached, and no count of the output": (
        {"prompt_tokens": 100, "total_tokens": 110, "prompt_tokens_details": {"cached_tokens": 60}},
        (160, 10),
        AMBIGUOUS,
    ),
    "a total alone": ({"total_tokens": 90}, (0, 90), AMBIGUOUS),
    "a count below zero": ({"prompt_tokens": 100, "completion_tokens": -5, "total_tokens": 120}, (100, 20), NONSENSE),
    "two names that differ": (
        {"prompt_tokens": 100, "input_tokens": 90, "completion_tokens": 5, "total_tokens": 105},
        (100, 5),
        AMBIGUOUS,
    ),
}


@pytest.mark.parametrize("name", RULES)
def test_a_contradiction_is_read_the_dear_way_and_named(name: str) -> None:
    usage, counted, rule = RULES[name]
    found = read(usage)
    assert found[:2] == counted
    assert rule in found.doubts


def test_an_embedding_whose_counts_differ() -> None:
    found = read({"prompt_tokens": 5, "total_tokens": 8}, EMBEDDINGS)
    assert (found[:2], found.doubts) == ((8, 0), frozenset({TOTAL}))


@pytest.mark.parametrize(
    ("before", "now", "counted", "fell"),
    [
        ((10, 1), (10, 5), (10, 5), False),
        ((10, 5), (10, 4), (10, 5), True),
        ((10, 5), (0, 0), (10, 5), True),
        ((10, 0), (0, 7), (10, 7), True),
        ((10, None), (None, 7), (10, 7), False),
    ],
)
def test_a_later_usage(
    before: tuple[int, int | None], now: tuple[int | None, int], counted: tuple[int, int], fell: bool
) -> None:
    first, second = (Usage(sent, got, None, None, None, True, None, False, None) for sent, got in (before, now))
    found = later(first, second)
    assert found[:2] == counted
    assert (FELL in found.doubts) is fell


def test_a_later_cost_that_is_smaller() -> None:
    first = Usage(1, 2, None, None, 500, True, None, False, None)
    found = later(first, first._replace(cost_pusd=400))
    assert (found.cost_pusd, found.doubts) == (500, frozenset({FELL}))
    assert later(first, first._replace(cost_pusd=None)).cost_pusd == 500
    assert later(first, first._replace(cost_pusd=600)).doubts == frozenset()


COSTS: dict[str, tuple[str, tuple[str, ...], int | None]] = {
    "a number": ('{"usage":{"cost":0.00254674}}', ("usage", "cost"), 2_546_740_000),
    "a text": ('{"usage":{"cost":"0.00254674"}}', ("usage", "cost"), 2_546_740_000),
    "an object": ('{"usage":{"cost":{"total_cost":0.006}}}', ("usage", "cost", "total_cost"), 6 * 10**9),
    "ticks": ('{"usage":{"cost_in_usd_ticks":37756}}', ("usage", "cost_in_usd_ticks"), 3_775_600),
    "elsewhere": ('{"metadata":{"usd":1e-9}}', ("metadata", "usd"), 1000),
    "in a choice": ('{"choices":[{"gateway":{"cost":"1"}}]}', ("choices", "0", "gateway", "cost"), 10**12),
    "words": ('{"usage":{"cost":"free"}}', ("usage", "cost"), None),
    "below zero": ('{"usage":{"cost":-1}}', ("usage", "cost"), None),
    "nowhere": ('{"usage":{"price":1}}', ("usage", "cost"), None),
}


@pytest.mark.parametrize("name", COSTS)
def test_a_cost_at_a_path(name: str) -> None:
    raw, path, pusd = COSTS[name]
    usage = Usage(1, 2, None, None, 77, True, None, False, None)
    found = with_cost(usage, orjson.loads(raw), raw.encode(), (path,))
    assert found is not None
    assert (found[:2], found.cost_pusd) == ((1, 2), pusd)


@pytest.mark.parametrize(("text", "pusd"), [("0.000415", 415_000_000), ("0", 0), ("free", 77), ("-1", None)])
def test_a_cost_in_a_header(text: str, pusd: int | None) -> None:
    found = with_told_cost(Usage(1, 2, None, None, 77, True, None, False, None), text)
    assert found is not None
    assert found.cost_pusd == pusd


def test_perplexity_and_xai_tell_the_cost_without_being_asked() -> None:
    assert read({"prompt_tokens": 1, "cost": {"input_tokens_cost": 0.1, "total_cost": 0.25}}).cost_pusd == 25 * 10**10
    assert read({"prompt_tokens": 1, "cost_in_usd_ticks": 12}).cost_pusd == 1200


@pytest.mark.parametrize("name", ["prompt_tokens_details", "completion_tokens_details", "cache_creation"])
def test_details_within_details_without_end(name: str) -> None:
    """As deep as the parser reads: no provider can bring the reader down."""
    deep = b'{"%b":' % name.encode() * 1000 + b"1" + b"}" * 1000
    raw = b'{"usage":{"prompt_tokens":7,"completion_tokens":5,"%b":%b}}' % (name.encode(), deep)
    found = read_usage(orjson.loads(raw), raw)
    assert found is not None
    assert found[:2] == (7, 5)


@pytest.mark.parametrize("name", [*SHAPES, *RULES])
def test_each_token_is_in_one_class(name: str) -> None:
    """Classes add up to what was counted in each provider's way, doubtful ones too."""
    if name in SHAPES:
        shape, usage = SHAPES[name][:2]
        found = read(usage, shape)
    else:
        found = read(RULES[name][0])
    split = split_tokens(
        found.input_tokens or 0,
        found.output_tokens or 0,
        found.cached_tokens or 0,
        found.reasoning_tokens or 0,
        (found.extras or NO_EXTRAS).counts,
    )
    assert (sum(split[:5]), sum(split[5:])) == (found.input_tokens or 0, found.output_tokens or 0)
    assert min(split) >= 0
