"""Tables of the dashboard: sorted, filtered and cut into pages by the address, and written as CSV. Pure.

A table with the name "users" reads users.sort (a column's key, with - in front from the greatest down), users.q (a text
that a row must hold) and users.page (from 1). Money in rows is integer pico-USD. csv_of() is for a thread.
"""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, Literal

from msgspec import Struct, field

from proxy.core.money import pusd_to_usd
from proxy.core.paced import paced
from proxy.storage.export import csv_lines, safe_cell

Row = Mapping[str, Any]
Kind = Literal["text", "code", "money", "count", "tokens", "share", "time", "duration", "state", "markup"]
_NUMBERS: Final = frozenset({"money", "count", "tokens", "share", "duration"})
PAGE_SIZE: Final = 50
_PAGE_MAX: Final = 100_000


class Column(Struct, frozen=True):
    """A column: key names the value in a row, link the value that holds an address, hint says what it is.

    kind "state" shows a pair (ok, warn, bad or off; text); "markup" shows what is HTML already, such as a bar, and is
    neither sorted by nor written as CSV.
    """

    key: str
    title: str
    kind: Kind = "text"
    link: str | None = None
    hint: str = ""

    @property
    def is_number(self) -> bool:
        return self.kind in _NUMBERS

    @property
    def is_sorted(self) -> bool:
        """Return whether the table may be sorted by it."""
        return self.kind != "markup"


class Table(Struct, frozen=True):
    """A table; empty says what to do where it has no rows.

    sort: by which column at first, in the form of the address. is_paged_elsewhere: what answers the list cuts it into
    pages, the next of which is at the address more; the rows of this one can be sorted. is_sorted_elsewhere: what
    answers it sorts the whole of it by the address, too.
    """

    name: str
    title: str
    columns: Sequence[Column]
    rows: Sequence[Row]
    empty: str
    sort: str = ""
    is_paged_elsewhere: bool = False
    is_sorted_elsewhere: bool = False
    more: str | None = None
    note: str = ""
    page_size: int = PAGE_SIZE


class TableView(Struct, frozen=True):
    """What of a table is shown: rows of this page, and the words that chose them."""

    table: Table
    rows: Sequence[Row]
    sort: str
    filter: str
    page: int
    pages: int
    found: int  # rows that pass the filter, on all pages
    others: Mapping[str, str] = field(default_factory=dict)  # parameters of the address that a filter form keeps

    def next_sort(self, column: Column) -> str:
        """Return the word that a click on a column's head puts into the address: numbers from the greatest down."""
        first, second = (f"-{column.key}", column.key) if column.is_number else (column.key, f"-{column.key}")
        return second if self.sort == first else first

    def column(self, key: str) -> Column | None:
        """Return the column of a key that the table may be sorted by; None for what it is not."""
        return next((column for column in self.table.columns if column.key == key and column.is_sorted), None)

    def order_of(self, column: Column) -> str | None:
        """Return the value of aria-sort, None for a column that the table is not sorted by."""
        return {column.key: "ascending", f"-{column.key}": "descending"}.get(self.sort)


def view_table(table: Table, query: Mapping[str, str]) -> TableView:
    """Return what the address asks for; what it asks in vain (a column that is not there) is passed over."""
    name = table.name
    others = {key: value for key, value in query.items() if key not in (f"{name}.q", f"{name}.page")}
    sort = query.get(f"{name}.sort", table.sort)
    if table.is_paged_elsewhere:
        shown = table.rows if table.is_sorted_elsewhere else _ordered(table, table.rows, sort)
        return TableView(table, shown, sort, "", 1, 1, len(shown), others)
    text = query.get(f"{name}.q", "").strip()
    rows = _ordered(table, _passing(table, text), sort)
    pages = max(1, -(-len(rows) // table.page_size))
    page = min(_page_number(query.get(f"{name}.page", "1")), pages)
    shown = rows[(page - 1) * table.page_size : page * table.page_size]
    return TableView(table, shown, sort, text, page, pages, len(rows), others)


def views_of(tables: Iterable[Table], query: Mapping[str, str]) -> dict[str, TableView]:
    """Return what the address asks for of each table, by its name."""
    return {table.name: view_table(table, query) for table in tables}


def _page_number(text: str) -> int:
    return min(max(int(text), 1), _PAGE_MAX) if text.isascii() and text.isdigit() and len(text) < 9 else 1


def _passing(table: Table, text: str) -> Sequence[Row]:
    """Return the rows that hold a text in one of their cells, whatever its case."""
    if not text:
        return table.rows
    wanted = text.casefold()
    texts = [column for column in table.columns if column.kind in ("text", "code", "state")]
    return [row for row in table.rows if any(wanted in _words(row, column).casefold() for column in texts)]


def _words(row: Row, column: Column) -> str:
    value = row.get(column.key)
    if column.kind == "state" and value is not None:
        return str(value[1])
    return "" if value is None else str(value)


def _ordered(table: Table, rows: Sequence[Row], sort: str) -> Sequence[Row]:
    """Return rows in order; those without a value come last in both directions."""
    key, is_down = (sort[1:], True) if sort.startswith("-") else (sort, False)
    column = next((column for column in table.columns if column.key == key and column.is_sorted), None)
    if column is None:
        return rows
    with_value = [row for row in rows if row.get(key) is not None]
    without = [row for row in rows if row.get(key) is None]
    if column.is_number:
        return [*sorted(with_value, key=lambda row: row[key], reverse=is_down), *without]
    return [*sorted(with_value, key=lambda row: _words(row, column).casefold(), reverse=is_down), *without]


def csv_of(table: Table, query: Mapping[str, str]) -> str:
    """Return all rows that pass the filter, in the order of the address.

    Figures are exact, and texts such that no spreadsheet runs them as formulas.
    """
    view = view_table(table, {key: value for key, value in query.items() if key != f"{table.name}.page"})
    rows = view.rows if table.is_paged_elsewhere else _ordered(table, _passing(table, view.filter), view.sort)
    columns = [column for column in table.columns if column.kind != "markup"]
    head = [_head(column) for column in columns]
    return csv_lines([head, *([_cell(row, column) for column in columns] for row in paced(rows))])


def _head(column: Column) -> str:
    unit = {"money": "_usd", "duration": "_ms"}.get(column.kind, "")
    return column.key.removesuffix("_pusd").removesuffix(unit) + unit


def _cell(row: Row, column: Column) -> str | int | float:
    value = row.get(column.key)
    if value is None:
        return ""
    if column.kind == "money":
        return pusd_to_usd(value)
    if column.is_number:
        return f"{value:.6f}" if isinstance(value, Decimal) else value
    return safe_cell(_words(row, column))
