"""Sets of models in SQL: counts_in(patterns, provider, model, other_models), as policy/quota/model_set.py decides."""

import sqlite3

from proxy.policy.quota import ModelAnswer, Models, is_counted

_SEPARATOR = "\n"


def know_models(connection: sqlite3.Connection) -> None:
    """Make counts_in known to a connection; its patterns are those of patterns_text()."""
    connection.create_function("counts_in", 4, _counts_in, deterministic=True)


def patterns_text(models: Models) -> str | None:
    """Return the patterns of a set as SQL takes them; None for all models."""
    return _SEPARATOR.join(models) or None


def _counts_in(patterns: str, provider: str, model: str, others: str) -> bool:
    return is_counted(tuple(patterns.split(_SEPARATOR)), ModelAnswer(provider, model, others))
