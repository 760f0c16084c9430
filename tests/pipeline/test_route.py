"""Where a model name leads, and with what body: names, presets, lists of a client, use cases, what is not allowed."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from proxy.config.schema import Settings
from proxy.core.errors import CallerError
from proxy.pipeline.routing.route import plan_route
from proxy.pipeline.routing.targets import RouteTable, TargetsByName
from proxy.pipeline.values.allowance import Allowance
from proxy.pipeline.values.identity import Identity
from proxy.pipeline.values.preset import PresetRow
from proxy.pipeline.values.route import Route, Target
from proxy.policy.prompt_template import Variable
from proxy.wire.endpoint import CHAT, EMBEDDINGS, Endpoint

SETTINGS = Settings.read(
    {"providers": {"openrouter": {"api_key": "sk-x"}, "local": {"base_url": "http://127.0.0.1:9/v1"}}}
)
FAST, SLOW = Target("openrouter", "a/fast"), Target("local", "slow")
CANNED = Target("static", "static", static="phone")
PRESETS = {
    "two": PresetRow("two", (FAST, SLOW), {"temperature": 0.2, "max_tokens": 50}, use_case="sms"),
    "limited": PresetRow("limited", (SLOW,), use_case="sms", is_limited=True),
    "canned": PresetRow("canned", (CANNED,)),
    "phone": PresetRow("phone", (FAST, CANNED)),
    "greets": PresetRow(
        "greets",
        (FAST,),
        system="Greet {name} in {tongue}.",
        variables={"name": Variable(), "tongue": Variable("English")},
    ),
}
ASKED: dict[str, Any] = {"messages": [{"role": "user", "content": "Hi"}]}


def identity(models: Sequence[str] | None = None) -> Identity:
    allowed = None if models is None else tuple(models)
    return Identity("anna", None, "t", Allowance(("user:anna", "all"), (), allowed, None, False, False, False))


def planned(
    body: Mapping[str, Any],
    models: Sequence[str] | None = None,
    use_case: str | None = None,
    endpoint: Endpoint = CHAT,
    use_cases: Mapping[str, str] = {},
) -> Route:
    table = RouteTable(PRESETS, TargetsByName(SETTINGS.providers), use_cases)
    return plan_route({**ASKED, **body}, identity(models), table, use_case, endpoint)


@pytest.mark.parametrize(
    ("model", "target"),
    [
        ("openai/gpt-5", Target("openrouter", "openai/gpt-5")),  # the default provider takes names with a slash
        ("local/llama", Target("local", "llama")),
        ("local/org/llama", Target("local", "org/llama")),
        ("gpt-5", Target("openrouter", "gpt-5")),
    ],
)
def test_a_name_is_a_target(model: str, target: Target) -> None:
    route = planned({"model": model})
    assert (route.targets, route.requested_model, route.preset) == ((target,), model, None)
    assert route.body == {**ASKED, "model": model}


def test_a_preset_goes_under_what_the_client_says() -> None:
    route = planned({"model": "two", "temperature": 1})
    assert (route.targets, route.preset, route.use_case) == ((FAST, SLOW), "two", "sms")
    assert (route.body["temperature"], route.body["max_tokens"]) == (1, 50)
    assert "max_tokens" not in route.sent  # what the client sent is kept as it was
    assert route.writes_maximum


def test_a_list_of_models_follows_and_each_target_comes_once() -> None:
    route = planned({"model": "openai/gpt-5", "models": ["two", "a/fast", "local/slow", "b/c"]})
    assert route.targets == (Target("openrouter", "openai/gpt-5"), FAST, SLOW, Target("openrouter", "b/c"))
    assert "models" not in route.body  # each is asked, priced and booked by itself


def test_canned_answers_come_last() -> None:
    route = planned({"model": "phone", "models": ["local/slow"]})
    assert route.targets == (FAST, SLOW, CANNED)


def test_canned_answers_are_chat_completions() -> None:
    assert planned({"model": "canned"}).targets == (CANNED,)
    assert planned({"model": "phone", "input": "x"}, endpoint=EMBEDDINGS).targets == (FAST,)
    with pytest.raises(CallerError) as caught:
        planned({"model": "canned", "input": "x"}, endpoint=EMBEDDINGS)
    assert (caught.value.status, caught.value.param) == (400, "model")


@pytest.mark.parametrize("body", [{"model": "b/c"}, {"model": "a/fast", "models": ["b/c"]}])
def test_what_a_user_may_not_use(body: dict[str, Any]) -> None:
    with pytest.raises(CallerError) as caught:
        planned(body, models=["a/*", "two"])
    assert (caught.value.status, caught.value.code) == (403, "model_not_allowed")
    assert '"b/c"' in caught.value.message
    assert planned({"model": "two"}, models=["a/*", "two"]).targets == (
        FAST,
        SLOW,
    )


def test_a_use_case_chooses_a_preset_for_a_name_that_is_none() -> None:
    route = planned({"model": "gpt-5"}, use_case="sms", use_cases={"sms": "two"})
    assert (route.preset, route.requested_model, route.use_case) == ("two", "gpt-5", "sms")
    assert planned({"model": "limited"}, use_case="chat", use_cases={"chat": "two"}).preset == "limited"
    with pytest.raises(CallerError):  # the preset has to be allowed, not the name that led there
        planned({"model": "gpt-5"}, ["gpt-5"], "sms", use_cases={"sms": "two"})


def test_no_header_leads_around_a_limited_use_case() -> None:
    assert planned({"model": "limited"}, use_case="other").use_case == "sms"
    assert planned({"model": "two"}, use_case="other").use_case == "other"
    assert planned({"model": "gpt-5"}, use_case="other").use_case == "other"


def test_a_prompt_is_filled_and_its_variables_go_no_further() -> None:
    route = planned({"model": "greets", "metadata": {"name": "Bo", "trace": "7"}})
    assert route.body["messages"][0] == {"role": "system", "content": "Greet Bo in English."}
    assert route.body["messages"][1:] == ASKED["messages"]
    assert route.body["metadata"] == {"trace": "7"}
    assert "metadata" not in planned({"model": "greets", "metadata": {"name": "Bo"}}).body


@pytest.mark.parametrize(
    ("metadata", "code"),
    [({}, "missing_required_parameter"), ({"name": ["Bo"]}, "invalid_value"), ("x", "missing_required_parameter")],
)
def test_a_variable_that_cannot_be_filled(metadata: Any, code: str) -> None:
    with pytest.raises(CallerError) as caught:
        planned({"model": "greets", "metadata": metadata})
    assert (caught.value.status, caught.value.code, caught.value.param) == (400, code, "metadata.name")


# What each target gets


def test_the_bound_of_each_target() -> None:
    route = planned({"model": "two"}).within(40)
    assert (route.body["max_tokens"], route.max_tokens) == (40, 40)
    held = route.with_maxima({("openrouter", "a/fast"): 30, ("local", "slow"): None})
    assert held.body_for(FAST)["max_tokens"] == 30
    assert "max_tokens" not in held.body_for(SLOW)  # left out there
    assert held.with_bound(FAST, 10).body_for(FAST)["max_tokens"] == 10
    assert held.unraised().body_for(FAST)["max_tokens"] == 40


def test_defaults_of_a_target_stand_under_the_client_and_over_the_preset() -> None:
    own = Target("openrouter", "a/fast", defaults={"temperature": 0.9, "top_p": 0.5}, handed=("b", "c"))
    route = planned({"model": "two", "top_p": 0.1})
    body = route.body_for(own)
    assert (body["temperature"], body["top_p"], body["models"]) == (0.9, 0.1, ["b", "c"])
    assert route.body_for(FAST) is route.body  # untouched where there is nothing to write
    assert route.body["temperature"] == 0.2


def test_a_bound_that_is_meant_for_the_answer_has_room_to_think() -> None:
    route = planned({"model": "two", "reasoning": {"max_tokens": 2000}})
    assert route.body["max_tokens"] == 2050
    assert planned({"model": "two", "reasoning": {"max_tokens": 2000}, "max_tokens": 60}).body["max_tokens"] == 60
