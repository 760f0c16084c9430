"""Prices are read exactly, and the worst case of a request is never below what its usage can cost."""

import dataclasses
import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.counts import Counts
from proxy.policy.pricing import (
    FLOOR_TOKENS,
    BodyFacts,
    Charge,
    ClampedOutput,
    Override,
    Price,
    PriceError,
    PriceList,
    PriceListEntry,
    UnaffordableOutput,
    UnboundedError,
    accept_refresh,
    charge,
    clamp_output_tokens,
    cost_from_usage_pusd,
    diff_price_lists,
    find_price,
    floor_tokens,
    input_bound_tokens,
    maximum_to_write,
    output_limit_tokens,
    read_facts,
    unpriced_features,
    worst_case_pusd,
)
from proxy.providers.openrouter_prices import parse_openrouter_model, parse_price_list
from proxy.wire.body import BodyError
from proxy.wire.endpoint import ENDPOINTS, Endpoint
from tests.policy.made_price import price_from_config
from tests.support.sampling import count


def _model(model_id: str = "openai/gpt-4o-mini", pricing: object = None, **more: object) -> dict[str, object]:
    entry: dict[str, object] = {
        "id": model_id,
        "canonical_slug": model_id,
        "context_length": 128000,
        "pricing": {"prompt": "0.00000015", "completion": "0.0000006"} if pricing is None else pricing,
        "top_provider": {"context_length": 128000, "max_completion_tokens": 16384},
    }
    return {**entry, **more}


def _price(**pricing: object) -> Price:
    base = {"prompt": "0.000003", "completion": "0.000015"}
    price, reason = parse_openrouter_model(_model(pricing={**base, **pricing}))
    assert price is not None, reason
    return price


# Reading a price list


def test_prices_are_read_as_whole_atto_usd() -> None:
    price, reason = parse_openrouter_model(
        _model(
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
    price, _ = parse_openrouter_model(_model(pricing={"prompt": str(exact), "completion": "0"}))
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
        parse_openrouter_model(_model(pricing={"prompt": text, "completion": "0"} if text is not None else {}))


@pytest.mark.parametrize("key", ["prompt", "completion"])
def test_a_price_that_is_null_is_missing(key: str) -> None:
    """It leaves its model without one, and the rest of the list is taken."""
    pricing = {"prompt": "0.000001", "completion": "0.000002", key: None}
    with pytest.raises(PriceError, match=f"pricing.{key} is missing"):
        parse_openrouter_model(_model(pricing=pricing))
    entries = parse_price_list({"data": [_model("bad/one", pricing=pricing), *[_model(f"m/{n}") for n in range(9)]]})
    assert entries.entries["bad/one"].price is None
    assert entries.entries["m/3"].price is not None


@pytest.mark.parametrize("key", ["prompt", "completion", "request", "input_cache_read"])
def test_minus_one_is_a_dynamic_price_and_never_a_number(key: str) -> None:
    price, reason = parse_openrouter_model(_model(pricing={"prompt": "0", "completion": "0", key: "-1"}))
    assert price is None
    assert reason is not None


def test_zero_is_a_real_price() -> None:
    price, _ = parse_openrouter_model(_model("m/x:free", pricing={"prompt": "0", "completion": "0"}))
    assert price is not None
    assert price.is_free
    assert worst_case_pusd([price], BodyFacts(5000)) == 0


def test_a_free_price_with_a_costly_override_is_not_free() -> None:
    assert not _price(prompt="0", completion="0", overrides=[{"min_prompt_tokens": 10, "prompt": "0.000001"}]).is_free


@pytest.mark.parametrize("discount", [-0.1, 1.5, "0.1", True])
def test_a_discount_out_of_range_raises(discount: object) -> None:
    with pytest.raises(PriceError, match="discount"):
        _price(discount=discount)


def test_a_discount_never_lowers_the_bound() -> None:
    assert _price(discount=0.5) == _price()


def test_price_keys_not_known_here_count_by_their_family_or_are_named() -> None:
    price = _price(input_video="0.00001", hologram_output="0.0001", teleport="0.5", nothing="0")
    assert price.other_input_ausd == 10**13
    assert price.other_output_ausd == 10**14
    assert price.unpriced == ("price key teleport",)
    assert unpriced_features(BodyFacts(1), [price]) == ["price key teleport"]
    assert worst_case_pusd([price], BodyFacts(744, 1)) == (744 + 256) * 10**7 + 10**8


def test_models_that_search_by_themselves_are_named() -> None:
    pricing = {"prompt": "0.000001", "completion": "0.000001", "web_search": "0.005"}
    price, _ = parse_openrouter_model(_model("perplexity/sonar", pricing=pricing))
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
        _price(overrides=overrides)


def test_a_price_of_the_configuration_is_per_million_tokens() -> None:
    price = price_from_config(input=Decimal("0.25"), output="2", cached="0.025", image="0.001")
    assert (price.input_ausd, price.output_ausd, price.cached_ausd) == (25 * 10**10, 2 * 10**12, 25 * 10**9)
    assert price.image_pusd == 10**9
    with pytest.raises(PriceError, match="output"):
        price_from_config(input="1", output="-1")
    with pytest.raises(PriceError, match="request"):
        price_from_config(input="1", output="1", request="NaN")


# The catalogue


def test_one_bad_price_leaves_the_others() -> None:
    models = [_model(f"a/m{i}") for i in range(20)]
    models.append(_model("a/bad", pricing={"prompt": "-3", "completion": "0"}))
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
        {"data": [_model("a/b", pricing={"prompt": "NaN", "completion": "0"})]},
        {
            "data": [
                _model(f"a/m{i}", pricing={"prompt": 0.5, "completion": "0"} if i < 12 else None) for i in range(99)
            ]
        },
    ],
)
def test_a_malformed_list_is_refused_whole(payload: object) -> None:
    with pytest.raises(PriceError):
        parse_price_list(payload)


def test_a_model_that_is_listed_twice_costs_the_dearer_price() -> None:
    cheap = _model("a/b", pricing={"prompt": "0.000001", "completion": "0.000009"})
    dear = _model("a/b", pricing={"prompt": "0.000002", "completion": "0.000003"})
    unread = _model("a/b", pricing={"prompt": "x", "completion": "0"})
    for twins in ([cheap, dear], [dear, cheap], [unread, cheap, dear], [cheap, unread, dear], [dear, cheap, unread]):
        price = parse_price_list({"data": [*twins, _model("a/c")]}).entries["a/b"].price
        assert price is not None
        assert (price.input_ausd, price.output_ausd) == (2 * 10**12, 9 * 10**12)


def test_what_has_no_id_is_left_out() -> None:
    """One flaw costs one entry."""
    flawed = [None, 5, {}, {"id": 7}, {"id": ""}, _model("a/b")]
    assert set(parse_price_list({"data": [*flawed, _model("a/c")]}).entries) == {"a/b", "a/c"}


def _catalogue() -> PriceList:
    free = {"prompt": "0", "completion": "0"}
    dynamic = {"prompt": "-1", "completion": "-1"}
    return parse_price_list(
        {
            "data": [
                _model("deepseek/r1:free", pricing=free, canonical_slug="deepseek/r1-0528"),
                _model("deepseek/r1", canonical_slug="deepseek/r1-0528"),
                _model("only/free:free", pricing=free, canonical_slug="only/free"),
                _model("anthropic/claude-sonnet-4.5", canonical_slug="anthropic/claude-4.5-sonnet-20250929"),
                _model("~anthropic/claude-latest", pricing=dynamic, alias_target="anthropic/claude-sonnet-4.5"),
                _model("~x/latest", pricing=dynamic, alias_target={"slug": "deepseek/r1"}),
                _model("openrouter/auto", pricing=dynamic),
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
        {"data": [_model(name, pricing={"prompt": prompt, "completion": "0.00001"}) for name, prompt in prices.items()]}
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


# Facts of a body


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


def test_a_thinking_budget_is_not_cut_into() -> None:
    """The provider refuses a maximum that is not above the budget, so that one is refused here with the true price."""
    body: dict[str, object] = {"model": "a/b", "max_tokens": 32000, "thinking": {"budget_tokens": 2000}}
    for endpoint, fields in (("messages", body), ("chat", {**body, "reasoning": {"max_tokens": 2000}})):
        facts = _facts(fields, endpoint)
        needed = worst_case_pusd([GPT], facts, 2001)
        assert clamp_output_tokens([GPT], facts, needed) == ClampedOutput(2001, needed, lowered=True)
        assert clamp_output_tokens([GPT], facts, needed - 1) == UnaffordableOutput(needed, 2001, 2000)


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


def test_image_output_needs_a_price() -> None:
    facts = _facts({"model": "a/b", "messages": [], "modalities": ["text", "image"]})
    assert unpriced_features(facts, [_price()]) == ["image output"]
    assert unpriced_features(facts, [_price(image_output="0.00003")]) == []


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
    price = _price(overrides=[{"min_prompt_tokens": 10000, "prompt": "0.000006", "completion": "0.0000225"}])
    assert worst_case_pusd([price], BodyFacts(10000 - 256, 100)) == 10000 * 3 * 10**6 + 100 * 15 * 10**6
    assert worst_case_pusd([price], BodyFacts(10001 - 256, 100)) == 10001 * 6 * 10**6 + 100 * 225 * 10**5


def test_a_price_by_time_of_day_always_counts() -> None:
    price = _price(overrides=[{"utc_start": "2200", "utc_end": "0600", "prompt": "0.00001"}])
    assert worst_case_pusd([price], BodyFacts(744, 0)) == 10**10
    assert cost_from_usage_pusd(price, 100, 0, minute_utc=12 * 60) == 100 * 3 * 10**6
    assert cost_from_usage_pusd(price, 100, 0, minute_utc=0) == 10**9
    assert cost_from_usage_pusd(price, 100, 0, minute_utc=6 * 60) == 100 * 3 * 10**6
    assert cost_from_usage_pusd(price, 100, 0) == 10**9


def test_cached_and_written_tokens_have_their_own_price() -> None:
    price = _price(input_cache_read="0.0000003", input_cache_write="0.00000375")
    assert cost_from_usage_pusd(price, 1000, 10, 600, 100) == (300 * 30 + 600 * 3 + 10 * 150) * 10**5 + 375 * 10**6
    assert cost_from_usage_pusd(price, 10, 0, 9999) == 10 * 3 * 10**5
    assert cost_from_usage_pusd(_price(internal_reasoning="0.0001"), 0, 10, reasoning_tokens=4) == 490 * 10**6


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
    price = replace(price_from_config(input="2", output="8"), **listed)  # type: ignore[arg-type]
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


LIST = price_from_config(input="2", output="8", cached="0.2", cache_write="2.5", reasoning="9")
LIST = dataclasses.replace(
    LIST,
    cache_write_1h_ausd=4 * 10**12,
    audio_ausd=40 * 10**12,
    audio_output_ausd=80 * 10**12,
    image_token_ausd=3 * 10**12,
    image_output_ausd=30 * 10**12,
    image_pusd=10**9,
    web_search_pusd=10**10,
    request_pusd=7,
)
CLASSES = {  # one of each, and what it costs above a token of plain text, in pico-USD
    "cache_write_tokens": (Counts(cache_write_tokens=10), 10 * 500_000),
    "cache_write_1h_tokens": (Counts(cache_write_tokens=10, cache_write_1h_tokens=10), 10 * 2_000_000),
    "audio_input_tokens": (Counts(audio_input_tokens=10), 10 * 38_000_000),
    "audio_output_tokens": (Counts(audio_output_tokens=10), 10 * 72_000_000),
    "image_input_tokens": (Counts(image_input_tokens=10), 10 * 1_000_000),
    "image_output_tokens": (Counts(image_output_tokens=10), 10 * 22_000_000),
    "images": (Counts(images=10), 10 * 10**9),
    "searches": (Counts(searches=10), 10 * 10**10),
}


@pytest.mark.parametrize("name", CLASSES)
def test_each_class_at_its_own_price(name: str) -> None:
    counts, above_pusd = CLASSES[name]
    plain_pusd = 100 * 2_000_000 + 50 * 8_000_000 + 7
    assert charge(LIST, 100, 50).pusd == plain_pusd
    assert charge(LIST, 100, 50, counts=counts) == Charge(plain_pusd + above_pusd)


def test_what_has_no_price_of_its_own() -> None:
    """Written tokens cost what Anthropic asks, others as text; the row will say that it was assumed."""
    bare = price_from_config(input="2", output="8")
    for counts, pusd in (
        (Counts(cache_write_tokens=10), 10 * 2_500_000),
        (Counts(cache_write_tokens=10, cache_write_1h_tokens=10), 10 * 4_000_000),
        (Counts(audio_input_tokens=10), 10 * 2_000_000),
    ):
        assert charge(bare, 10, 0, counts=counts) == Charge(pusd, is_assumed=True)
    assert charge(bare, 10, 0, counts=Counts(cache_write_tokens=10), untold_life_tokens=10).pusd == 10 * 4_000_000
    assert charge(bare, 10, 10, counts=Counts(image_input_tokens=10)) == Charge(10 * 2_000_000 + 10 * 8_000_000)
    assert charge(bare, 0, 0, counts=Counts(searches=2)) == Charge(0, is_assumed=True)
    free = price_from_config(input="0", output="0")
    assert charge(free, 10, 0, counts=Counts(cache_write_tokens=10)) == Charge(0)


def test_a_life_that_nobody_tells() -> None:
    """One price stands for all that is written; of two the dearer is taken, and said so."""
    counts = Counts(cache_write_tokens=10)
    one = price_from_config(input="2", output="8", cache_write="2.5")
    assert charge(one, 10, 0, counts=counts, untold_life_tokens=10) == Charge(10 * 2_500_000)
    assert charge(LIST, 10, 0, counts=counts, untold_life_tokens=10) == Charge(10 * 4_000_000 + 7, is_untold=True)


def test_output_of_no_name_costs_the_most_that_text_can() -> None:
    assert charge(LIST, 0, 10, unnamed_tokens=4).pusd == 6 * 8_000_000 + 4 * 9_000_000 + 7


def test_parts_that_overlap_are_charged_the_dear_way() -> None:
    """Ten tokens that were cached, and of which six were sound: not sixteen, and none cheaper than it can be."""
    assert charge(LIST, 10, 0, 10, counts=Counts(audio_input_tokens=6)).pusd == 6 * 40_000_000 + 4 * 200_000 + 7


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
