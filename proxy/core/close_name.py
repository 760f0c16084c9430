"""'Did you mean': the one of some names that a word is most like."""

from collections.abc import Iterable


def close_name(word: str, names: Iterable[str], likeness: float = 0.6) -> str | None:
    """Return the name most like word, None where none is as like as that; likeness: from 0 to 1, which is the same."""
    names = [name for name in names if _may_be_like(word, name, likeness)]
    if not names:  # nearly always, where a start looks for misspelt names of secrets
        return None
    from difflib import get_close_matches  # noqa: PLC0415 - only for the text of a mistake

    return next(iter(get_close_matches(word, names, 1, likeness)), None)


def _may_be_like(word: str, name: str, likeness: float) -> bool:
    """Return whether they share enough characters: where they do not, difflib finds less still."""
    chars = len(word) + len(name)
    if chars == 0:
        return True
    if 2.0 * sum(min(word.count(char), name.count(char)) for char in {*name}) / chars < likeness:
        return False
    return 2.0 * _shared_in_order(word, name) / chars >= likeness


def _shared_in_order(word: str, name: str) -> int:
    """Return the length of the longest text whose characters both have, in its order."""
    row = [0] * (len(name) + 1)  # of each beginning of name, with the part of word that was gone over
    for char in word:
        before = 0
        for at, other in enumerate(name, 1):
            before, row[at] = row[at], before + 1 if char == other else max(row[at], row[at - 1])
    return row[-1]
