"""Whatever a usage says, the row is never lower than the bill that its provider would make of it, or it is flagged.

Each dialect below writes counts as one provider does and reads a bill out of such an object by that provider's own
definition, with nothing of the program's. The objects are then damaged: keys dropped, counts replaced, others added.
TOLLKEEPER_EXAMPLES says how many are drawn.
"""

import copy
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.pipeline.settlement.end_rows import price_usage
from proxy.pipeline.settlement.settle import settle
from proxy.pipeline.values.attempt_result import AttemptResult
from proxy.pipeline.values.settlement import Settlement
from proxy.policy.pricing import Price
from proxy.providers.openai import OpenAIDialect
from proxy.wire.parsed_answer import read_message
from proxy.wire.usage import CHAT, MESSAGES, RESPONSES, UsageShape, read_usage
from tests.support.sampling import count

EXAMPLES = int(os.environ.get("TOLLKEEPER_EXAMPLES", "") or count(1000, 0.3))
AUSD_PER_PUSD = 10**6
RESERVED_PUSD = 1  # less than nearly every bill: where the worst case is charged, it is flagged


class Took(NamedTuple):
    """What an answer took, in classes that do not overlap."""

    fresh: int
    read: int
    short: int  # written to a cache for five minutes
    long: int  # for an hour
    text: int
    thought: int
    searches: int

    @property
    def prompt(self) -> int:
        return self.fresh + self.read + self.short + self.long

    @property
    def written(self) -> int:
        return self.text + self.thought


@dataclass(frozen=True)
class Rates:
    """Atto-USD a token, pico-USD a search."""

    fresh: int
    read: int
    short: int
    long: int
    output: int
    search: int

    def pusd(self, took: Took) -> int:
        ausd = took.fresh * self.fresh + took.read * self.read + took.short * self.short + took.long * self.long
        ausd += took.written * self.output
        return -(-ausd // AUSD_PER_PUSD) + took.searches * self.search

    def price(self) -> Price:
        return Price(
            input_ausd=self.fresh,
            output_ausd=self.output,
            cached_ausd=self.read,
            cache_write_ausd=self.short,
            cache_write_1h_ausd=self.long,
            web_search_pusd=self.search,
        )


class Dialect(NamedTuple):
    """tells: the usage of a Took, with those of its classes that the provider has. took: the same back, 0 for none."""

    shape: UsageShape
    classes: frozenset[str]
    tell: Callable[[Took], dict[str, Any]]
    took: Callable[[Mapping[str, Any]], Took]


def _at(usage: Any, *path: str) -> int:
    for key in path:
        usage = usage.get(key) if isinstance(usage, dict) else None
    if isinstance(usage, str | float) and not isinstance(usage, bool):
        try:
            usage = int(Decimal(usage)) if Decimal(usage) % 1 == 0 else None
        except ArithmeticError:  # a text that is no number, or beyond all counts
            return 0
    return usage if type(usage) is int and 0 <= usage < 2**53 else 0


def _inside(prompt: int, read: int, short: int, long: int, text: int, thought: int, searches: int = 0) -> Took:
    return Took(max(0, prompt - read - short - long), read, short, long, text, thought, searches)


def _openai(took: Took) -> dict[str, Any]:
    return {
        "prompt_tokens": took.prompt,
        "completion_tokens": took.written,
        "total_tokens": took.prompt + took.written,
        "prompt_tokens_details": {"cached_tokens": took.read, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": took.thought, "audio_tokens": 0},
    }


def _of_openai(usage: Mapping[str, Any]) -> Took:
    read = _at(usage, "prompt_tokens_details", "cached_tokens")
    return _inside(_at(usage, "prompt_tokens"), read, 0, 0, _at(usage, "completion_tokens"), 0)


def _responses(took: Took) -> dict[str, Any]:
    return {
        "input_tokens": took.prompt,
        "output_tokens": took.written,
        "total_tokens": took.prompt + took.written,
        "input_tokens_details": {"cached_tokens": took.read},
        "output_tokens_details": {"reasoning_tokens": took.thought},
    }


def _of_responses(usage: Mapping[str, Any]) -> Took:
    read = _at(usage, "input_tokens_details", "cached_tokens")
    return _inside(_at(usage, "input_tokens"), read, 0, 0, _at(usage, "output_tokens"), 0)


def _openrouter(took: Took) -> dict[str, Any]:
    usage = _openai(took)
    usage["prompt_tokens_details"]["cache_write_tokens"] = took.long
    return usage


def _of_openrouter(usage: Mapping[str, Any]) -> Took:
    read = _at(usage, "prompt_tokens_details", "cached_tokens")
    written = _at(usage, "prompt_tokens_details", "cache_write_tokens")
    return _inside(_at(usage, "prompt_tokens"), read, 0, written, _at(usage, "completion_tokens"), 0)


def _xai(took: Took) -> dict[str, Any]:
    return {**_openai(took), "completion_tokens": took.text, "num_sources_used": 0}


def _is_inside(usage: Mapping[str, Any], total: str, prompt: str, completion: str) -> bool:
    """Tell whether a total says that nothing is beside the two wholes."""
    named = max(_at(usage, name) for name in (total, "total_tokens", "totalTokens"))
    return named == _at(usage, prompt) + _at(usage, completion) > 0


def _of_xai(usage: Mapping[str, Any]) -> Took:
    if _is_inside(usage, "total_tokens", "prompt_tokens", "completion_tokens"):
        return _of_openai(usage)
    return _of_openai(usage)._replace(thought=_at(usage, "completion_tokens_details", "reasoning_tokens"))


def _gemini(took: Took) -> dict[str, Any]:
    usage = {**_openai(took), "completion_tokens": took.text}
    del usage["completion_tokens_details"]
    return usage


def _above(usage: Mapping[str, Any]) -> int:
    return _at(usage, "total_tokens") - _at(usage, "prompt_tokens") - _at(usage, "completion_tokens")


def _of_gemini(usage: Mapping[str, Any]) -> Took:
    if _at(usage, "prompt_tokens") == 0:
        usage = {**usage, "prompt_tokens": usage.get("input_tokens")}
    above, read = _above(usage), _at(usage, "prompt_tokens_details", "cached_tokens")
    if above == read > _at(usage, "prompt_tokens"):  # what was cached cannot be inside, and is the rest of the total
        return _of_beside(usage)
    return _of_openai(usage)._replace(thought=max(0, above))


def _deepseek(took: Took) -> dict[str, Any]:
    usage = _openai(took)
    del usage["prompt_tokens_details"]
    return {**usage, "prompt_cache_hit_tokens": took.read, "prompt_cache_miss_tokens": took.fresh}


def _of_deepseek(usage: Mapping[str, Any]) -> Took:
    read = _at(usage, "prompt_cache_hit_tokens")
    return _inside(_at(usage, "prompt_tokens"), read, 0, 0, _at(usage, "completion_tokens"), 0)


def _moonshot(took: Took) -> dict[str, Any]:
    counts = {"prompt_tokens": took.prompt, "completion_tokens": took.written, "cached_tokens": took.read}
    return {**counts, "total_tokens": took.prompt + took.written}


def _of_moonshot(usage: Mapping[str, Any]) -> Took:
    read = _at(usage, "cached_tokens")
    return _inside(_at(usage, "prompt_tokens"), read, 0, 0, _at(usage, "completion_tokens"), 0)


def _beside(took: Took) -> dict[str, Any]:
    return {**_openai(took), "prompt_tokens": took.fresh}


def _of_beside(usage: Mapping[str, Any]) -> Took:
    if _is_inside(usage, "total_tokens", "prompt_tokens", "completion_tokens"):
        return _of_openai(usage)
    read = _at(usage, "prompt_tokens_details", "cached_tokens")
    if "completion_tokens_details" not in usage and 0 < _above(usage) < read:  # to the letter what Gemini would send
        return _of_gemini(usage)
    return Took(_at(usage, "prompt_tokens"), read, 0, 0, _at(usage, "completion_tokens"), 0, 0)


def _anthropic(took: Took) -> dict[str, Any]:
    return {
        "input_tokens": took.fresh,
        "cache_read_input_tokens": took.read,
        "cache_creation_input_tokens": took.short + took.long,
        "cache_creation": {"ephemeral_5m_input_tokens": took.short, "ephemeral_1h_input_tokens": took.long},
        "output_tokens": took.written,
        "server_tool_use": {"web_search_requests": took.searches},
        "service_tier": "standard",
    }


def _of_anthropic(usage: Mapping[str, Any]) -> Took:
    long = _at(usage, "cache_creation", "ephemeral_1h_input_tokens")
    short = _at(usage, "cache_creation", "ephemeral_5m_input_tokens")
    short = max(short, _at(usage, "cache_creation_input_tokens") - long)
    searches = _at(usage, "server_tool_use", "web_search_requests")
    fresh, read = _at(usage, "input_tokens"), _at(usage, "cache_read_input_tokens")
    return Took(fresh, read, short, long, _at(usage, "output_tokens"), 0, searches)


def _bedrock(took: Took) -> dict[str, Any]:
    counts = {"inputTokens": took.fresh, "outputTokens": took.written, "cacheReadInputTokens": took.read}
    return {**counts, "cacheWriteInputTokens": took.long, "totalTokens": took.prompt + took.written}


def _of_bedrock(usage: Mapping[str, Any]) -> Took:
    counts = ("inputTokens", "cacheReadInputTokens", "cacheWriteInputTokens", "outputTokens")
    fresh, read, long, written = (_at(usage, name) for name in counts)
    if _is_inside(usage, "totalTokens", "inputTokens", "outputTokens"):
        return _inside(fresh, read, 0, long, written, 0)
    return Took(fresh, read, 0, long, written, 0, 0)


READS = frozenset({"fresh", "read", "text", "thought"})
DIALECTS: dict[str, Dialect] = {
    "openai": Dialect(CHAT, READS, _openai, _of_openai),
    "responses": Dialect(RESPONSES, READS, _responses, _of_responses),
    "openrouter": Dialect(CHAT, READS | {"long"}, _openrouter, _of_openrouter),
    "xai": Dialect(CHAT, READS, _xai, _of_xai),
    "gemini": Dialect(CHAT, READS, _gemini, _of_gemini),
    "deepseek": Dialect(CHAT, READS, _deepseek, _of_deepseek),
    "moonshot": Dialect(CHAT, READS, _moonshot, _of_moonshot),
    "cached beside": Dialect(CHAT, READS, _beside, _of_beside),
    "anthropic": Dialect(MESSAGES, READS | {"short", "long", "searches"}, _anthropic, _of_anthropic),
    "bedrock": Dialect(CHAT, READS | {"long"}, _bedrock, _of_bedrock),
}

counts = st.integers(0, 40) | st.integers(0, 200_000)
rate_steps = st.integers(0, 30 * 10**12)


@st.composite
def rates(draw: st.DrawFn) -> Rates:
    """Draw a list as providers have them: reading a cache is the cheapest, writing for an hour the dearest of input."""
    read, more, dear, dearest = (draw(rate_steps) for _ in range(4))
    fresh = read + more
    output = fresh + draw(rate_steps)
    return Rates(fresh, read, fresh + dear, fresh + dear + dearest, output, draw(st.integers(1, 10**11)))


@st.composite
def took(draw: st.DrawFn, dialect: Dialect) -> Took:
    return Took(*(draw(counts) if name in dialect.classes else 0 for name in Took._fields))


odd_values = (
    counts
    | st.integers(-5, -1)
    | st.sampled_from([None, True, False, "", "12", "x", 7.0, 7.5, 1e300, [], {}, [3], {"a": 1}, 2**53 + 1, 10**30])
)
ADDED = st.sampled_from(
    [
        *("cache_creation_input_tokens", "cache_write_tokens", "total_tokens", "citation_tokens", "completion_tokens"),
        *("prompt_tokens", "input_tokens", "output_tokens", "reasoning_tokens", "totalTokens", "num_search_queries"),
        *("x", "cost_details", "completion_tokens_details", "server_tool_use"),
    ]
)


def _places(usage: dict[str, Any]) -> list[tuple[dict[str, Any], str]]:
    places = [(usage, key) for key in usage]
    return places + [(part, key) for part in usage.values() if isinstance(part, dict) for key in part]


def damage(usage: dict[str, Any], data: st.DataObject) -> None:
    """Drop a key, replace a value, add a key, or write a count in another spelling."""
    places = _places(usage)
    what = data.draw(st.sampled_from(["drop", "replace", "add", "spell"]))
    if what == "add" or not places:
        usage[data.draw(ADDED)] = copy.deepcopy(data.draw(odd_values))
        return
    part, key = data.draw(st.sampled_from(places))
    if what == "drop":
        del part[key]
    elif what == "replace":
        part[key] = copy.deepcopy(data.draw(odd_values))
    elif type(part[key]) is int:
        part[key] = data.draw(st.sampled_from([str(part[key]), float(part[key])]))


def booked(usage: dict[str, Any], dialect: Dialect, price: Price) -> Settlement:
    message = read_message(raw := json.dumps({"usage": usage}).encode())
    assert message is not None
    heard = AttemptResult(dispatched=True, status=200, content_seen=True, complete=True, finish_reason="stop")
    heard.usage = read_usage(message, raw, dialect.shape)
    return settle(heard, OpenAIDialect(), RESERVED_PUSD, lambda told: price_usage(price, told))


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(sorted(DIALECTS)), rates(), st.data())
def test_a_usage_as_it_should_be_is_booked_to_the_last_digit(name: str, list_: Rates, data: st.DataObject) -> None:
    dialect = DIALECTS[name]
    true = data.draw(took(dialect))
    usage = dialect.tell(true)
    bill = list_.pusd(true)
    assert list_.pusd(dialect.took(usage)) == bill
    verdict = booked(usage, dialect, list_.price())
    assert verdict.cost_pusd is not None
    exact = verdict.cost_pusd == bill and verdict.flags <= {"over_reservation"}
    assert exact or (verdict.cost_pusd >= min(bill, RESERVED_PUSD) and verdict.flags - {"over_reservation"})
    assert verdict.cost_pusd >= bill or verdict.flags & {"usage_zero"}


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), derandomize=EXAMPLES <= 1000)
@given(st.sampled_from(sorted(DIALECTS)), rates(), st.data())
def test_a_damaged_usage_is_not_booked_too_low_in_silence(name: str, list_: Rates, data: st.DataObject) -> None:
    """What another dialect writes to the letter is read as that: no reader can tell, and the bills below know it."""
    dialect = DIALECTS[name]
    usage = copy.deepcopy(dialect.tell(data.draw(took(dialect))))
    for _ in range(data.draw(st.integers(1, 3))):
        damage(usage, data)
    bill = list_.pusd(dialect.took(usage))
    verdict = booked(usage, dialect, list_.price())
    assert verdict.cost_pusd is not None
    assert verdict.cost_pusd >= bill or verdict.flags - {"over_reservation"}, (usage, verdict, bill)
