"""No usage within the bounds of a request costs more than its worst case, and what is written fits what is left."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from proxy.core.counts import Counts
from proxy.policy.pricing import (
    FLOOR_TOKENS,
    BodyFacts,
    ClampedOutput,
    Override,
    Price,
    PriceError,
    PriceList,
    PriceListEntry,
    UnaffordableOutput,
    UnboundedError,
    charge,
    clamp_output_tokens,
    cost_from_usage_pusd,
    find_price,
    input_bound_tokens,
    maximum_to_write,
    output_limit_tokens,
    plain_input_tokens,
    plain_terms,
    plain_worst_case_pusd,
    read_facts,
    unpriced_features,
    worst_case_pusd,
)
from tests.policy.made_price import listed_price, price_from_config


def _facts(body: dict[str, object], endpoint: str = "chat") -> BodyFacts:
    return read_facts(body, len(json.dumps(body)), endpoint)  # type: ignore[arg-type]


# The bound


def test_the_dearest_target_counts() -> None:
    cheap = price_from_config(input="0", output="0")
    dear = price_from_config(input="1", output="10", context_tokens=10000)
    facts = BodyFacts(size_bytes=744, max_output_tokens=100)
    assert worst_case_pusd([cheap, dear], facts) == worst_case_pusd([dear, cheap], facts) == 10**9 + 10**9
    with pytest.raises(PriceError):
        worst_case_pusd([], facts)


def test_without_any_output_length_there_is_no_bound() -> None:
    with pytest.raises(UnboundedError):
        worst_case_pusd([price_from_config(input="1", output="1")], BodyFacts(10))
    assert worst_case_pusd([price_from_config(input="1", output="0")], BodyFacts(744)) == 10**9


def test_an_override_counts_only_where_the_prompt_can_reach_it() -> None:
    price = listed_price(overrides=[{"min_prompt_tokens": 10000, "prompt": "0.000006", "completion": "0.0000225"}])
    assert worst_case_pusd([price], BodyFacts(10000 - 256, 100)) == 10000 * 3 * 10**6 + 100 * 15 * 10**6
    assert worst_case_pusd([price], BodyFacts(10001 - 256, 100)) == 10001 * 6 * 10**6 + 100 * 225 * 10**5


def test_a_price_by_time_of_day_always_counts() -> None:
    price = listed_price(overrides=[{"utc_start": "2200", "utc_end": "0600", "prompt": "0.00001"}])
    assert worst_case_pusd([price], BodyFacts(744, 0)) == 10**10
    assert cost_from_usage_pusd(price, 100, 0, minute_utc=12 * 60) == 100 * 3 * 10**6
    assert cost_from_usage_pusd(price, 100, 0, minute_utc=0) == 10**9
    assert cost_from_usage_pusd(price, 100, 0, minute_utc=6 * 60) == 100 * 3 * 10**6
    assert cost_from_usage_pusd(price, 100, 0) == 10**9


def test_cached_and_written_tokens_have_their_own_price() -> None:
    price = listed_price(input_cache_read="0.0000003", input_cache_write="0.00000375")
    assert cost_from_usage_pusd(price, 1000, 10, 600, 100) == (300 * 30 + 600 * 3 + 10 * 150) * 10**5 + 375 * 10**6
    assert cost_from_usage_pusd(price, 10, 0, 9999) == 10 * 3 * 10**5
    assert cost_from_usage_pusd(listed_price(internal_reasoning="0.0001"), 0, 10, reasoning_tokens=4) == 490 * 10**6


def test_rejected_predictions_are_output_on_top() -> None:
    body: dict[str, object] = {
        "model": "a/b",
        "messages": [],
        "max_tokens": 10,
        "prediction": {"content": "x" * 900},
    }
    price = price_from_config(input="0", output="1")
    facts = _facts(body)
    assert worst_case_pusd([price], facts) == (10 + facts.size_bytes) * 10**6


ausd = st.one_of(st.just(0), st.integers(0, 10**15), st.integers(0, 5))
optional_ausd = st.none() | ausd
RATES = {
    "cached_ausd": optional_ausd,
    "cache_write_ausd": optional_ausd,
    "cache_write_1h_ausd": optional_ausd,
    "reasoning_ausd": optional_ausd,
    "image_pusd": st.none() | st.integers(0, 10**10),
}
overrides = st.builds(
    Override,
    rates=st.dictionaries(
        st.sampled_from(["input_ausd", "output_ausd", "cached_ausd", "cache_write_ausd", "reasoning_ausd"]),
        ausd,
    ).map(lambda rates: tuple(rates.items())),
    min_prompt_tokens=st.none() | st.integers(0, 20000),
    utc_start_min=st.just(600),
    utc_end_min=st.integers(0, 1440),
    unknown_condition=st.booleans(),
)
prices = st.builds(
    Price,
    input_ausd=ausd,
    output_ausd=ausd,
    **RATES,
    request_pusd=st.integers(0, 10**10),
    overrides=st.lists(overrides, max_size=3).map(tuple),
    context_tokens=st.integers(1, 100_000),
    output_max_tokens=st.none() | st.integers(1, 50_000),
)
facts_of_bodies = st.builds(
    BodyFacts,
    size_bytes=st.integers(0, 50_000),
    max_output_tokens=st.none() | st.integers(0, 60_000),
    choices=st.integers(1, 5),
    images=st.integers(0, 3),
    whole_context=st.sampled_from(["", "a file"]),
    has_tools=st.booleans(),
    writes_cache=st.booleans(),
    generates=st.just(True),
    data_url_bytes=st.just(0),
    has_prediction=st.just(False),
    wants_image_output=st.just(False),
    models=st.just(()),
    service_tier=st.none(),
    unpriced=st.just(()),
)


def _usage_cost(data: st.DataObject, price: Price, facts: BodyFacts, max_tokens: int | None) -> int:
    """Draw a usage within the bounds and price it."""
    limit = output_limit_tokens(price)
    assert limit is not None
    output = data.draw(st.integers(0, min(limit, limit if max_tokens is None else max_tokens)))
    prompt = data.draw(st.integers(0, input_bound_tokens(price, facts)))
    return cost_from_usage_pusd(
        price,
        prompt,
        output * facts.choices,
        data.draw(st.integers(0, prompt)),
        data.draw(st.integers(0, prompt)) if facts.writes_cache or price.cache_write_ausd is not None else 0,
        reasoning_tokens=data.draw(st.integers(0, output)),
        images=facts.images,
        minute_utc=data.draw(st.none() | st.integers(0, 1439)),
    )


@given(prices, st.booleans(), st.integers(0, 50_000), st.none() | st.integers(0, 60_000))
def test_a_plain_chat_costs_by_its_terms_what_it_costs_by_its_facts(
    price: Price, has_context: bool, size_bytes: int, asked: int | None
) -> None:
    price = price if has_context else replace(price, context_tokens=None, overrides=())
    terms = plain_terms(price)
    assert (terms is None) == bool(price.overrides)
    if terms is not None:
        try:
            whole = worst_case_pusd([price], BodyFacts(size_bytes, asked))
        except UnboundedError:
            whole = None
        assert plain_worst_case_pusd(terms, size_bytes, asked) == whole
        assert plain_input_tokens(terms, size_bytes) == input_bound_tokens(price, BodyFacts(size_bytes, asked))


def test_what_takes_no_bound_has_no_plain_terms() -> None:
    price = price_from_config(input="1", output="1", output_max_tokens=100)
    assert plain_terms(price) is not None
    assert plain_terms(replace(price, takes_no_bound=True)) is None


@given(st.lists(prices, min_size=1, max_size=3), facts_of_bodies, st.data())
def test_no_usage_within_the_bounds_costs_more_than_the_worst_case(
    route: list[Price], facts: BodyFacts, data: st.DataObject
) -> None:
    worst = worst_case_pusd(route, facts)
    for price in route:
        assert _usage_cost(data, price, facts, facts.max_output_tokens) <= worst


@pytest.mark.parametrize(
    ("endpoint", "fields"),
    [
        ("chat", {"messages": [{"role": "user", "content": [{"type": "text", "text": "x", "cache_control": {}}]}]}),
        ("chat", {"messages": [{"role": "system", "content": "x", "cache_control": {"type": "ephemeral"}}]}),
        ("chat", {"messages": [{"role": "user", "content": "x"}], "cache_control": {"type": "ephemeral"}}),
        ("messages", {"system": [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral", "ttl": "1h"}}]}),
        ("messages", {"tools": [{"name": "f", "input_schema": {}, "cache_control": {"type": "ephemeral"}}]}),
        (
            "responses",
            {"input": [{"role": "user", "content": [{"type": "input_text", "text": "x", "cache_control": {}}]}]},
        ),
    ],
)
@pytest.mark.parametrize(
    ("listed", "times"), [({}, 2), ({"cache_write_ausd": 3 * 10**12}, 2), ({"cache_write_1h_ausd": 6 * 10**12}, 3)]
)
def test_what_is_to_be_cached_is_held_for(
    endpoint: str, fields: dict[str, Any], listed: dict[str, int], times: int
) -> None:
    """The dearest that can be charged for it, whether or not the list has a price of that."""
    price = replace(price_from_config(input="2", output="8"), **listed)
    facts = _facts({"model": "m", "max_tokens": 1, "max_output_tokens": 1, **fields}, endpoint)
    tokens = input_bound_tokens(price, facts)
    assert worst_case_pusd([price], facts, 0) == tokens * 2_000_000 * times
    life = Counts(cache_write_tokens=tokens, cache_write_1h_tokens=tokens)
    assert charge(price, tokens, 0, counts=life).pusd <= worst_case_pusd([price], facts, 0)


# The clamp


@given(
    route=st.lists(prices, min_size=1, max_size=3),
    facts=facts_of_bodies,
    headroom=st.integers(0, 10**14),
    cap=st.none() | st.integers(1, 60_000),
    may_lower=st.booleans(),
    data=st.data(),
)
def test_a_clamped_request_fits_and_is_as_long_as_it_may_be(
    route: list[Price],
    facts: BodyFacts,
    headroom: int,
    cap: int | None,
    *,
    may_lower: bool,
    data: st.DataObject,
) -> None:
    result = clamp_output_tokens(route, facts, headroom, cap_tokens=cap, may_lower=may_lower)
    if isinstance(result, UnaffordableOutput):
        assert result.needed_pusd > headroom
        assert worst_case_pusd(route, facts, result.floor_tokens) == result.needed_pusd
        if result.affordable_tokens:
            assert worst_case_pusd(route, facts, result.affordable_tokens) <= headroom
        assert worst_case_pusd(route, facts, result.affordable_tokens + 1) > headroom
        return
    assert result.reserve_pusd <= headroom
    assert result.reserve_pusd == worst_case_pusd(route, facts, result.max_tokens)
    for price in route:
        assert _usage_cost(data, price, facts, result.max_tokens) <= result.reserve_pusd
    if result.max_tokens is None:
        assert facts.max_output_tokens is None
        assert cap is None
        return
    if cap is not None:
        assert result.max_tokens <= cap
    if facts.max_output_tokens is not None:
        assert result.max_tokens <= facts.max_output_tokens
        assert result.lowered or any(
            result.max_tokens >= min(facts.max_output_tokens, output_limit_tokens(p) or 0) for p in route
        )
    if result.reserve_pusd > headroom // 2:
        assert not may_lower or result.max_tokens <= max(FLOOR_TOKENS, facts.min_output_tokens)


OPENCODE = BodyFacts(size_bytes=2000, max_output_tokens=32000)
GPT = price_from_config(input="0.25", output="2", context_tokens=400000, output_max_tokens=128000)


def test_one_request_takes_at_most_half_of_what_is_left() -> None:
    left = 20 * 10**9  # $0.02
    first = clamp_output_tokens([GPT], OPENCODE, left)
    assert isinstance(first, ClampedOutput)
    assert first.lowered
    assert first.reserve_pusd <= left // 2 < worst_case_pusd([GPT], OPENCODE, (first.max_tokens or 0) + 1)
    second = clamp_output_tokens([GPT], OPENCODE, left - first.reserve_pusd)
    assert isinstance(second, ClampedOutput)


def test_the_floor_may_take_more_than_half() -> None:
    needed = worst_case_pusd([GPT], OPENCODE, FLOOR_TOKENS)
    assert clamp_output_tokens([GPT], OPENCODE, needed) == ClampedOutput(FLOOR_TOKENS, needed, lowered=True)
    refused = clamp_output_tokens([GPT], OPENCODE, needed - 1)
    assert refused == UnaffordableOutput(needed, FLOOR_TOKENS, FLOOR_TOKENS - 1)


def test_a_smaller_maximum_of_the_client_is_left_alone() -> None:
    facts = replace(OPENCODE, max_output_tokens=20)
    needed = worst_case_pusd([GPT], facts)
    assert clamp_output_tokens([GPT], facts, needed) == ClampedOutput(20, needed, lowered=False)
    assert clamp_output_tokens([GPT], facts, needed - 1) == UnaffordableOutput(needed, 20, 19)


def test_all_or_nothing_when_lowering_is_switched_off() -> None:
    needed = worst_case_pusd([GPT], OPENCODE)
    assert clamp_output_tokens([GPT], OPENCODE, needed, may_lower=False) == ClampedOutput(32000, needed, lowered=False)
    assert isinstance(clamp_output_tokens([GPT], OPENCODE, needed - 1, may_lower=False), UnaffordableOutput)


def test_free_models_pass_with_nothing_left() -> None:
    free = price_from_config(input="0", output="0")
    assert clamp_output_tokens([free], OPENCODE, 0) == ClampedOutput(32000, 0, lowered=False)
    entry = PriceListEntry("a/b:free", free)
    assert find_price(PriceList({"a/b:free": entry}), "a/b:free") is not None


def test_a_cap_bounds_what_neither_client_nor_list_bounds() -> None:
    endless = price_from_config(input="0.25", output="2")
    facts = BodyFacts(size_bytes=2000)
    with pytest.raises(UnboundedError):
        clamp_output_tokens([endless, GPT], facts, 10**12)
    capped = clamp_output_tokens([endless, GPT], facts, 10**12, cap_tokens=500)
    assert capped == ClampedOutput(500, worst_case_pusd([endless, GPT], facts, 500), lowered=True)


LISTED = Price(150_000 * 10**6, 600_000 * 10**6, context_tokens=131_072, output_max_tokens=None)


@pytest.mark.parametrize(
    ("price", "size", "tokens", "written"),
    [
        (LISTED, 100, 131_072, 131_072 - 100 - 256),  # the list names no maximum: the whole context, less the prompt
        (replace(LISTED, output_max_tokens=131_072), 100, 131_072, 131_072 - 100 - 256),
        (replace(LISTED, output_max_tokens=8_192), 100, 131_072, 8_192),  # another target of the route gives more
        (replace(LISTED, output_max_tokens=8_192), 100, 5_000, 5_000),
        (replace(LISTED, context_tokens=200_000, output_max_tokens=64_000), 600_000, 64_000, None),  # held for anyway
        (replace(LISTED, context_tokens=200_000, output_max_tokens=64_000), 600_000, 60_000, 50_000),  # lowered: kept
        (replace(LISTED, context_tokens=200_000, output_max_tokens=64_000), 900_000, 60_000, 256),
        (Price(1, 1), 10**6, 32_000, 32_000),  # nothing is known of it
    ],
)
def test_a_bound_leaves_room_for_the_prompt(price: Price, size: int, tokens: int, written: int | None) -> None:
    """What is written fits beside the prompt, and is left out only where the model's own maximum is held for."""
    facts = BodyFacts(size)
    assert maximum_to_write(price, facts, tokens) == written
    if written is None:
        assert worst_case_pusd([price], facts, tokens) == worst_case_pusd([price], facts)


@given(
    context=st.none() | st.integers(1, 300_000),
    most=st.none() | st.integers(1, 300_000),
    size=st.integers(1, 10**6),
    tokens=st.integers(1, 300_000),
)
def test_what_is_written_never_costs_more_than_was_held(
    context: int | None, most: int | None, size: int, tokens: int
) -> None:
    price = Price(10**12, 10**13, context_tokens=context, output_max_tokens=most)
    facts = BodyFacts(size)
    written = maximum_to_write(price, facts, tokens)
    assert worst_case_pusd([price], facts, written) <= worst_case_pusd([price], facts, tokens)
    assert written is None or 0 < written <= tokens


def test_a_thinking_budget_is_not_cut_into() -> None:
    """The provider refuses a maximum that is not above the budget, so that one is refused here with the true price."""
    body: dict[str, object] = {"model": "a/b", "max_tokens": 32000, "thinking": {"budget_tokens": 2000}}
    for endpoint, fields in (("messages", body), ("chat", {**body, "reasoning": {"max_tokens": 2000}})):
        facts = _facts(fields, endpoint)
        needed = worst_case_pusd([GPT], facts, 2001)
        assert clamp_output_tokens([GPT], facts, needed) == ClampedOutput(2001, needed, lowered=True)
        assert clamp_output_tokens([GPT], facts, needed - 1) == UnaffordableOutput(needed, 2001, 2000)


def test_image_output_needs_a_price() -> None:
    facts = _facts({"model": "a/b", "messages": [], "modalities": ["text", "image"]})
    assert unpriced_features(facts, [listed_price()]) == ["image output"]
    assert unpriced_features(facts, [listed_price(image_output="0.00003")]) == []
