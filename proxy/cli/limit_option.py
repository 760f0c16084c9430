"""Limits as they are typed: --limit '$5/day' --limit 100/hour --limit tokens=1M/day."""

import re
from collections.abc import Sequence
from typing import Any

import click

from proxy.core.limit_kinds import KINDS, NAMES, listed

_IN_WORDS = re.compile(rf"(\S+) ({'|'.join(kind.name for kind in KINDS if kind.unit == 'count')})(/\S+)")
_RATE = re.compile(r"[0-9][0-9_.]*[kKMB]?/\S+", re.ASCII)
_EXAMPLES = [f"'{kind.example}'" if kind.unit == "money" else f"{kind.name}={kind.example}" for kind in KINDS]
_HOW = f"Write {listed(_EXAMPLES)}; 100/hour counts requests."
_SHORT = {"min": "minute", "h": "hour", "hr": "hour", "d": "day", "w": "week", "mo": "month"}

limit_option = click.option(
    "--limit",
    "limits",
    multiple=True,
    metavar="LIMIT",
    help=f"A limit, as often as needed: {', '.join(_EXAMPLES)}; 100/hour counts requests.",
)


def read_limits(texts: Sequence[str], option: str = "--limit") -> dict[str, list[str]]:
    """Return limits by kind, as the configuration writes them; raises click.BadParameter that names the option."""
    from pydantic import ValidationError  # noqa: PLC0415 - keeps --help quick

    from proxy.config.user import Limits  # noqa: PLC0415

    found: dict[str, list[str]] = {}
    for text in texts:
        kind, value = split_limit(text, option)
        found.setdefault(kind, []).append(value)
    try:
        Limits.model_validate(found)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise click.BadParameter(f"{_text(first)} {_HOW}", param_hint=option) from None
    return found


def _text(error: Any) -> str:
    kind = error["loc"][0] if error.get("loc") else "limit"
    return f"{kind}: {str(error['msg']).removeprefix('Value error, ').rstrip('.')}."


def split_limit(text: str, option: str) -> tuple[str, str]:
    """Return the kind of a limit and the rest of it: cost and $5/day; raises click.BadParameter."""
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
    raise click.BadParameter(f"{text!r} does not say of what. {_HOW}", param_hint=option)


def _with_window(text: str) -> str:
    """Return a limit with the window's whole name: 60/min is 60/minute."""
    amount, slash, window = text.partition("/")
    return f"{amount}{slash}{_SHORT.get(window.strip(), window)}"
