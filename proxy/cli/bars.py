"""Pictures of figures in a line of text: a bar for a share, a sparkline for figures over time. Pure.

They are made of block characters, an eighth of a cell fine. A terminal that is not UTF-8 gets none.
"""

import os
import re
import sys
from collections.abc import Sequence
from typing import Final

import click

BAR_CELLS: Final = 12
_EIGHTHS = " ▏▎▍▌▋▊▉"
_LEVELS = "▁▂▃▄▅▆▇█"
_BLOCKS = re.compile("[▏▎▍▌▋▊▉█▁▂▃▄▅▆▇]+")


def bar(part: int, most: int, width: int = BAR_CELLS) -> str:
    """Return a bar of up to width cells for a part of the greatest; anything above 0 is seen."""
    if part <= 0 or most <= 0:
        return ""
    eighths = max(1, min(part * width * 8 // most, width * 8))
    return ("█" * (eighths // 8) + _EIGHTHS[eighths % 8]).rstrip()


def sparkline(figures: Sequence[int]) -> str:
    """Return a line with one block for each figure, the greatest the highest; nothing is a blank."""
    most = max(figures, default=0)
    return "".join(
        " " if figure <= 0 or most <= 0 else _LEVELS[min(figure * len(_LEVELS) // most, len(_LEVELS) - 1)]
        for figure in figures
    )


def can_draw() -> bool:
    """Return whether stdout is a terminal that shows such characters."""
    return sys.stdout.isatty() and "utf" in (sys.stdout.encoding or "").lower()


def painted(line: str) -> str:
    """Return a line of a table with its bars in colour; as it is where NO_COLOR or the terminal asks for that."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return line
    return _BLOCKS.sub(lambda found: click.style(found[0], fg="cyan"), line)
