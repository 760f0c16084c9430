"""Rows reach the file as they are, whichever of their columns stand in the text of the statement."""

import itertools
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from proxy.storage.reports import OwnAttempt, OwnRequest, PastAttempt
from proxy.storage.rows import (
    END_COLUMNS,
    AttemptEnd,
    AttemptRow,
    GenerationNote,
    OpenRow,
    RequestEnd,
    UnfinishedAttempt,
    UnfinishedRequest,
)
from proxy.storage.sqlite import own_usage, startup_reads, statements
from proxy.storage.sqlite.connect import connect_owner
from proxy.storage.sqlite.statements import BatchStatement

OPENED = OpenRow(
    1,
    10,
    "2026-01-01",
    "anna",
    None,
    "t",
    "chat/completions",
    "m",
    None,
    None,
    None,
    7,
    None,
    0,
    "one",
    "k",
    "m",
    None,
    77,
)
ENDED = RequestEnd(
    *(10, 1, 20, 3, 4, 0, 0, 5, 2, 1, "gen-1", 5, "stop", "m", "one", "Behind", 0),
    *(200, 200, "provider", "settled", 1, None, None, "ok", None),
    *("anna", None, None, 0, 0, 0, ()),
)
# a value for each column that nearly all rows leave as it is, and one that the statement's text could spoil
OPENED_OTHERWISE: tuple[dict[str, Any], ...] = (
    {},
    {"use_case": "it's"},
    {"session_id": "s"},
    {"tags": '{"a": "b"}'},
    {"group_name": "g"},
    {"reserved_tokens": 0},
    {"groups_above": "unit company"},
    {"key_id": None},
    {"use_case": "None", "group_name": "", "reserved_tokens": 9, "tags": "NULL"},
)
ENDED_OTHERWISE: tuple[dict[str, Any], ...] = (
    {},
    {"status": 502, "upstream_status": None, "outcome": "error", "error": "upstream_error"},
    {"state": "released"},
    {"state": "pending", "cost_source": "none", "cost_pusd": None},
    {"attempts": 2},
    {"flags": "value_clamped"},
    {"cost_source": "price"},
    {"other_models": "one/dear\none/it's"},
    {"is_byok": None, "upstream_cost_pusd": None},
    {"is_byok": 1, "upstream_cost_pusd": 0},
    {"is_byok": None},
    {"is_byok": 0, "upstream_cost_pusd": None},
)
OPEN_NAMES = OpenRow._fields[: OpenRow._fields.index("key_id") + 1]
END_NAMES = tuple(RequestEnd._fields)[END_COLUMNS]


@pytest.fixture
def ledger(tmp_path: Path) -> Any:
    connection = connect_owner(tmp_path / "ledger.db", 1)
    yield connection
    connection.close()


def run(connection: sqlite3.Connection, statement: BatchStatement, rows: list[Any]) -> int:
    return sum(connection.execute(sql, values).rowcount for sql, values in statement.runs(rows))


def read(connection: sqlite3.Connection, names: tuple[str, ...]) -> list[tuple[object, ...]]:
    return connection.execute(f"SELECT {', '.join(names)} FROM requests ORDER BY id").fetchall()  # noqa: S608 - ours


@pytest.mark.parametrize(
    ("statement", "row", "first"),
    [
        (statements.OPEN, OpenRow, 0),
        (statements.END, RequestEnd, END_COLUMNS.start),
        (statements.ATTEMPT, AttemptRow, 0),
        (statements.ATTEMPT_END, AttemptEnd, 0),
        (statements.GENERATION, GenerationNote, 0),
    ],
)
def test_the_names_of_a_row_are_its_columns(statement: BatchStatement, row: Any, first: int) -> None:
    """Rows are written by position: a field that moves would put one count into the column of another."""
    columns = list(statement.names)
    assert list(row._fields[first : first + len(columns)]) == columns


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        (statements.UNFINISHED, UnfinishedRequest._fields[: UnfinishedRequest._fields.index("flags") + 1]),
        (statements.ATTEMPTS, UnfinishedAttempt._fields[:-2]),
        (own_usage._OWN, tuple(name for name in OwnRequest._fields if name != "cost_pusd")),
        (own_usage._ATTEMPTS, OwnAttempt._fields),
        (startup_reads._RECENT, PastAttempt._fields),
    ],
)
def test_the_columns_of_a_query_are_the_names_of_its_row(
    ledger: sqlite3.Connection, query: str, fields: tuple[str, ...]
) -> None:
    cursor = ledger.execute(query, [0] * 4 if "?4" in query else [0])
    names = [column[0] for column in cursor.description if "(" not in column[0]]  # an expression has no name
    assert tuple(names[: len(fields)]) == fields


@pytest.mark.parametrize("count", [1, 2, 3, 32, 33, 64, 65, 150])
def test_every_mixture_of_rows_is_written_as_it_is(ledger: sqlite3.Connection, count: int) -> None:
    last_id = 0
    for shift in range(max(len(OPENED_OTHERWISE), len(ENDED_OTHERWISE))):
        numbers = range(last_id + 1, last_id + count + 1)
        last_id += count
        opened = [
            OPENED._replace(id=n, **changed)
            for n, changed in zip(numbers, itertools.cycle((*OPENED_OTHERWISE[shift:], {})), strict=False)
        ]
        ended = [
            ENDED._replace(id=n, **changed)
            for n, changed in zip(numbers, itertools.cycle((*ENDED_OTHERWISE[shift:], {})), strict=False)
        ]
        assert run(ledger, statements.OPEN, opened) == count
        assert read(ledger, OPEN_NAMES)[-count:] == [row[: len(OPEN_NAMES)] for row in opened]
        assert run(ledger, statements.END, ended) == count
        assert read(ledger, END_NAMES)[-count:] == [row[END_COLUMNS] for row in ended]


@pytest.mark.parametrize("changed", OPENED_OTHERWISE)
def test_one_row_alone_is_written_as_it_is(ledger: sqlite3.Connection, changed: dict[str, Any]) -> None:
    row = OPENED._replace(**changed)
    run(ledger, statements.OPEN, [row])
    assert read(ledger, OPEN_NAMES) == [row[: len(OPEN_NAMES)]]


@pytest.mark.parametrize("changed", ENDED_OTHERWISE)
def test_an_end_leaves_nothing_of_the_one_before(ledger: sqlite3.Connection, changed: dict[str, Any]) -> None:
    """An end may come twice, once with its cost still awaited: what the second one does not have is NULL again."""
    run(ledger, statements.OPEN, [OPENED])
    first = ENDED._replace(
        state="pending", error="interrupted", flags="unclear", status=499, outcome="left", attempts=3
    )
    second = ENDED._replace(**changed)
    assert run(ledger, statements.END, [first]) == 1
    assert run(ledger, statements.END, [second]) == 1
    assert read(ledger, END_NAMES) == [second[END_COLUMNS]]


def test_what_nearly_all_rows_have_is_not_bound() -> None:
    """To bind a None or a text costs more than the rest of its column."""
    [(text, values)] = statements.OPEN.runs([OPENED])
    assert None not in values
    assert text.count("NULL") == 6
    [(text, values)] = statements.END.runs([ENDED._replace(id=n) for n in range(5)])
    assert len(values) == 5 * (len(END_NAMES) - 10)


def test_values_of_callers_are_not_kept_without_bound() -> None:
    statement = BatchStatement("INSERT INTO t (a, b)", ["a", "b"], "", ({"b": None},))
    texts = {sql for n in range(5000) for sql, _ in statement.runs([(n, f"tag {n}")])}
    assert texts == {"INSERT INTO t (a, b) VALUES (?, ?)"}
    assert len(statement._masks) <= 1024
    assert statement.runs([(1, None), (2, None)]) == [("INSERT INTO t (a, b) VALUES (?, NULL), (?, NULL)", [1, 2])]
