"""What users and those above them prefer: the nearest counts, and nothing goes against what a client sent."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.config.preferences import PreferenceSettings
from proxy.core.errors import CallerError
from proxy.pipeline.routing.preferences import default_model, join_preferences, with_preferences
from proxy.pipeline.values.preferences import Preferences
from proxy.pipeline.values.route import Route, Target
from proxy.wire.endpoint import CHAT, EMBEDDINGS, MESSAGES, RESPONSES, Endpoint

ONE, TWO = Target("openrouter", "a/one", handed=("a/three",)), Target("openrouter", "a/two")
SENT: dict[str, Any] = {"model": "two", "messages": [{"role": "user", "content": "Hi"}]}

PRESETS = frozenset({"p1", "p2"})
LEVELS = st.lists(
    st.builds(
        lambda model, preset, **more: PreferenceSettings(
            default_model=model, default_preset=None if model else preset, **more
        ),
        st.sampled_from([None, "m1", "m2"]),
        st.sampled_from([None, "p1"]),
        parameters=st.dictionaries(st.sampled_from(["temperature", "top_p", "seed"]), st.integers(0, 2)),
        fallback=st.sampled_from([None, True, False]),
        cheapest=st.sampled_from([None, True, False]),
        use_cases=st.dictionaries(st.sampled_from(["sms", "mail"]), st.sampled_from(["p1", "p2"])),
    ),
    max_size=4,
)


@settings(max_examples=40)
@given(LEVELS)
def test_the_nearest_level_that_says_something_counts(levels: list[PreferenceSettings]) -> None:
    top = {"sms": "top", "fax": "top"}
    found = join_preferences(levels, top, PRESETS)
    if found is None:
        assert all(level.given <= set() or not _says(level) for level in levels)
        return
    for n, level in enumerate(levels):
        nearer = levels[:n]
        name = level.default_preset or level.default_model
        if name is not None and not any(one.default_preset or one.default_model for one in nearer):
            assert found.model == name
        for field in ("fallback", "cheapest"):
            value = getattr(level, field)
            if value is not None and all(getattr(one, field) is None for one in nearer):
                assert getattr(found, field) is value
        for field in ("parameters", "use_cases"):
            for key, value in getattr(level, field).items():
                if not any(key in getattr(one, field) for one in nearer):
                    assert getattr(found, field)[key] == value
    named = {key for level in levels for key in level.use_cases}
    assert {key: found.use_cases[key] for key in top if key not in named} == {
        key: "top" for key in top if key not in named
    }


def _says(level: PreferenceSettings) -> bool:
    return bool(
        level.default_model or level.default_preset or level.parameters or level.use_cases or level.cheapest
    ) or (level.fallback is False)


def test_nobody_without_preferences_pays_for_them() -> None:
    assert join_preferences([], {"sms": "p"}, PRESETS) is None
    assert (
        join_preferences([PreferenceSettings(), PreferenceSettings(fallback=True, cheapest=False)], {}, PRESETS) is None
    )


def test_a_preset_that_is_gone_counts_as_not_set() -> None:
    near = PreferenceSettings(default_preset="gone", use_cases={"sms": "gone", "mail": "p1"})
    far = PreferenceSettings(default_model="m1", use_cases={"sms": "p2"})
    found = join_preferences([near, far], {}, PRESETS)
    assert found is not None
    assert (found.model, found.use_cases) == ("m1", {"sms": "p2", "mail": "p1"})
    assert join_preferences([PreferenceSettings(default_preset="gone")], {}, PRESETS) is None


@pytest.mark.parametrize(
    ("preferences", "use_case", "model"),
    [
        (None, None, None),
        (None, "sms", "p"),
        (None, "other", None),
        (Preferences(model="m", use_cases={"sms": "own"}), "sms", "own"),
        (Preferences(model="m", use_cases={"sms": "own"}), "other", "m"),
        (Preferences(use_cases={"sms": "own"}), None, None),
    ],
)
def test_a_use_case_says_more_than_the_default(
    preferences: Preferences | None, use_case: str | None, model: str | None
) -> None:
    assert default_model(preferences, {"sms": "p"}, use_case) == model


def route(body: dict[str, Any], asked: dict[str, Any] | None = None, endpoint: Endpoint = CHAT) -> Route:
    return Route((ONE, TWO), body, "two", None, "two", asked=asked, endpoint=endpoint)


def test_parameters_lie_under_the_client_and_the_preset() -> None:
    merged = {"temperature": 0.2, **SENT, "top_p": 1}
    found = with_preferences(
        route(merged, {**SENT, "top_p": 1}),
        Preferences(parameters={"temperature": 0, "top_p": 0, "seed": 7}),
        lists_models=False,
    )
    assert found.body == {"seed": 7, **merged}
    assert found.sent == {**SENT, "top_p": 1}


def test_a_null_of_the_client_is_nothing_sent_but_one_of_the_preset_is_its_word() -> None:
    sent = {**SENT, "temperature": None, "seed": None}
    found = with_preferences(
        route({"top_p": None, **sent}, sent), Preferences(parameters={"temperature": 0, "top_p": 0}), lists_models=False
    )
    assert found.body == {**sent, "temperature": 0, "top_p": None}
    with pytest.raises(CallerError):  # what it fills in is checked as what the client sends
        with_preferences(route({**SENT, "n": None}), Preferences(parameters={"n": 0}), lists_models=False)


def test_a_body_that_lacks_nothing_stays_the_very_same() -> None:
    planned = route({**SENT, "temperature": 1})
    found = with_preferences(planned, Preferences(parameters={"temperature": 0}), lists_models=False)
    assert found is planned


@pytest.mark.parametrize(
    ("endpoint", "body", "expected"),
    [
        (CHAT, SENT, {"max_tokens": 20, "temperature": 0}),
        (RESPONSES, {"model": "two", "input": "Hi"}, {"max_output_tokens": 20, "temperature": 0}),
        (MESSAGES, {**SENT, "max_tokens": 3}, {"max_tokens": 3, "temperature": 0}),
        (EMBEDDINGS, {"model": "two", "input": "Hi"}, {}),
    ],
)
def test_parameters_have_the_names_of_the_endpoint(
    endpoint: Endpoint, body: dict[str, Any], expected: dict[str, Any]
) -> None:
    wanted = Preferences(parameters={"max_tokens": 20, "temperature": 0})
    found = with_preferences(route(body, endpoint=endpoint), wanted, lists_models=False)
    assert {name: value for name, value in found.body.items() if name not in {**SENT, "input": 0}} | {
        name: found.body[name] for name in expected
    } == expected


def test_a_default_that_the_proxy_cannot_read_is_refused_by_name() -> None:
    with pytest.raises(CallerError) as caught:
        with_preferences(route(SENT), Preferences(parameters={"n": "many"}), lists_models=False)
    assert (caught.value.status, caught.value.param) == (400, "n")
    assert "default parameters" in caught.value.message


def test_without_fallback_the_clients_own_list_still_counts() -> None:
    only = Preferences(fallback=False)
    assert with_preferences(route(SENT), only, lists_models=False).only_first
    assert not with_preferences(route(SENT), only, lists_models=True).only_first


def test_cheapest_first_holds_for_every_route() -> None:
    assert with_preferences(route(SENT), Preferences(cheapest=True), lists_models=False).select == "cheapest"
