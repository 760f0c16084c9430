"""Tables on stdout: fitted to a terminal, plain columns elsewhere. Texts lose their control characters."""

import shutil
import sys
from collections.abc import Sequence

import click

from proxy.cli.layout import as_list, as_table

Cell = str | int | None


def print_table(
    headers: Sequence[str],
    rows: Sequence[Sequence[Cell]],
    *,
    total: Sequence[Cell] | None = None,
    right: frozenset[str] = frozenset(),
    whole: frozenset[str] = frozenset(),
) -> None:
    """Print rows under headers; columns named in right are numbers and stand on the right. total is a last line.

    whole: further columns that are never broken, as ids and times are.
    """
    terminal = sys.stdout.isatty()
    cells = [[printable(cell, grouped=terminal) for cell in row] for row in rows]
    last = None if total is None else [printable(cell, grouped=terminal) for cell in total]
    if terminal:
        _draw(headers, [*cells, *([last] if last is not None else [])], right, whole)
    else:
        _write(headers, cells, last, right)


def printable(cell: Cell, *, grouped: bool = False) -> str:
    """Return a cell as text that cannot move the cursor or change colours: model names come from outside.

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


def _draw(headers: Sequence[str], cells: list[list[str]], right: frozenset[str], whole: frozenset[str]) -> None:
    width = max(shutil.get_terminal_size().columns, 1)
    rows = [list(headers), *cells]
    stays = [name in right or name in whole for name in headers]
    lines = as_table(rows, stays, [name in right for name in headers], width)
    for line in as_list(rows, width) if lines is None else lines:
        click.echo(line)
