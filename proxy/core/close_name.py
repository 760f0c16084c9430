"""'Did you mean': the one of some names that a word is most like."""

from collections.abc import Iterable


def close_name(word: str, names: Iterable[str], likeness: float = 0.6) -> str | None:
    """Return the name most like word, None where none is as like as that; likeness: from 0 to 1, which is the same."""
    from difflib import get_close_matches  # noqa: PLC0415 - only for the text of a mistake

    return next(iter(get_close_matches(word, list(names), 1, likeness)), None)
