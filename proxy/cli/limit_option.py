"""Limits as they are typed: --limit '$5/day' --limit 100/hour --limit tokens=1M/day."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from proxy.config import limit_text

if TYPE_CHECKING:
    from proxy.config.check import Fault

limit_option = click.option(
    "--limit",
    "limits",
    multiple=True,
    metavar="LIMIT",
    help=f"A limit, as often as needed: {', '.join(limit_text.EXAMPLES)}; 100/hour counts requests.",
)


def read_limits(texts: Sequence[str], option: str = "--limit") -> dict[str, list[str]]:
    """Return limits by kind, as the configuration writes them; raises click.BadParameter that names the option."""
    from proxy.config.check import BlockError  # noqa: PLC0415 - keeps --help quick
    from proxy.config.user import Limits  # noqa: PLC0415

    found: dict[str, list[str]] = {}
    for text in texts:
        kind, value = split_limit(text, option)
        found.setdefault(kind, []).append(value)
    try:
        Limits.read(found)
    except BlockError as error:
        first = error.faults[0]
        raise click.BadParameter(f"{_text(first)} {limit_text.HOW}", param_hint=option) from None
    return found


def _text(fault: "Fault") -> str:
    kind = fault.path[0] if fault.path else "limit"
    return f"{kind}: {str(fault.error).rstrip('.')}."


def split_limit(text: str, option: str) -> tuple[str, str]:
    """Return the kind of a limit and the rest of it: cost and $5/day; raises click.BadParameter."""
    try:
        return limit_text.split_limit(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=option) from None
