"""How a table fits a terminal. Pure; widths are in cells of the terminal.

Numbers, ids and times stay whole, texts are wrapped, and where that is not enough each row becomes a list. Nothing is
ever cut off.
"""

from collections.abc import Callable, Sequence

_GAP = "  "
_TEXT_MIN = 8  # the narrowest that a column of text becomes
_LABEL_GAP = 2

Row = Sequence[str]


def as_table(rows: Sequence[Row], whole: Sequence[bool], right: Sequence[bool], width: int) -> list[str] | None:
    """Return the lines of a table whose first row is the head; None where it does not fit in width.

    whole: columns whose cells stay in one piece (a head may be broken at its underscores); right: those that are
    aligned right.
    """
    widths = _widths(rows, whole, width)
    if widths is None:
        return None
    lines: list[str] = []
    for row in rows:
        cells = [_broken(text, size) for text, size in zip(row, widths, strict=True)]
        for n in range(max(len(cell) for cell in cells)):
            parts = [
                _padded(cell[n] if n < len(cell) else "", size, to_right=to_right)
                for cell, size, to_right in zip(cells, widths, right, strict=True)
            ]
            lines.append(_GAP.join(parts).rstrip())
    return lines


def fits(rows: Sequence[Row], whole: Sequence[bool], width: int) -> bool:
    """Return whether a table has room without a text being broken: only heads of whole columns may be."""
    sizes = [
        _least(column, is_whole) if is_whole else max(map(cells, column))
        for column, is_whole in zip(zip(*rows, strict=True), whole, strict=True)
    ]
    return sum(sizes) + len(_GAP) * (len(sizes) - 1) <= width


def as_list(rows: Sequence[Row], width: int) -> list[str]:
    """Return a block of lines for each row behind the head: a name and its value, the value below where it is long."""
    head = rows[0]
    size = max(cells(name) for name in head) + _LABEL_GAP
    lines: list[str] = []
    for n, row in enumerate(rows[1:]):
        lines += [""] if n else []
        for name, text in zip(head, row, strict=True):
            if not text:
                continue
            if size + cells(text) <= width:
                lines.append(f"{_padded(name, size, to_right=False)}{text}")
            else:
                lines += [name, *(f"  {piece}" for piece in _broken(text, max(width - 2, 1)))]
    return lines


def _widths(rows: Sequence[Row], whole: Sequence[bool], width: int) -> list[int] | None:
    """Return the widths of the columns; texts give way, the widest first. None: even so there is no room."""
    columns = list(zip(*rows, strict=True))
    widths = [max(map(cells, column)) for column in columns]
    room = width - len(_GAP) * (len(widths) - 1)
    if sum(widths) <= room:
        return widths
    least = [_least(column, is_whole) for column, is_whole in zip(columns, whole, strict=True)]
    if sum(least) > room:
        return None
    heads = [n for n, is_whole in enumerate(whole) if is_whole]
    while sum(widths) > room and any(widths[n] > least[n] for n in heads):
        widest = max((n for n in heads if widths[n] > least[n]), key=lambda n: widths[n])
        widths[widest] -= 1
    while sum(widths) > room:
        widest = max((n for n in range(len(widths)) if widths[n] > least[n]), key=lambda n: widths[n])
        widths[widest] -= 1
    return widths


def _least(column: Sequence[str], is_whole: bool) -> int:
    head, *texts = column
    if is_whole:
        return max([*map(cells, texts), *map(cells, _words(head))])
    return min(_TEXT_MIN, max(map(cells, column)))


def _words(head: str) -> list[str]:
    """Return the pieces of a column's name that stay together: broken behind underscores and at spaces."""
    return head.replace("_", "_ ").split()


def _broken(text: str, size: int) -> list[str]:
    """Break a text into lines of size cells, at spaces, slashes and underscores where possible."""
    lines, line = [], ""
    for piece in _pieces(text):
        if cells(line) + cells(piece) <= size:
            line += piece
            continue
        if line:
            lines.append(line.rstrip())
        *full, line = _chopped(piece, size)
        lines += full
    return [*lines, line.rstrip()]


def _pieces(text: str) -> list[str]:
    pieces, piece = [], ""
    for char in text:
        piece += char
        if char in " /_,:":
            pieces.append(piece)
            piece = ""
    return [*pieces, piece]


def _chopped(text: str, size: int) -> list[str]:
    lines, line = [], ""
    for char in text:
        if line and cells(line) + cells(char) > size:
            lines.append(line)
            line = ""
        line += char
    return [*lines, line]


def _padded(text: str, size: int, *, to_right: bool) -> str:
    space = " " * (size - cells(text))
    return space + text if to_right else text + space


def _rich_cells() -> Callable[[str], int]:
    from rich.cells import cell_len  # noqa: PLC0415 - costs time; wanted only where something is laid out

    return cell_len


def cells(text: str) -> int:
    """Return how many cells of a terminal a text takes: one for each ASCII character, two for a Chinese one."""
    return len(text) if text.isascii() else _rich_cells()(text)
