"""Limits as they are typed: --limit '$5/day' --limit requests=60/minute."""

import re
from collections.abc import Sequence

import click

from proxy.core.limit_kinds import KINDS, NAMES, listed

_IN_WORDS = re.compile(rf"(\S+) ({'|'.join(kind.name for kind in KINDS if kind.unit == 'count')})(/\S+)")
_EXAMPLES = [f"'{kind.example}'" if kind.unit == "money" else f"{kind.name}={kind.example}" for kind in KINDS]
_HOW = f"Write {listed(_EXAMPLES)}."

limit_option = click.option(
    "--limit",
    "limits",
    multiple=True,
    metavar="LIMIT",
    help=f"A limit, as often as needed: {', '.join(_EXAMPLES)}.",
)


def read_limits(texts: Sequence[str]) -> dict[str, list[str]]:
    """Return limits by kind, as the configuration writes them; raises click.BadParameter."""
    from pydantic import ValidationError  # noqa: PLC0415 - keeps --help quick

    from proxy.config.user import Limits  # noqa: PLC0415

    found: dict[str, list[str]] = {}
    for text in texts:
        kind, value = _split(text.strip())
        found.setdefault(kind, []).append(value)
    try:
        Limits.model_validate(found)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise click.BadParameter(f"{_text(first)} {_HOW}", param_hint="--limit") from None
    return found


def _text(error: object) -> str:
    kind = error["loc"][0] if isinstance(error, dict) and error.get("loc") else "limit"
    message = str(error["msg"]) if isinstance(error, dict) else ""
    return f"{kind}: {message.removeprefix('Value error, ').rstrip('.')}."


def _split(text: str) -> tuple[str, str]:
    kind, is_named, value = text.partition("=")
    if is_named and kind.strip() in NAMES:
        return kind.strip(), value.strip()
    if text.startswith("$"):
        return "cost", text
    words = _IN_WORDS.fullmatch(text)
    if words is not None:
        return words[2], f"{words[1]}{words[3]}"
    raise click.BadParameter(f"{text!r} does not say of what. {_HOW}", param_hint="--limit")
