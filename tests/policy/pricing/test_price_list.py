"""Prices as a provider lists them: read exactly, never a number that is none, never lowered by a strange list."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.policy.pricing import (
    BodyFacts,
    PriceError,
    PriceList,
    accept_refresh,
    diff_price_lists,
    find_price,
    unpriced_features,
    worst_case_pusd,
)
from proxy.providers.openrouter_prices import parse_openrouter_model, parse_price_list
from tests.policy.made_price import listed_model, listed_price

# Reading a price list


def test_prices_are_read_as_whole_atto_usd() -> None:
    price, reason = parse_openrouter_model(
        listed_model(
            pricing={
                "prompt": "0.00000015",
                "completion": "6e-7",
                "input_cache_read": "0.000000075",
                "request": "0.005",
                "image": "0.001445",
                "web_search": "0.01",
            }
        )
    )
    assert reason is None
    assert price is not None
    assert (price.input_ausd, price.output_ausd, price.cached_ausd) == (150 * 10**9, 600 * 10**9, 75 * 10**9)
    assert (price.request_pusd, price.image_pusd, price.web_search_pusd) == (5 * 10**9, 1445 * 10**6, 10**10)
    assert (price.context_tokens, price.output_max_tokens) == (128000, 16384)
    assert price.unpriced == ()  # web search costs only where it is asked for


@given(st.integers(0, 10**18), st.integers(0, 20))
def test_every_decimal_is_read_exactly_or_rounded_up(digits: int, scale: int) -> None:
    exact = Decimal(digits).scaleb(-scale)
    if exact >= 1000:
        exact = exact % 1000
    price, _ = parse_openrouter_model(listed_model(pricing={"prompt": str(exact), "completion": "0"}))
    assert price is not None
    assert 0 <= Decimal(price.input_ausd).scaleb(-18) - exact < Decimal("1e-18")


@pytest.mark.parametrize(
    "text",
    [
        "-0.5",
        "-2",
        "NaN",
        "Infinity",
        "",
        "free",
        "1,5",
        "0x1",
        "1e400",
        "99999",
        "1" * 65,
        None,
        0.5,
        1,
        True,
    ],
)
def test_what_is_no_price_raises(text: object) -> None:
    with pytest.raises(PriceError):
        parse_openrouter_model(listed_model(pricing={"prompt": text, "completion": "0"} if text is not None else {}))


@pytest.mark.parametrize("key", ["prompt", "completion"])
def test_a_price_that_is_null_is_missing(key: str) -> None:
    """It leaves its model without one, and the rest of the list is taken."""
    pricing = {"prompt": "0.000001", "completion": "0.000002", key: None}
    with pytest.raises(PriceError, match=f"pricing.{key} is missing"):
        parse_openrouter_model(listed_model(pricing=pricing))
    entries = parse_price_list(
        {"data": [listed_model("bad/one", pricing=pricing), *[listed_model(f"m/{n}") for n in range(9)]]}
    )
    assert entries.entries["bad/one"].price is None
    assert entries.entries["m/3"].price is not None


@pytest.mark.parametrize("key", ["prompt", "completion", "request", "input_cache_read"])
def test_minus_one_is_a_dynamic_price_and_never_a_number(key: str) -> None:
    price, reason = parse_openrouter_model(listed_model(pricing={"prompt": "0", "completion": "0", key: "-1"}))
    assert price is None
    assert reason is not None


def test_zero_is_a_real_price() -> None:
    price, _ = parse_openrouter_model(listed_model("m/x:free", pricing={"prompt": "0", "completion": "0"}))
    assert price is not None
    assert price.is_free
    assert worst_case_pusd([price], BodyFacts(5000)) == 0


def test_a_free_price_with_a_costly_override_is_not_free() -> None:
    assert not listed_price(
        prompt="0", completion="0", overrides=[{"min_prompt_tokens": 10, "prompt": "0.000001"}]
    ).is_free


@pytest.mark.parametrize("discount", [-0.1, 1.5, "0.1", True])
def test_a_discount_out_of_range_raises(discount: object) -> None:
    with pytest.raises(PriceError, match="discount"):
        listed_price(discount=discount)


def test_a_discount_never_lowers_the_bound() -> None:
    assert listed_price(discount=0.5) == listed_price()


def test_price_keys_not_known_here_count_by_their_family_or_are_named() -> None:
    price = listed_price(input_video="0.00001", hologram_output="0.0001", teleport="0.5", nothing="0")
    assert price.other_input_ausd == 10**13
    assert price.other_output_ausd == 10**14
    assert price.unpriced == ("price key teleport",)
    assert unpriced_features(BodyFacts(1), [price]) == ["price key teleport"]
    assert worst_case_pusd([price], BodyFacts(744, 1)) == (744 + 256) * 10**7 + 10**8


def test_models_that_search_by_themselves_are_named() -> None:
    pricing = {"prompt": "0.000001", "completion": "0.000001", "web_search": "0.005"}
    price, _ = parse_openrouter_model(listed_model("perplexity/sonar", pricing=pricing))
    assert price is not None
    assert unpriced_features(BodyFacts(1), [price]) == ["the model's own web search"]


@pytest.mark.parametrize(
    "overrides",
    [
        {},
        ["x"],
        [{"min_prompt_tokens": "many", "prompt": "1"}],
        [{"min_prompt_tokens": 5, "prompt": "-1"}],
        [{"utc_start": "1630", "prompt": "0.1"}],
        [{"utc_start": "1675", "utc_end": "1700", "prompt": "0.1"}],
        [{"utc_start": "2500", "utc_end": "0100", "prompt": "0.1"}],
    ],
)
def test_malformed_overrides_raise(overrides: object) -> None:
    if overrides == {}:
        overrides = {"prompt": "1"}
    with pytest.raises(PriceError):
        listed_price(overrides=overrides)


# The catalogue


def test_one_bad_price_leaves_the_others() -> None:
    models = [listed_model(f"a/m{i}") for i in range(20)]
    models.append(listed_model("a/bad", pricing={"prompt": "-3", "completion": "0"}))
    catalogue = parse_price_list({"data": models})
    assert catalogue.entries["a/m0"].price is not None
    bad = catalogue.entries["a/bad"]
    assert bad.price is None
    assert bad.reason is not None
    assert "-3" in bad.reason


@pytest.mark.parametrize(
    "payload",
    [
        None,
        [],
        {},
        {"data": []},
        {"data": {}},
        {"data": ["x"]},
        {"data": [{"id": 5}]},
        {"data": [{"name": "no id"}]},
        {"error": {"message": "busy"}},
        {"data": [listed_model("a/b", pricing={"prompt": "NaN", "completion": "0"})]},
        {
            "data": [
                listed_model(f"a/m{i}", pricing={"prompt": 0.5, "completion": "0"} if i < 12 else None)
                for i in range(99)
            ]
        },
    ],
)
def test_a_malformed_list_is_refused_whole(payload: object) -> None:
    with pytest.raises(PriceError):
        parse_price_list(payload)


def test_a_model_that_is_listed_twice_costs_the_dearer_price() -> None:
    cheap = listed_model("a/b", pricing={"prompt": "0.000001", "completion": "0.000009"})
    dear = listed_model("a/b", pricing={"prompt": "0.000002", "completion": "0.000003"})
    unread = listed_model("a/b", pricing={"prompt": "x", "completion": "0"})
    for twins in ([cheap, dear], [dear, cheap], [unread, cheap, dear], [cheap, unread, dear], [dear, cheap, unread]):
        price = parse_price_list({"data": [*twins, listed_model("a/c")]}).entries["a/b"].price
        assert price is not None
        assert (price.input_ausd, price.output_ausd) == (2 * 10**12, 9 * 10**12)


def test_what_has_no_id_is_left_out() -> None:
    """One flaw costs one entry."""
    flawed = [None, 5, {}, {"id": 7}, {"id": ""}, listed_model("a/b")]
    assert set(parse_price_list({"data": [*flawed, listed_model("a/c")]}).entries) == {"a/b", "a/c"}


def _catalogue() -> PriceList:
    free = {"prompt": "0", "completion": "0"}
    dynamic = {"prompt": "-1", "completion": "-1"}
    return parse_price_list(
        {
            "data": [
                listed_model("deepseek/r1:free", pricing=free, canonical_slug="deepseek/r1-0528"),
                listed_model("deepseek/r1", canonical_slug="deepseek/r1-0528"),
                listed_model("only/free:free", pricing=free, canonical_slug="only/free"),
                listed_model("anthropic/claude-sonnet-4.5", canonical_slug="anthropic/claude-4.5-sonnet-20250929"),
                listed_model("~anthropic/claude-latest", pricing=dynamic, alias_target="anthropic/claude-sonnet-4.5"),
                listed_model("~x/latest", pricing=dynamic, alias_target={"slug": "deepseek/r1"}),
                listed_model("openrouter/auto", pricing=dynamic),
            ]
        }
    )


@pytest.mark.parametrize(
    ("name", "expected", "suffix"),
    [
        ("deepseek/r1", "deepseek/r1", None),
        ("deepseek/r1:free", "deepseek/r1:free", None),
        ("deepseek/r1-0528", "deepseek/r1", None),  # never the free one that shares the slug
        ("anthropic/claude-4.5-sonnet-20250929", "anthropic/claude-sonnet-4.5", None),
        ("anthropic/claude-4.5-sonnet-20250929:nitro", "anthropic/claude-sonnet-4.5", "nitro"),
        ("anthropic/claude-sonnet-4.5:floor", "anthropic/claude-sonnet-4.5", "floor"),
        ("anthropic/claude-sonnet-4.5:exacto", "anthropic/claude-sonnet-4.5", "exacto"),
        ("anthropic/claude-sonnet-4.5:online", "anthropic/claude-sonnet-4.5", "online"),
        ("~anthropic/claude-latest", "anthropic/claude-sonnet-4.5", None),
        ("~x/latest", "deepseek/r1", None),
        ("openrouter/auto", "openrouter/auto", None),
        ("deepseek/r1:free:online", "deepseek/r1:free", "online"),
    ],
)
def test_a_model_is_found_by_all_its_names(name: str, expected: str, suffix: str | None) -> None:
    found = find_price(_catalogue(), name)
    assert found is not None
    assert (found.entry.id, found.suffix) == (expected, suffix)


@pytest.mark.parametrize(
    "name",
    ["anthropic/claude-sonnet-4.5:free", "only/free", "deepseek/r1:thinking", "nobody/knows", "", ":online"],
)
def test_a_variant_that_is_not_listed_is_unknown(name: str) -> None:
    assert find_price(_catalogue(), name) is None


def test_a_router_has_no_price() -> None:
    found = find_price(_catalogue(), "openrouter/auto")
    assert found is not None
    assert found.price is None
    assert found.entry.reason is not None


def _list_of(prices: dict[str, str]) -> PriceList:
    return parse_price_list(
        {
            "data": [
                listed_model(name, pricing={"prompt": prompt, "completion": "0.00001"})
                for name, prompt in prices.items()
            ]
        }
    )


def test_a_move_of_more_than_tenfold_is_held_back_on_the_dear_side() -> None:
    names = {f"a/m{i}": "0.000001" for i in range(40)}
    old = _list_of(names)
    new = _list_of({**names, "a/m1": "0.0000000999", "a/m2": "0.00001", "a/m3": "0.0000101", "a/m4": "0"})
    moves = diff_price_lists(old, new)
    assert [(m.model, m.before, m.after) for m in moves] == [
        ("a/m1", 10**12, 999 * 10**8),
        ("a/m3", 10**12, 101 * 10**11),
        ("a/m4", 10**12, 0),
    ]
    merged, held = accept_refresh(old, new)
    assert held == moves
    expected = {"a/m1": 10**12, "a/m2": 10**13, "a/m3": 101 * 10**11, "a/m4": 10**12, "a/m5": 10**12}
    for name, ausd in expected.items():
        price = merged.entries[name].price
        assert price is not None
        assert price.input_ausd == ausd
    again, held = accept_refresh(merged, new, accepted=frozenset({"a/m1", "a/m4"}))
    assert held == []
    lowered = again.entries["a/m4"].price
    assert lowered is not None
    assert lowered.input_ausd == 0


def test_a_list_that_changed_its_unit_is_refused_whole() -> None:
    names = {f"a/m{i}": "0.000001" for i in range(40)}
    with pytest.raises(PriceError, match="40 of 40"):
        accept_refresh(_list_of(names), _list_of(dict.fromkeys(names, "1")))
