"""Tables by the address: each row once, in order, filtered, in pages, and the same as CSV."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from proxy.web.dashboard.table import Column, Table, csv_of, view_table

COLUMNS = (
    Column("name", "Name"),
    Column("cost", "Cost", "money"),
    Column("calls", "Calls", "count"),
    Column("bar", "", "markup"),
)
NAMES = st.sampled_from(["ann", "Bo", "=cmd|x", "ä", "", "<b>", "-1", "ann"])
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "name": st.none() | NAMES,
            "cost": st.none() | st.integers(-(10**15), 10**15),
            "calls": st.integers(0, 9),
            "bar": st.just("<svg>"),
        }
    ),
    max_size=120,
)


def table(rows: Sequence[Mapping[str, Any]], **more: Any) -> Table:
    return Table("t", "Things", COLUMNS, rows, "Nothing yet.", **more)


@given(ROWS, st.sampled_from(["cost", "-cost", "name", "-name", "calls", "bar", "nothing", ""]), st.integers(1, 60))
def test_every_row_is_on_one_page(rows: list[Mapping[str, Any]], sort: str, size: int) -> None:
    shown: list[Mapping[str, Any]] = []
    first = view_table(table(rows, page_size=size), {"t.sort": sort})
    for page in range(1, first.pages + 1):
        shown += view_table(table(rows, page_size=size), {"t.sort": sort, "t.page": str(page)}).rows
    assert sorted(map(id, shown)) == sorted(map(id, rows))
    if sort in ("cost", "-cost"):
        values = [row["cost"] for row in shown if row["cost"] is not None]
        assert values == sorted(values, reverse=sort == "-cost")
        assert all(row["cost"] is None for row in shown[len(values) :])  # what has no value comes last


@given(ROWS, st.sampled_from(["ann", "AN", "bo", "b>", "zz"]))
def test_the_filter_keeps_the_rows_that_hold_the_text(rows: list[Mapping[str, Any]], text: str) -> None:
    view = view_table(table(rows, page_size=1000), {"t.q": text})
    wanted = [row for row in rows if text.casefold() in (row["name"] or "").casefold()]
    assert view.rows == wanted
    assert view.found == len(wanted)


@given(ROWS)
def test_csv_has_all_rows_with_exact_amounts_and_no_formula(rows: list[Mapping[str, Any]]) -> None:
    lines = list(csv.reader(io.StringIO(csv_of(table(rows, page_size=7), {"t.page": "2"}))))
    assert lines[0] == ["name", "cost_usd", "calls"]
    assert len(lines) == len(rows) + 1
    for line, row in zip(lines[1:], rows, strict=True):
        assert not line[0].startswith(("=", "-", "+", "@"))
        assert line[0].removeprefix("'") == (row["name"] or "")
        assert line[2] == str(row["calls"])


def test_a_click_sorts_and_a_second_one_turns_it_round() -> None:
    cost, name = COLUMNS[1], COLUMNS[0]
    view = view_table(table([]), {})
    assert (view.next_sort(cost), view.next_sort(name)) == ("-cost", "name")
    turned = view_table(table([]), {"t.sort": "-cost"})
    assert turned.next_sort(cost) == "cost"
    assert (turned.order_of(cost), turned.order_of(name)) == ("descending", None)


def test_what_an_address_asks_in_vain_is_passed_over() -> None:
    rows = [{"name": "a", "cost": 1, "calls": 1}]
    for page in ("0", "-1", "9", "x", "9" * 20, "٣"):
        assert view_table(table(rows), {"t.page": page}).rows == rows


def test_of_a_list_that_is_cut_elsewhere_the_rows_of_a_page_are_sorted() -> None:
    rows = [{"name": name, "cost": 0, "calls": 0} for name in "cab"]
    query = {"t.sort": "name", "t.q": "a", "t.page": "4"}
    plain = view_table(table(rows, is_paged_elsewhere=True), {**query, "t.sort": ""})
    assert plain.rows == rows
    view = view_table(table(rows, is_paged_elsewhere=True), query)
    assert "".join(row["name"] for row in view.rows) == "abc"
    assert view.order_of(COLUMNS[0]) == "ascending"
    sorted_there = view_table(table(rows, is_paged_elsewhere=True, is_sorted_elsewhere=True), query)
    assert sorted_there.rows == rows
    assert sorted_there.next_sort(COLUMNS[0]) == "-name"
