"""Limits as people type them in one line: $5/day, 100/hour, tokens=1M/day, 60 requests/minute. Pure."""

import re
from typing import Final

from proxy.core.limit_kinds import KINDS, NAMES, listed

_IN_WORDS = re.compile(rf"(\S+) ({'|'.join(kind.name for kind in KINDS if kind.unit == 'count')})(/\S+)")
_RATE = re.compile(r"[0-9][0-9_.]*[kKMB]?/\S+", re.ASCII)
EXAMPLES: Final = [f"'{kind.example}'" if kind.unit == "money" else f"{kind.name}={kind.example}" for kind in KINDS]
HOW: Final = f"Write {listed(EXAMPLES)}; 100/hour counts requests."
_SHORT = {"min": "minute", "h": "hour", "hr": "hour", "d": "day", "w": "week", "mo": "month"}


def split_limit(text: str) -> tuple[str, str]:
    """Return the kind of a limit and the rest of it: cost and $5/day; raises ValueError that says how to write it."""
    text = text.strip()
    kind, is_named, value = text.partition("=")
    if is_named and kind.strip() in NAMES:
        return kind.strip(), _with_window(value.strip())
    if text.startswith("$"):
        return "cost", _with_window(text)
    words = _IN_WORDS.fullmatch(text)
    if words is not None:
        return words[2], _with_window(f"{words[1]}{words[3]}")
    if _RATE.fullmatch(text):
        return "requests", _with_window(text)
    raise ValueError(f"{text!r} does not say of what. {HOW}")


def _with_window(text: str) -> str:
    """Return a limit with the window's whole name: 60/min is 60/minute."""
    amount, slash, window = text.partition("/")
    return f"{amount}{slash}{_SHORT.get(window.strip(), window)}"
