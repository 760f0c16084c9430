"""Tables on stdout: drawn by rich on a terminal, plain columns elsewhere. Texts lose their control characters."""

import os
import sys
from collections.abc import Sequence

import click

Cell = str | int | None


def print_table(
    headers: Sequence[str],
    rows: Sequence[Sequence[Cell]],
    *,
    total: Sequence[Cell] | None = None,
    right: frozenset[str] = frozenset(),
) -> None:
    """Print rows under headers; columns named in right are numbers and stand on the right. total is a last line."""
    terminal = sys.stdout.isatty()
    cells = [[printable(cell, grouped=terminal) for cell in row] for row in rows]
    last = None if total is None else [printable(cell, grouped=terminal) for cell in total]
    if terminal:
        _draw(headers, cells, last, right)
    else:
        _write(headers, cells, last, right)


def printable(cell: Cell, *, grouped: bool = False) -> str:
    """Give a cell as text that cannot move the cursor or change colours: model names come from afar.

    grouped: numbers in groups of three digits, for eyes and not for programs.
    """
    if cell is None:
        return "-"
    if isinstance(cell, int):
        return f"{cell:,}".replace(",", " ") if grouped else str(cell)
    return "".join(char if char.isprintable() else "?" for char in cell)


def _write(headers: Sequence[str], cells: list[list[str]], total: list[str] | None, right: frozenset[str]) -> None:
    lines = [list(headers), *cells, *([total] if total is not None else [])]
    widths = [max(len(line[n]) for line in lines) for n in range(len(headers))]
    for line in lines:
        padded = [
            text.rjust(width) if name in right else text.ljust(width)
            for text, width, name in zip(line, widths, headers, strict=True)
        ]
        click.echo("  ".join(padded).rstrip())


def _draw(headers: Sequence[str], cells: list[list[str]], total: list[str] | None, right: frozenset[str]) -> None:
    from rich.console import Console  # noqa: PLC0415 - costs 40 ms; wanted only where it draws
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, header_style="bold", show_footer=total is not None)
    for n, name in enumerate(headers):
        table.add_column(
            name,
            justify="right" if name in right else "left",
            footer=Text(total[n], style="bold") if total is not None else "",
            no_wrap=True,
            overflow="fold",
        )
    for row in cells:
        table.add_row(*(Text(text) for text in row))
    Console(no_color="NO_COLOR" in os.environ or None).print(table)
