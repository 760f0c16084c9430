"""'Did you mean': the nearest of the names there are."""

import difflib
from collections.abc import Iterable


def nearest(word: str, names: Iterable[str]) -> str | None:
    """Give the name most like word, or None where none is near; a missing maker (gpt-5-mini) is found too."""
    listed = list(names)
    for name in listed:
        if name.rpartition("/")[2] == word:
            return name
    found = difflib.get_close_matches(word[:100], listed, n=1, cutoff=0.75)
    return found[0] if found else None
