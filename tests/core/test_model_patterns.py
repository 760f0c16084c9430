"""Which names patterns of models stand for."""

import pytest

from proxy.core.model_patterns import matches


@pytest.mark.parametrize(
    ("patterns", "names", "expected"),
    [
        (["openai/gpt-5-mini"], ["openai/gpt-5-mini"], True),
        (["openai/gpt-5-mini"], ["openai/gpt-5-mini-2"], False),
        (["anthropic/*"], ["anthropic/claude-opus-4"], True),
        (["anthropic/*"], ["local/anthropic/claude-opus-4"], False),
        (["anthropic/*"], ["local/anthropic/claude-opus-4", "anthropic/claude-opus-4"], True),
        (["*claude*"], ["bedrock/eu.claude-3"], True),
        (["openai/*", "fast"], ["fast"], True),
        (["Openai/*"], ["openai/gpt"], False),
        ([], ["openai/gpt"], False),
    ],
)
def test_a_pattern_stands_for_names(patterns: list[str], names: list[str], expected: bool) -> None:
    assert matches(patterns, *names) is expected
