"""'Did you mean' finds what people type: without a maker, with other capitals, a letter off."""

import pytest

from proxy.policy.nearest import nearest

NAMES = ("fast", "openai/gpt-5-mini", "openai/gpt-5", "anthropic/claude-haiku-4.5", "local/qwen3", "Qwen/Qwen3-8B")


@pytest.mark.parametrize(
    ("word", "found"),
    [
        ("gpt-5-mini", "openai/gpt-5-mini"),
        ("gpt5-mini", "openai/gpt-5-mini"),
        ("openai/gpt5-mini", "openai/gpt-5-mini"),
        ("OpenAI/GPT-5-mini", "openai/gpt-5-mini"),
        ("opnai/gpt-5-mini", "openai/gpt-5-mini"),
        ("claude-haiku-4.5", "anthropic/claude-haiku-4.5"),
        ("antropic/claude-haiku-4-5", "anthropic/claude-haiku-4.5"),
        ("qwen3", "local/qwen3"),
        ("qwen/qwen3-8b", "Qwen/Qwen3-8B"),
        ("fats", "fast"),
        ("zzzzzzzz", None),
        ("", None),
        ("x" * 100_000, None),
    ],
)
def test_nearest(word: str, found: str | None) -> None:
    assert nearest(word, NAMES) == found


def test_no_names() -> None:
    assert nearest("gpt-5", ()) is None
