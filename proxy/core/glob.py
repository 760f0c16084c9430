"""Patterns of names as people write them: * is any text, ? any character, [a-f] one of a set, [!a-f] one of no set.

``[^a-f]`` says the same as ``[!a-f]``: shells take both, SQLite's GLOB the one alone and Python's fnmatch the other.
Each place where a name is held against a pattern asks here, so that a pattern finds in a report what it stops or prices
in the proxy. A bracket that is never closed stands for itself.
"""

import re
from collections.abc import Iterator
from fnmatch import translate
from functools import lru_cache
from typing import Final

_NEGATIONS: Final = "!^"
_NOTHING: Final = "["  # for GLOB a set without an end, which no character is of


def fits(name: str, pattern: str) -> bool:
    """Return whether a name is one of those that a pattern stands for; case counts."""
    return _compiled(pattern).match(name) is not None


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(translate("".join("[[]" if part == "[" else part for part in _parts(pattern))))


def sql_glob(pattern: str) -> str:
    """Return the pattern by which SQLite's GLOB finds the same names."""
    found = [_sql_part(part) for part in _parts(pattern)]
    return _NOTHING if _NOTHING in found else "".join(found)


def _sql_part(part: str) -> str:
    if len(part) == 1:
        return "[[]" if part == "[" else part
    return _sql_set(part[2:-1], "^") if part[1] == "!" else _sql_set(part[1:-1], "")


def _parts(pattern: str) -> Iterator[str]:
    """Yield its characters, and each set as one, which says by ! that it is one of what is not in it."""
    at = 0
    while at < len(pattern):
        end = _end_of_set(pattern, at) if pattern[at] == "[" else 0
        if not end:
            yield pattern[at]
            at += 1
            continue
        inner = pattern[at + 1 : end]
        yield f"[!{inner[1:]}]" if inner[0] in _NEGATIONS else f"[{inner}]"
        at = end + 1


def _end_of_set(pattern: str, start: int) -> int:
    """Return where the set that begins at start is closed; 0: it is not. The first character never closes it."""
    at = start + 1
    if pattern[at : at + 1] and pattern[at] in _NEGATIONS:
        at += 1
    return max(pattern.find("]", at + 1), 0)


def _sql_set(inner: str, negation: str) -> str:
    """Return a set in GLOB's words, in which the place of ], ^ and - decides what they mean."""
    singles, ranges = _members(inner)
    if not singles and not ranges:
        return "?" if negation else _NOTHING
    first = "]" if "]" in singles else ""
    plain = "".join(sorted(singles - set("]^-")))
    if singles == {"^"} and not ranges and not negation:
        return "^"
    last = "-" if "-" in singles else ""
    hat = "^" if "^" in singles else ""
    if hat and not (first or ranges or plain or negation):
        return f"[{last}{hat}]"
    return f"[{negation}{first}{''.join(ranges)}{plain}{hat}{last}]"


def _members(inner: str) -> tuple[set[str], list[str]]:
    """Return the single characters of a set, and its ranges, none of which begins with ] or ^."""
    singles: set[str] = set()
    ranges = []
    at = 0
    while at < len(inner):
        first, end = inner[at], inner[at + 2 : at + 3]
        if inner[at + 1 : at + 2] != "-" or not end:
            singles.add(first)
            at += 1
            continue
        at += 3
        while first in "]^" and first <= end:
            singles.add(first)
            first = chr(ord(first) + 1)
        if first <= end:
            ranges.append(f"{first}-{end}")
    return singles, ranges
