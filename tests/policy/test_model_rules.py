"""What the operator says of models: one that disables is enough, the nearest price counts."""

from hypothesis import given
from hypothesis import strategies as st

from proxy.policy.model_rules import ModelRule, ModelRules
from proxy.policy.pricing import Price

DEAR, CHEAP = Price(2, 2), Price(1, 1)


def rules(*said: ModelRule, provider: str = "router", is_first: bool = True, off: str | None = None) -> ModelRules:
    return ModelRules(provider, said, is_first=is_first, off=off)


def test_a_name_stands_with_its_provider_and_without_it_for_the_first() -> None:
    said = (ModelRule("openai/gpt", False), ModelRule("local/*", False))
    first, other = rules(*said), rules(*said, provider="local", is_first=False)
    assert first.disabled_by("openai/gpt") == "models.openai/gpt.enabled"
    assert rules(*said, is_first=False).disabled_by("openai/gpt") is None
    assert rules(ModelRule("router/openai/gpt", False), is_first=False).disabled_by("openai/gpt") is not None
    assert (first.disabled_by("llama"), other.disabled_by("llama")) == (None, "models.local/*.enabled")


def test_a_provider_that_is_off_disables_all_of_its_models() -> None:
    assert rules(ModelRule("a", True), off="providers.router.enabled").disabled_by("a") == "providers.router.enabled"


def test_the_very_name_goes_before_patterns_and_these_by_their_order() -> None:
    said = (ModelRule("o/*", price=DEAR, request_pusd=1), ModelRule("*", request_pusd=2), ModelRule("o/a", price=CHEAP))
    found = rules(*said)
    assert (found.price("o/a"), found.price("o/b"), found.price("x")) == (CHEAP, DEAR, None)
    assert (found.request_pusd("o/a"), found.request_pusd("x")) == (1, 2)


def test_brackets_in_a_name_stand_for_themselves_too() -> None:
    assert rules(ModelRule("a[b]", False)).disabled_by("a[b]") is not None


@given(st.lists(st.tuples(st.sampled_from(["o/a", "o/*", "*", "router/o/a", "x"]), st.booleans()), max_size=5))
def test_one_that_says_no_is_enough_whatever_its_place(said: list[tuple[str, bool]]) -> None:
    found = rules(*(ModelRule(name, is_enabled) for name, is_enabled in said)).disabled_by("o/a")
    fits = [name for name, is_enabled in said if not is_enabled and name != "x"]
    assert (found is None) == (not fits)
    assert found is None or found.removeprefix("models.").removesuffix(".enabled") in fits
