"""Patterns of models as people write them: openai/gpt-5-mini, anthropic/*, *claude*; * stands for any text."""

from collections.abc import Iterable

from proxy.core.glob import fits


def matches(patterns: Iterable[str], *names: str) -> bool:
    """Return whether any of the names is one of those that the patterns stand for."""
    return any(fits(name, pattern) for pattern in patterns for name in names)
