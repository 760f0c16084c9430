"""Tables on stdout: fitted to a terminal, plain columns elsewhere. Texts lose their control characters."""

import shutil
import sys
from collections.abc import Callable, Sequence

import click

from proxy.cli.layout import as_list, as_table, fits

Cell = str | int | None


def print_table(
    headers: Sequence[str],
    rows: Sequence[Sequence[Cell]],
    *,
    total: Sequence[Cell] | None = None,
    right: frozenset[str] = frozenset(),
    whole: frozenset[str] = frozenset(),
    paint: Callable[[str], str] = lambda line: line,
) -> None:
    """Print rows under headers; columns named in right are numbers and stand on the right. total is a last line.

    whole: further columns that are never broken, as ids and times are. paint: colours a line, on a terminal.
    """
    terminal = sys.stdout.isatty()
    cells = [[printable(cell, grouped=terminal) for cell in row] for row in rows]
    last = None if total is None else [printable(cell, grouped=terminal) for cell in total]
    if terminal:
        for line in _drawn(headers, [*cells, *([last] if last is not None else [])], right, whole):
            click.echo(paint(line))
    else:
        for line in plain_table([headers, *cells, *([last] if last is not None else [])], right):
            click.echo(line)


def printable(cell: Cell, *, grouped: bool = False) -> str:
    """Return a cell as text that cannot move the cursor or change colours: model names come from outside.

    grouped: numbers in groups of three digits, for eyes and not for programs.
    """
    if cell is None:
        return "-"
    if isinstance(cell, int):
        return f"{cell:,}".replace(",", " ") if grouped else str(cell)
    return "".join(char if char.isprintable() else "?" for char in cell)


def plain_table(rows: Sequence[Sequence[str]], right: frozenset[str]) -> list[str]:
    """Return the lines of a table whose first row is the head, each column as wide as its longest cell."""
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
    lines = []
    for row in rows:
        padded = [
            text.rjust(width) if name in right else text.ljust(width)
            for text, width, name in zip(row, widths, rows[0], strict=True)
        ]
        lines.append("  ".join(padded).rstrip())
    return lines


def has_room(
    headers: Sequence[str],
    rows: Sequence[Sequence[Cell]],
    right: frozenset[str],
    whole: frozenset[str],
    more: int = 0,
) -> bool:
    """Return whether the terminal has room for such a table, and more cells, without a text being broken."""
    cells = [[printable(cell, grouped=True) for cell in row] for row in rows]
    return fits([list(headers), *cells], [name in right or name in whole for name in headers], _width() - more)


def _width() -> int:
    return max(shutil.get_terminal_size().columns, 1)


def _drawn(headers: Sequence[str], cells: list[list[str]], right: frozenset[str], whole: frozenset[str]) -> list[str]:
    width = _width()
    rows = [list(headers), *cells]
    stays = [name in right or name in whole for name in headers]
    lines = as_table(rows, stays, [name in right for name in headers], width)
    return as_list(rows, width) if lines is None else lines
