"""'Did you mean': the nearest of the names there are. Pure."""

from collections.abc import Iterable

from proxy.core.close_name import close_name

_CHARS_MAX = 100  # a name comes from a caller, and comparing long ones takes long
_LIKENESS_MIN = 0.75


def nearest(word: str, names: Iterable[str]) -> str | None:
    """Return the name most like word, or None where none is near.

    Case is ignored, and a missing maker or provider (gpt-5-mini) is found too.
    """
    wanted = word[:_CHARS_MAX].casefold()
    found: dict[str, str] = {}
    tails: dict[str, str] = {}
    for name in names:  # the first of equally near ones
        found.setdefault(name.casefold(), name)
        tails.setdefault(name.casefold().rpartition("/")[2], name)
    if wanted in found or wanted in tails:
        return found.get(wanted) or tails[wanted]
    close = close_name(wanted, found, _LIKENESS_MIN)
    if close is not None:
        return found[close]
    if "/" in wanted:
        return None
    close = close_name(wanted, tails, _LIKENESS_MIN)
    return None if close is None else tails[close]
