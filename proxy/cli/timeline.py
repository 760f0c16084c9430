"""Attempts on a time line: where each began, how long nothing came, how long content came. Pure."""

from collections.abc import Sequence
from typing import NamedTuple

SHADES = ("░", "█")
"""How a wait and content are drawn, and LETTERS where a terminal cannot write these."""
LETTERS = (".", "#")


class Span(NamedTuple):
    """One attempt, in ms since the request began. first_ms None: no content came."""

    start_ms: int
    first_ms: int | None
    end_ms: int


def bars(spans: Sequence[Span], width: int, marks: tuple[str, str] = SHADES) -> list[str]:
    """Return a bar of width cells at most for each span, all to one scale; each takes at least one cell."""
    whole_ms = max((span.end_ms for span in spans), default=0) or 1
    return [_bar(span, whole_ms, width, *marks) for span in spans]


def _bar(span: Span, whole_ms: int, width: int, wait: str, content: str) -> str:
    start = min(_cells(span.start_ms, whole_ms, width), width - 1)
    end = min(max(start + 1, _cells(span.end_ms, whole_ms, width)), width)
    first = end if span.first_ms is None else min(max(start, _cells(span.first_ms, whole_ms, width)), end - 1)
    return f"{' ' * start}{wait * (first - start)}{content * (end - first)}"


def _cells(ms: int, whole_ms: int, width: int) -> int:
    return max(0, ms) * width // whole_ms
