"""The rows of a table as HTML. Everything that is put into them is text, unless it is marked as HTML.

They are most of a page that is long, and most of what is made anew for a live one: so they are written here, and by no
template.
"""

from collections.abc import Callable
from html import escape
from typing import Any, Final
from zoneinfo import ZoneInfo

from markupsafe import Markup

from proxy.core.paced import paced
from proxy.web.dashboard.figures import (
    NOTHING,
    count_text,
    duration_text,
    money,
    share_text,
    short_count_text,
    time_element,
)
from proxy.web.dashboard.table import Column, Kind, TableView

_CUT: Final = 80  # characters of a text that are shown
_WHOLE: Final = 1000  # and at most of one that is opened, or pointed at
_ROWS_AT_ONCE: Final = 20  # some hundred microseconds of a thread's work

Cell = Callable[[Any, ZoneInfo], str]


def rows_of(view: TableView, zone: ZoneInfo) -> Markup:
    """Return the rows that are shown; takes some milliseconds, for a thread.

    Each cell carries its column's title, which a narrow window shows in place of the heads; one that holds nothing
    carries none, and is not shown there.
    """
    columns = [
        (column.key, column.link, _CELLS[column.kind], f"<td{_class_of(column)}", _quoted(column.title))
        for column in view.table.columns
    ]
    lines: list[str] = []
    for row in paced(view.rows, _ROWS_AT_ONCE):
        lines.append("<tr>")
        for key, link, cell, begin, title in columns:
            value = row.get(key)
            if value is None:
                lines.append(f"{begin}>{NOTHING}</td>")
                continue
            text, address = cell(value, zone), row.get(link) if link else None
            shown = f"<a href={_quoted(address)}>{text}</a>" if address else text
            lines.append(f"{begin} data-label={title}>{shown}</td>")
        lines.append("</tr>\n")
    return Markup("".join(lines))  # noqa: S704 - of cells that are escaped, each by its kind


def _class_of(column: Column) -> str:
    return ' class="number"' if column.is_number else ""


def _quoted(text: str) -> str:
    return f'"{escape(text)}"'


def text_cell(value: Any) -> str:
    """Return a text, a long one cut, with more of it in the title."""
    if isinstance(value, Markup):
        return str(value)
    text = str(value)
    if len(text) <= _CUT:
        return escape(text, quote=False)
    return f"<span title={_quoted(text[:_WHOLE])}>{escape(text[:_CUT], quote=False)}…</span>"


def code_cell(value: Any) -> str:
    """Return a text of a program; a long one can be opened."""
    text = str(value)
    if len(text) <= _CUT:
        return f"<code>{escape(text, quote=False)}</code>"
    head, more = escape(text[:_CUT], quote=False), "…" if len(text) > _WHOLE else ""
    whole = f"<code>{escape(text[:_WHOLE], quote=False)}{more}</code>"
    return f'<details class="cut"><summary><code>{head}…</code></summary>{whole}</details>'


def state_cell(value: tuple[str, Any]) -> str:
    """Return a state: its kind, and its words."""
    kind, words = value
    return f"<span class={_quoted(f'state {kind}')}>{text_cell(words)}</span>"


_CELLS: Final[dict[Kind, Cell]] = {
    "text": lambda value, _: text_cell(value),
    "code": lambda value, _: code_cell(value),
    "money": lambda value, _: money(value),
    "count": lambda value, _: count_text(value),
    "tokens": lambda value, _: f'<span title="{count_text(value)}">{short_count_text(value)}</span>',
    "share": lambda value, _: escape(share_text(value)),
    "time": time_element,
    "duration": lambda value, _: duration_text(value),
    "state": lambda value, _: state_cell(value),
    "markup": lambda value, _: str(value),
}
