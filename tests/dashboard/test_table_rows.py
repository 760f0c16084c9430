"""Rows of tables as HTML: every kind of cell, and nothing of a ledger's that a browser would take for markup."""

from html.parser import HTMLParser
from typing import Any, get_args
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from proxy.web.dashboard.figures import NOTHING
from proxy.web.dashboard.table import Column, Kind, Table, view_table
from proxy.web.dashboard.table_rows import rows_of

UTC = ZoneInfo("UTC")
VALUES: dict[Kind, tuple[Any, str]] = {
    "text": ("<b>", "&lt;b&gt;"),
    "code": ("a&b", "<code>a&amp;b</code>"),
    "money": (1_234_567_890_000, '<data class="money" value="1.23456789" title="$1.23456789">$1.23</data>'),
    "count": (12_345, "12,345"),
    "tokens": (18_300, '<span title="18,300">18.3 k</span>'),
    "share": (0.0001, "&lt; 0.1 %"),
    "time": (
        0,
        '<time datetime="1970-01-01T00:00:00+00:00" title="1970-01-01 00:00:00 UTC">1970-01-01 00:00:00</time>',
    ),
    "duration": (738, "738 ms"),
    "state": (("warn", "<i>"), '<span class="state warn">&lt;i&gt;</span>'),
    "markup": (Markup("<svg/>"), "<svg/>"),
}


def _rows(kind: Kind, *rows: Any, **more: Any) -> str:
    return str(rows_of(view_table(Table("t", "T", (Column("a", "A & B", kind, **more),), rows, ""), {}), UTC))


class _Texts(HTMLParser):
    """What a browser reads: elements and attributes' values, and the text between."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.values: list[str | None] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.values += [value for _, value in attrs]

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("kind", get_args(Kind))
def test_every_kind_of_cell(kind: Kind) -> None:
    value, shown = VALUES[kind]
    is_number = ' class="number"' if Column("a", "A", kind).is_number else ""
    begin = f'<tr><td{is_number} data-label="A &amp; B">'
    nothing = f"<tr><td{is_number}>{NOTHING}</td></tr>\n"
    assert _rows(kind, {"a": value}) == f"{begin}{shown}</td></tr>\n"
    assert _rows(kind, {"a": None, "b": "/x"}, {}, link="b") == nothing * 2
    linked = _rows(kind, {"a": value, "b": '/x?"<'}, link="b")
    assert linked == f'{begin}<a href="/x?&quot;&lt;">{shown}</a></td></tr>\n'


@given(st.text(max_size=200), st.sampled_from(["text", "code", "state"]))
def test_texts_stay_texts(text: str, kind: Kind) -> None:
    row = {"a": ("bad", text) if kind == "state" else text, "b": text}
    read = _Texts(_rows(kind, row, link="b"))
    assert set(read.names) <= {"tr", "td", "a", "span", "code", "details", "summary"}
    plain = text.replace("\r\n", "\n").replace("\r", "\n")
    assert not text or text in [value for value in read.values if value]
    assert plain[:80].strip() in read.text.replace("\r\n", "\n").replace("\r", "\n")


def test_a_long_text_is_cut() -> None:
    text = "x" * 5000
    assert _rows("text", {"a": text}).count("x") == 80 + 1000
    assert _rows("code", {"a": text}).count("x") == 80 + 1000
