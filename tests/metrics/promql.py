"""Which metrics a PromQL expression names, and with which labels: enough of the language for rules and panels."""

import re
from typing import NamedTuple

_TOKEN = re.compile(
    r"""(?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|(?P<range>\[[^\]]*\])|(?P<name>[a-zA-Z_:][\w:]*)"""
    r"""|(?P<number>\d[\w.]*)|(?P<mark>=~|!~|!=|==|>=|<=|[^\s\w])""",
    re.VERBOSE,
)
_LISTS = frozenset({"by", "without", "on", "ignoring", "group_left", "group_right"})
_WORDS = _LISTS | {"and", "or", "unless", "bool", "offset", "inf", "nan", "atan2"}
_AFTER_FUNCTION = frozenset({"(", "by", "without"})
_OPERATORS = frozenset({"=", "!=", "=~", "!~"})


class PromQLError(ValueError):
    """What this reader does not know."""


class NamedMetrics(NamedTuple):
    """Metrics with the labels that are matched, and the labels that are grouped by."""

    matched: tuple[tuple[str, tuple[str, ...]], ...]
    grouped: frozenset[str]


def read_names(expression: str) -> NamedMetrics:
    """Return what an expression names; raises PromQLError."""
    tokens = [(str(found.lastgroup), found[0]) for found in _TOKEN.finditer(expression) if found.lastgroup is not None]
    matched: list[tuple[str, tuple[str, ...]]] = []
    grouped: set[str] = set()
    at = 0
    while at < len(tokens):
        kind, text = tokens[at]
        following = tokens[at + 1][1] if at + 1 < len(tokens) else ""
        if kind == "name" and text in _LISTS and following == "(":
            at, names = _list(tokens, at + 2)
            grouped.update(names)
        elif kind == "name" and text not in _WORDS and following not in _AFTER_FUNCTION:
            at, labels = _matchers(tokens, at + 2) if following == "{" else (at + 1, ())
            matched.append((text, labels))
        elif text == "{":
            raise PromQLError(f"a selector without a name: {expression}")
        else:
            at += 1
    return NamedMetrics(tuple(matched), frozenset(grouped))


def _list(tokens: list[tuple[str, str]], at: int) -> tuple[int, list[str]]:
    names = []
    while tokens[at][1] != ")":
        if tokens[at][0] == "name":
            names.append(tokens[at][1])
        at += 1
    return at + 1, names


def _matchers(tokens: list[tuple[str, str]], at: int) -> tuple[int, tuple[str, ...]]:
    names = []
    while tokens[at][1] != "}":
        if tokens[at][0] == "name":
            if tokens[at + 1][1] not in _OPERATORS or tokens[at + 2][0] != "text":
                raise PromQLError(f"not a matcher: {tokens[at : at + 3]}")
            names.append(tokens[at][1])
        at += 1
    return at + 1, tuple(names)
