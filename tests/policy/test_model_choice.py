"""Which models can do a job, and in which order: by tables, and by what holds for any candidates."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from proxy.policy.model_choice import (
    NEEDS,
    ChoiceRules,
    ChoiceWeights,
    JobNeeds,
    ModelCandidate,
    choose_models,
    lacking,
    quality_of,
    read_job_needs,
)
from proxy.policy.model_features import ModelFeatures
from proxy.policy.pricing import BodyFacts, Price, estimate_pusd, read_facts

USD_M = 10**12  # one USD for a million tokens, in atto-USD a token
CHEAP, DEAR = Price(USD_M, USD_M), Price(8 * USD_M, 8 * USD_M)
JOB = BodyFacts(40_000, 1000)
TALK: list[Any] = [{"role": "user", "content": "Hi"}]


def names(candidates: list[ModelCandidate], **rules: Any) -> list[str]:
    choice = choose_models(candidates, JobNeeds(), JOB, ChoiceRules(**rules))
    return [candidates[one.position].name for one in choice.ranked]


@pytest.mark.parametrize(
    ("body", "features"),
    [
        ({"messages": TALK}, {"text"}),
        ({"messages": TALK, "tools": [{"type": "function"}]}, {"text", "tools"}),
        ({"messages": TALK, "response_format": {"type": "json_object"}}, {"text", "json"}),
        ({"messages": TALK, "response_format": {"type": "json_schema"}}, {"text", "structured"}),
        ({"messages": TALK, "text": {"format": {"type": "json_schema"}}}, {"text", "structured"}),
        ({"messages": TALK, "output_config": {"format": {"type": "json_schema"}}}, {"text", "structured"}),
        ({"messages": TALK, "reasoning_effort": "low"}, {"text", "reasoning"}),
        ({"messages": TALK, "reasoning_effort": "none"}, {"text"}),
        ({"messages": [_image := {"role": "user", "content": [{"type": "image_url"}]}]}, {"text", "vision"}),
        ({"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}, {"text", "audio"}),
        ({"messages": [{"role": "user", "content": [{"type": "file"}]}]}, {"text", "files"}),
        ({"messages": [{"role": "user", "content": [{"type": "document"}]}]}, {"text", "files"}),
    ],
)
def test_what_a_body_needs(body: dict[str, Any], features: set[str]) -> None:
    assert read_job_needs(body, read_facts(body, 400, "chat")).features == features


def test_the_context_is_that_of_prompt_and_answer() -> None:
    body = {"messages": TALK, "max_tokens": 500}
    assert read_job_needs(body, read_facts(body, 4000, "chat")).context_tokens == 1500
    del body["max_tokens"]
    assert read_job_needs(body, read_facts(body, 4000, "chat")).context_tokens == 1000
    assert read_job_needs({"input": "x"}, read_facts({"input": "x"}, 40, "embeddings"), "embeddings").features == {
        "embeddings"
    }


def test_one_that_cannot_is_left_out_and_one_of_which_nothing_is_said_may() -> None:
    candidates = [
        ModelCandidate("no", CHEAP, supports=ModelFeatures(tools=False, vision=False)),
        ModelCandidate("short", CHEAP, 1000),
        ModelCandidate("unknown", CHEAP),
        ModelCandidate("yes", CHEAP, 10_000, ModelFeatures(tools=True, vision=True)),
    ]
    choice = choose_models(candidates, JobNeeds(frozenset({"tools", "vision"}), 2000), JOB, ChoiceRules())
    assert [candidates[one.position].name for one in choice.ranked] == ["unknown", "yes"]
    assert {candidates[one.position].name: one.reason for one in choice.rejected} == {
        "no": "it does not take tools and images",
        "short": "its context of 1000 tokens is too small for about 2000",
    }
    assert choice.missing == ()


def test_what_is_recommended_is_known_to_be_able() -> None:
    able = ModelFeatures(tools=True)
    candidates = [ModelCandidate("unknown", CHEAP), ModelCandidate("short", CHEAP, None, able)]
    candidates += [ModelCandidate("yes", CHEAP, 10_000, able)]
    needs = JobNeeds(frozenset({"tools", "text"}), 2000)
    choice = choose_models(candidates, needs, JOB, ChoiceRules(only_known=True))
    assert [candidates[one.position].name for one in choice.ranked] == ["yes"]
    assert [one.reason for one in choice.rejected] == [
        "its list does not say whether it takes tools and 2000 tokens",
        "its list does not say whether it takes 2000 tokens",
    ]


def test_the_need_that_none_fulfils_is_named() -> None:
    tools, eyes = ModelFeatures(tools=True, vision=False), ModelFeatures(tools=False, vision=True)
    candidates = [ModelCandidate("a", CHEAP, 1000, tools), ModelCandidate("b", CHEAP, 1000, tools)]
    both = JobNeeds(frozenset({"tools", "vision", "text"}), 10)
    assert choose_models(candidates, both, JOB, ChoiceRules()).missing == ("images",)
    apart = [candidates[0], ModelCandidate("c", CHEAP, 1000, eyes)]
    assert choose_models(apart, both, JOB, ChoiceRules()).missing[:2] == ("tools", "images")
    long = choose_models(candidates, JobNeeds(frozenset({"text"}), 5000), JOB, ChoiceRules())
    assert long.missing == ("a context of about 5000 tokens",)


def test_price_speed_errors_and_quality_each_count() -> None:
    cheap, dear = ModelCandidate("cheap", CHEAP), ModelCandidate("dear", DEAR)
    assert names([dear, cheap]) == ["cheap", "dear"]
    assert names([cheap, dear._replace(quality=1.0)]) == ["dear", "cheap"], "three doublings against four points"
    assert names([cheap, dear._replace(quality=1.0)], weights=ChoiceWeights(quality=0.5)) == ["cheap", "dear"]
    slow = cheap._replace(name="slow", latency_ms=8000.0)
    assert names([slow, cheap._replace(latency_ms=400.0)]) == ["cheap", "slow"]
    assert names([slow, cheap._replace(latency_ms=400.0)], weights=ChoiceWeights(speed=0)) == ["slow", "cheap"]
    assert names([cheap._replace(name="bad", error_rate=0.5), cheap]) == ["cheap", "bad"]


def test_an_unknown_price_comes_last_or_not_at_all() -> None:
    candidates = [ModelCandidate("unknown", quality=1.0), ModelCandidate("dear", DEAR)]
    assert names(candidates) == ["dear", "unknown"]
    assert names(candidates, needs_price=True) == ["dear"]
    assert names(candidates, max_mix_ausd=4000 * USD_M) == []
    assert names(candidates, max_mix_ausd=8000 * USD_M) == ["dear"]


def test_an_open_breaker_leaves_out_as_long_as_others_are_left() -> None:
    one, other = ModelCandidate("one", CHEAP, breaker="open"), ModelCandidate("other", DEAR)
    assert names([one, other]) == ["other"]
    assert names([one, other._replace(breaker="open")]) == ["one", "other"]


FEATURES = st.builds(ModelFeatures, **{name: st.sampled_from([True, False, None]) for name in ModelFeatures._fields})
PRICES = st.one_of(
    st.none(), st.builds(Price, st.integers(0, 20 * USD_M), st.integers(0, 50 * USD_M), request_pusd=st.integers(0, 9))
)
CANDIDATES = st.lists(
    st.builds(
        ModelCandidate,
        st.text("ab", min_size=1, max_size=3),
        PRICES,
        st.sampled_from([None, 100, 20_000]),
        FEATURES,
        st.sampled_from([None, 1.0, 5000.0]),
        st.sampled_from([None, 0.0, 0.5, 1.0]),
        st.sampled_from(["closed", "open", "probing"]),
        st.sampled_from([None, 0.0, 1.0]),
    ),
    max_size=8,
)


@settings(max_examples=60)
@given(CANDIDATES, st.sets(st.sampled_from(sorted(NEEDS))), st.sampled_from([0, 500]), st.sampled_from([None, 1, 3]))
def test_any_candidates(
    candidates: list[ModelCandidate], features: set[str], tokens: int, models_max: int | None
) -> None:
    needs, rules = JobNeeds(frozenset(features), tokens), ChoiceRules(models_max=models_max)
    choice = choose_models(candidates, needs, JOB, rules)
    assert choice == choose_models(candidates, needs, JOB, rules), "equal inputs, equal outputs"
    places = [one.position for one in choice.ranked] + [one.position for one in choice.rejected]
    assert sorted(places) == list(range(len(candidates))), "each is chosen, or left out for a reason"
    for ranked in choice.ranked:
        one = candidates[ranked.position]
        assert not lacking(needs, one.supports)
        assert one.context_tokens is None or tokens <= one.context_tokens
        assert ranked.cost_pusd == (None if one.price is None else estimate_pusd(one.price, JOB))
    assert models_max is None or len(choice.ranked) <= models_max
    assert all(one.reason for one in choice.rejected)
    whole = choose_models(candidates, needs, JOB, replace_max(rules))
    assert whole.ranked[: len(choice.ranked)] == choice.ranked, "what is cut is the end"
    if not choice.ranked and candidates and (features - {"text"} or tokens):
        assert choice.missing


def replace_max(rules: ChoiceRules) -> ChoiceRules:
    return rules._replace(models_max=None)


@settings(max_examples=20)
@given(st.integers(1, 10**6), st.integers(1, 10**6))
def test_cheaper_goes_first_where_all_else_is_alike(one: int, other: int) -> None:
    candidates = [ModelCandidate("a", Price(one, one)), ModelCandidate("b", Price(other, other))]
    facts = replace(JOB, size_bytes=10**6)
    first = choose_models(candidates, JobNeeds(), facts, ChoiceRules()).ranked[0]
    assert first.cost_pusd == min(estimate_pusd(one.price, facts) for one in candidates if one.price is not None)


def test_the_first_pattern_that_fits_any_name_gives_the_quality() -> None:
    scores = [("openai/gpt-5", 1.0), ("openai/*", 0.5)]
    assert quality_of(("router/openai/gpt-5", "openai/gpt-5"), scores) == 1.0
    assert quality_of(("openai/gpt-4o",), scores) == 0.5
    assert quality_of(("x",), scores) is None
