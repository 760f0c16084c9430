"""Which requests count in a set of models: before they are answered, and after."""

import pytest

from proxy.policy.quota import NOT_KNOWN, ModelAnswer, is_counted, joined, may_serve, set_scope, undated
from proxy.policy.quota.model_set import models_of

CLAUDE = ("anthropic/*",)


@pytest.mark.parametrize(
    ("provider", "model", "expected"),
    [
        ("openrouter", "anthropic/claude-opus-4", True),
        ("anthropic", "claude-opus-4", True),  # the provider is a part of the name
        ("mirror", "anthropic/claude-opus-4", True),  # a family counts wherever it is asked
        ("openrouter", "openai/gpt-5-mini", False),
        ("openrouter", "openrouter/auto", True),  # whatever it chooses
        ("openrouter", "@preset/mine", True),
    ],
)
def test_a_target_may_be_answered_by_a_model_of_the_set(provider: str, model: str, expected: bool) -> None:
    assert may_serve(CLAUDE, provider, model) is expected


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (NOT_KNOWN, True),
        (ModelAnswer("openrouter", "anthropic/claude-opus-4"), True),
        (ModelAnswer("openrouter", "openai/gpt-5-mini"), False),
        (
            ModelAnswer("openrouter", "openai/gpt-5-mini", "openrouter/openrouter/auto"),
            False,
        ),  # what it chose is known
        (ModelAnswer("openrouter", "openrouter/auto"), True),
        (ModelAnswer("openrouter", "openai/gpt-5-mini", "openrouter/anthropic/claude-opus-4"), True),
        (ModelAnswer("openai", "gpt-5-mini-2025", "openai/gpt-5-mini\nanthropic/claude-opus-4"), True),
        (ModelAnswer("", "", "openrouter/openai/gpt-5-mini"), False),  # nothing was sent
        (ModelAnswer("", "", "openrouter/anthropic/claude-opus-4"), True),
    ],
)
def test_what_answered_decides(answer: ModelAnswer, expected: bool) -> None:
    assert is_counted(CLAUDE, answer) is expected


@pytest.mark.parametrize(
    ("model", "plain"),
    [
        ("gpt-5-mini-2025-08-07", "gpt-5-mini"),
        ("anthropic/claude-4.5-sonnet-20250929", "anthropic/claude-4.5-sonnet"),
        ("llama-3.1-70b", "llama-3.1-70b"),
        ("model-20991", "model-20991"),
    ],
)
def test_a_date_behind_a_name_is_not_part_of_it(model: str, plain: str) -> None:
    assert undated(model) == plain
    assert is_counted((f"one/{plain}",), ModelAnswer("one", model))


def test_a_scope_names_its_set() -> None:
    scope = set_scope("user:anna", ("a/*", "b c"))
    assert models_of(scope) == ("a/*", "b c")
    assert set_scope("user:anna", ()) == "user:anna"
    assert models_of("use_case:sms") == ()


def test_names_stand_once() -> None:
    assert joined(["a/b", "c/d", "a/b"]) == "a/b\nc/d"
    assert joined([]) == ""
