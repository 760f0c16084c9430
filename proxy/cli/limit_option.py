"""Limits as they are typed: --limit '$5/day' --limit 100/hour --limit tokens=1M/day."""

from collections.abc import Sequence
from typing import Any

import click

from proxy.config import limit_text

limit_option = click.option(
    "--limit",
    "limits",
    multiple=True,
    metavar="LIMIT",
    help=f"A limit, as often as needed: {', '.join(limit_text.EXAMPLES)}; 100/hour counts requests.",
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
        raise click.BadParameter(f"{_text(first)} {limit_text.HOW}", param_hint=option) from None
    return found


def _text(error: Any) -> str:
    kind = error["loc"][0] if error.get("loc") else "limit"
    return f"{kind}: {str(error['msg']).removeprefix('Value error, ').rstrip('.')}."


def split_limit(text: str, option: str) -> tuple[str, str]:
    """Return the kind of a limit and the rest of it: cost and $5/day; raises click.BadParameter."""
    try:
        return limit_text.split_limit(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=option) from None
