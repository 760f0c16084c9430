"""Names as charts show them: one line, cut to a length, and unable to turn the text around them."""

import re
import unicodedata
from typing import Final

MOST_CHARS: Final = 32
FULL_CHARS: Final = 500  # a name of 10 kB would fill the page; this is enough to tell two from one another
# Overrides and embeddings of the writing direction reach beyond the name that holds them.
_DIRECTION: Final = re.compile("[\u202a-\u202e\u2066-\u2069]")
_ISOLATE: Final = "\N{FIRST STRONG ISOLATE}{}\N{POP DIRECTIONAL ISOLATE}"
_MARKS: Final = 2  # marks above one letter; more of them would leave its line


def label(name: str, most: int = MOST_CHARS) -> str:
    """Return a name on one line, at most so many characters long, with … where it was cut."""
    line = _one_line(name[: 4 * most])
    return line if len(line) <= most and len(name) <= 4 * most else line[: most - 1] + "…"


def full_label(name: str) -> str:
    """Return the name for a title: on one line, up to FULL_CHARS characters."""
    return label(name, FULL_CHARS)


def isolated(text: str) -> str:
    """Return a label for use within a sentence, whichever way it is written."""
    return text if text.isascii() else _ISOLATE.format(text)


def width_em(text: str) -> float:
    """Return about how wide a text is, in units of its font size; rather too much than too little."""
    return sum(1.1 if unicodedata.east_asian_width(char) in "WF" else 0.62 for char in text)


def _one_line(text: str) -> str:
    line = " ".join(_DIRECTION.sub("\N{REPLACEMENT CHARACTER}", text).split())
    if line.isascii():
        return line or "(no name)"
    kept, marks = [], 0
    for char in line:
        marks = marks + 1 if unicodedata.combining(char) else 0
        if marks <= _MARKS:
            kept.append(char)
    return "".join(kept)
