"""The order of a route's targets: by weight, price, speed, both; and who is left out."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.policy.model_features import ModelFeatures, read_features
from proxy.policy.pricing.body_facts import read_facts
from proxy.policy.pricing.price import Price
from proxy.policy.target_order import LEARN_SHARE, Candidate, Order, RequestNeeds, Select, mix_ausd, order, read_needs
from proxy.providers.openrouter_prices import parse_price_list
from proxy.simulator.prices import CATALOGUE, model_body

USD_PER_M = 10**12  # 1 USD per million tokens in atto-USD a token
NO_NEEDS = RequestNeeds()
LATE = 0.5  # a draw that asks no unknown target


def price(input_usd: float, output_usd: float) -> Price:
    return Price(int(input_usd * USD_PER_M), int(output_usd * USD_PER_M))


def names(found: Order, candidates: list[Candidate]) -> list[str]:
    return [candidates[placed.position].name for placed in found.placed]


def chosen(
    select: Select, candidates: list[Candidate], needs: RequestNeeds = NO_NEEDS, rnd01: float = LATE
) -> list[str]:
    return names(order(select, candidates, needs, rnd01), candidates)


def test_as_configured() -> None:
    candidates = [Candidate("a", price(5, 5)), Candidate("b", price(1, 1)), Candidate("c")]
    assert chosen("ordered", candidates) == ["a", "b", "c"]


def test_the_cheapest_of_the_mix_goes_first_and_the_unknown_last() -> None:
    candidates = [
        Candidate("unknown"),
        Candidate("dear output", price(1, 10)),
        Candidate("even", price(2, 2)),
        Candidate("free", price(0, 0)),
    ]
    found = order("cheapest", candidates, NO_NEEDS, LATE)
    assert names(found, candidates) == ["free", "even", "dear output", "unknown"]
    assert [placed.reason for placed in found.placed] == [
        "0 USD per thousand tokens",
        "0.002 USD per thousand tokens",
        "0.00325 USD per thousand tokens",
        "its price is not known",
    ]


def test_a_fee_of_a_request_is_part_of_the_price() -> None:
    assert mix_ausd(Price(USD_PER_M, USD_PER_M, request_pusd=10**10)) == 1000 * USD_PER_M + 10**16


def test_the_fastest_goes_first() -> None:
    candidates = [Candidate("a", latency_ms=900), Candidate("b"), Candidate("c", latency_ms=300)]
    assert chosen("fastest", candidates) == ["c", "a", "b"]


def test_unknown_speeds_are_learnt_in_some_requests() -> None:
    candidates = [Candidate("a", latency_ms=900), Candidate("b"), Candidate("c"), Candidate("d", breaker="open")]
    assert chosen("fastest", candidates, rnd01=0.0) == ["b", "a", "c", "d"]
    assert chosen("fastest", candidates, rnd01=LEARN_SHARE * 0.6) == ["c", "a", "b", "d"]
    assert chosen("fastest", candidates, rnd01=LEARN_SHARE) == ["a", "b", "c", "d"]
    assert chosen("cheapest", candidates, rnd01=0.0) == ["a", "b", "c", "d"]


def test_balance_of_price_speed_and_errors() -> None:
    cheap_slow = Candidate("cheap but slow", price(0.1, 0.4), latency_ms=9000)
    dear_fast = Candidate("fast but dear", price(15, 75), latency_ms=300)
    middling = Candidate("middling", price(0.5, 2), latency_ms=600)
    failing = Candidate("failing", price(0.4, 1.5), latency_ms=500, error_rate=0.9)
    unknown = Candidate("unknown", price(0.1, 0.1))
    candidates = [unknown, dear_fast, failing, cheap_slow, middling]
    found = chosen("balanced", candidates)
    assert found[0] == "middling"
    assert found[-1] == "unknown"
    assert set(found) == {c.name for c in candidates}


def test_a_free_model_does_not_win_by_an_infinite_factor() -> None:
    candidates = [
        Candidate("free and slow", price(0, 0), latency_ms=20_000),
        Candidate("nearly free", price(0.05, 0.1), latency_ms=400),
    ]
    assert chosen("balanced", candidates)[0] == "nearly free"


def test_open_breakers_go_last_but_stay() -> None:
    candidates = [Candidate("a", breaker="open"), Candidate("b", breaker="half_open"), Candidate("c")]
    found = order("ordered", candidates, NO_NEEDS, LATE)
    assert names(found, candidates) == ["b", "c", "a"]
    assert "breaker is open" in found.placed[-1].reason
    every = [Candidate("a", breaker="open"), Candidate("b", breaker="open")]
    assert chosen("ordered", every) == ["a", "b"]


def test_weights_draw_who_is_first_among_the_weighted() -> None:
    candidates = [Candidate("a", weight=3), Candidate("b", weight=1), Candidate("fallback")]
    firsts = Counter(chosen("ordered", candidates, rnd01=i / 400)[0] for i in range(400))
    assert firsts == {"a": 300, "b": 100}
    assert chosen("ordered", candidates, rnd01=0.9) == ["b", "a", "fallback"]


def test_weights_keep_to_their_places() -> None:
    candidates = [Candidate("first"), Candidate("a", weight=1), Candidate("mid"), Candidate("b", weight=1)]
    assert chosen("ordered", candidates, rnd01=0.0) == ["first", "a", "mid", "b"]
    assert chosen("ordered", candidates, rnd01=0.9) == ["first", "b", "mid", "a"]


def test_no_weight_is_no_traffic_but_a_fallback() -> None:
    candidates = [Candidate("a", weight=0), Candidate("b", weight=5)]
    assert {tuple(chosen("ordered", candidates, rnd01=i / 10)) for i in range(10)} == {("b", "a")}
    assert chosen("ordered", [Candidate("a", weight=0), Candidate("b", weight=0)]) == ["a", "b"]


def test_the_share_of_an_open_target_goes_to_the_others() -> None:
    candidates = [Candidate("a", weight=9, breaker="open"), Candidate("b", weight=1), Candidate("c", weight=1)]
    firsts = Counter(chosen("ordered", candidates, rnd01=i / 100)[0] for i in range(100))
    assert firsts == {"b": 50, "c": 50}


@pytest.mark.parametrize(
    ("needs", "why"),
    [
        (RequestNeeds(tools=True), "it does not take tools"),
        (RequestNeeds(vision=True, tools=True), "it does not take tools and images"),
        (RequestNeeds(structured=True), "it does not take structured output"),
        (RequestNeeds(json=True), "it does not take a JSON response_format"),
        (RequestNeeds(input_tokens_least=5000), "its context of 4096 tokens is too small for 5000 or more"),
    ],
)
def test_who_cannot_do_the_job_is_left_out(needs: RequestNeeds, why: str) -> None:
    small = Candidate("small", context_tokens=4096, supports=ModelFeatures(False, False, False, False))
    candidates = [small, Candidate("unknown"), Candidate("able", supports=ModelFeatures(True, True, True, True))]
    found = order("ordered", candidates, needs, LATE)
    assert names(found, candidates) == ["unknown", "able"]
    assert [(candidates[i].name, reason) for i, reason in found.left_out] == [("small", why)]
    assert found.note is None


def test_if_none_can_all_are_tried_as_configured() -> None:
    candidates = [
        Candidate("b", price(9, 9), supports=ModelFeatures(tools=False)),
        Candidate("a", price(1, 1), supports=ModelFeatures(tools=False)),
    ]
    found = order("cheapest", candidates, RequestNeeds(tools=True), LATE)
    assert names(found, candidates) == ["b", "a"]
    assert found.left_out == ()
    assert found.note is not None
    assert "it does not take tools" in found.placed[0].reason


def test_what_a_body_needs() -> None:
    body = {
        "model": "x",
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "?"},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 4000}},
                ],
            }
        ],
        "tools": [{"type": "function", "function": {"name": "f"}}],
        "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {}}},
    }
    needs = read_needs(body, read_facts(body, 4422))
    assert needs == RequestNeeds(tools=True, vision=True, structured=True, input_tokens_least=50)
    plain = {"model": "x", "messages": [{"role": "user", "content": "?"}], "response_format": {"type": "json_object"}}
    assert read_needs(plain, read_facts(plain, 80)) == RequestNeeds(json=True, input_tokens_least=10)


def test_the_catalogue_keeps_what_models_support() -> None:
    by_id = {model.id: model_body(model) for model in CATALOGUE}
    catalogue = parse_price_list({"data": list(by_id.values())})
    for name, entry in catalogue.entries.items():
        assert entry.supports == read_features(by_id[name])
        assert entry.supports.tools


_CANDIDATES = st.lists(
    st.builds(
        Candidate,
        st.text(max_size=3),
        st.none() | st.builds(Price, st.integers(0, 10**14), st.integers(0, 10**15)),
        st.none() | st.integers(1, 10_000),
        st.builds(ModelFeatures, *(st.none() | st.booleans() for _ in range(4))),
        st.none() | st.floats(0, 1e6),
        st.none() | st.floats(0, 1),
        st.sampled_from(["closed", "open", "half_open"]),
        st.none() | st.integers(0, 100),
    ),
    max_size=7,
)
_NEEDS = st.builds(RequestNeeds, st.booleans(), st.booleans(), st.booleans(), st.booleans(), st.integers(0, 10_000))


@given(
    st.sampled_from(["ordered", "cheapest", "fastest", "balanced"]),
    _CANDIDATES,
    _NEEDS,
    st.floats(0, 1, exclude_max=True),
)
def test_every_candidate_is_placed_or_left_out_once_with_a_reason(
    select: Select, candidates: list[Candidate], needs: RequestNeeds, rnd01: float
) -> None:
    found = order(select, candidates, needs, rnd01)
    everyone = [*found.placed, *found.left_out]
    assert sorted(placed.position for placed in everyone) == list(range(len(candidates)))
    assert all(placed.reason for placed in everyone)
    assert bool(found.placed) == bool(candidates)
    if found.note is None:
        opened = [candidates[placed.position].breaker == "open" for placed in found.placed]
        assert opened == sorted(opened), "nobody stands behind an open breaker"
