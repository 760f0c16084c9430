"""What all rows have in common is written once: the same bytes as cell by cell, whatever changes from row to row."""

import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.storage.export import Selection, csv_encoder
from proxy.storage.sqlite.connect import open_reader
from proxy.storage.sqlite.csv_lines import csv_chunks
from proxy.storage.sqlite.export import COLUMNS_SQL, slices
from proxy.storage.sqlite.usual_cells import MARK, UsualCells
from tests.storage.made_rows import START_MS, insert, ledger, made

_COUNT, _SLICE = 420, 60
_ALL = Selection()
_ALL_ROWS = "FROM requests r WHERE TRUE"
_NONE, _FEW = "AND FALSE", "AND r.id IN (SELECT id FROM requests LIMIT 49)"
_TEXTS = [
    "a",
    "50%s",
    "it's",
    "it''s",
    "",
    "x" + MARK,
    "a,b",
    '"q"',
    "=1+1",
    "-5",
    "two\nlines",
    "bö",
    "%",
    "(?)",
    "r.id",
]
_GIVEN_COLUMNS = ("user", "token_id", "requested_model")  # each row has them
_TEXT_COLUMNS = (*_GIVEN_COLUMNS, "group_name", "model", "use_case", "error", "finish_reason")
_INTEGERS = [0, 1, 7, 2**40]
_INTEGER_COLUMNS = ("status", "output_tokens", "cached_tokens", "reasoning_tokens", "ttft_ms", "images", "cost_pusd")


def rows(changes: dict[int, dict[str, Any]]) -> list[dict[str, Any]]:
    """Return rows that differ in nothing but their time; changes: what is another from a row on."""
    chance, current = random.Random(7), dict[str, Any]()
    columns = [*_TEXT_COLUMNS, *_INTEGER_COLUMNS]
    one = {**dict.fromkeys(columns), **made(0, START_MS, chance), "state": "settled", "tags": None, "user": "anna"}
    found = []
    for n in range(_COUNT):
        current |= changes.get(n, {})
        at_ms = START_MS + n * 1000
        found.append({**one, **current, "id": made(n, at_ms, chance)["id"], "started_ms": at_ms})
    return found


def both_ways(path: Path, selection: Selection = _ALL) -> tuple[bytes, bytes]:
    """Return the file as it is exported, and as the one encoder of CSV writes the values."""
    with closing(open_reader(path)) as reader:
        head, encode = csv_encoder(selection.columns)
        values = head + b"".join(encode(piece.rows) for piece in slices(reader, selection, _SLICE))
        return b"".join(chunk.data for chunk in csv_chunks(reader, selection, _SLICE)), values


_CHANGES = st.dictionaries(
    st.integers(0, _COUNT - 1),
    st.fixed_dictionaries(
        {},
        optional={
            **dict.fromkeys(_TEXT_COLUMNS, st.none() | st.sampled_from(_TEXTS)),
            **dict.fromkeys(_GIVEN_COLUMNS, st.sampled_from(_TEXTS)),
            **dict.fromkeys(_INTEGER_COLUMNS, st.none() | st.sampled_from(_INTEGERS)),
            "tags": st.none() | st.sampled_from(['{"k":"v"}', '{"a":"b, \\"c\\"","d":"%s"}']),
        },
    ),
    max_size=8,
)


@settings(max_examples=60, deadline=None)
@given(changes=_CHANGES)
def test_whatever_changes(changes: dict[int, dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("ledger") / "tollkeeper.db"
    with ledger(path) as connection:
        insert(connection, rows(changes))
    quick, values = both_ways(path)
    assert quick == values


def test_one_value_in_the_midst_of_a_slice(tmp_path: Path) -> None:
    """A cost of its own in one row of many that have the same one."""
    with ledger(tmp_path / "a.db") as connection:
        insert(connection, rows({0: {"cost_pusd": 5}, 200: {"cost_pusd": 7_000_000_000_001}, 201: {"cost_pusd": 5}}))
    quick, values = both_ways(tmp_path / "a.db", Selection(("cost_pusd", "cost_usd", "user")))
    assert quick == values
    assert quick.count(b"7000000000001,7.000000000001,anna\n") == 1


def test_what_goes_on_changing_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[bool] = []
    whole = UsualCells.learn

    def learn(self: UsualCells, *given: Any) -> bool:
        answers.append(whole(self, *given))
        return answers[-1]

    monkeypatch.setattr(UsualCells, "learn", learn)
    with ledger(tmp_path / "a.db") as connection:
        insert(connection, rows({n: {"finish_reason": f"r{n // 25}"} for n in range(0, _COUNT, 25)}))
    quick, values = both_ways(tmp_path / "a.db")
    assert quick == values
    assert answers == [True]  # it was none of the usual ones from the first slice on
    answers.clear()
    with ledger(tmp_path / "b.db") as connection:
        insert(connection, rows({n: {"finish_reason": f"r{n}"} for n in range(0, _COUNT, _SLICE)}))
    quick, values = both_ways(tmp_path / "b.db")
    assert quick == values
    assert answers == [True] * 5  # of seven slices: the first, three changes, and the one after which it is left alone


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with ledger(tmp_path / "a.db") as connection:
        insert(connection, rows({0: {"model": "50%, it's", "images": None, "status": -3}, 9: {"error": "x"}}))
    with closing(open_reader(tmp_path / "a.db")) as found:
        yield found


def test_how_terms_are_written(reader: sqlite3.Connection) -> None:
    terms = [*map(COLUMNS_SQL.__getitem__, ("model", "status", "images", "error", "input_tokens", "request_id"))]
    usual = UsualCells(terms)
    assert usual.is_new
    assert [usual.text(term) for term in terms] == [None] * 6
    assert usual.mark() == "''"
    assert usual.learn(reader, _ALL_ROWS, {})
    assert not usual.is_new
    assert [usual.text(term) for term in terms[:4]] == ["50%, it's", "-3", "", None]
    assert usual.write("r.model || r.error") == "'50%, it''s' || r.error"
    assert usual.write("1 - r.status") == "1 - (-3)"
    assert reader.execute(f"SELECT count(*) {_ALL_ROWS} AND {usual.mark()} <> ''").fetchone() == (0,)
    assert not usual.learn(reader, _ALL_ROWS, {})


@pytest.mark.parametrize("condition", [_NONE, _FEW])
def test_few_rows_tell_nothing(reader: sqlite3.Connection, condition: str) -> None:
    usual = UsualCells(["r.model"])
    assert not usual.learn(reader, f"{_ALL_ROWS} {condition}", {})
    assert usual.text("r.model") is None


def test_a_broken_text_is_no_error(tmp_path: Path) -> None:
    with ledger(tmp_path / "a.db") as connection:
        insert(connection, rows({}))
        connection.execute("UPDATE requests SET finish_reason = CAST(x'ff41' AS TEXT)")  # as damage leaves it
    with closing(open_reader(tmp_path / "a.db")) as reader:
        usual = UsualCells(["r.finish_reason", "r.user"])
        assert usual.learn(reader, _ALL_ROWS, {})
        assert (usual.text("r.finish_reason"), usual.text("r.user")) == (None, "anna")
