"""What export hands out is the view `usage`, to the last digit, whatever is written meanwhile."""

import csv
import io
import json
import random
import sqlite3
import threading
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from proxy.storage.adjustment import Correction
from proxy.storage.export import COLUMNS, Selection, csv_encoder, jsonl_encoder
from proxy.storage.rows import id_floor
from proxy.storage.sqlite.adjustments import correct
from proxy.storage.sqlite.connect import open_reader
from proxy.storage.sqlite.csv_lines import csv_chunks
from proxy.storage.sqlite.export import slices
from tests.storage.made_rows import START_MS, fill, insert, ledger, made

COUNT = 8000


@pytest.fixture(scope="module")
def big(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ledger") / "tollkeeper.db"
    with ledger(path, zone="Europe/Stockholm", currency="SEK", rate="10.4217") as connection:
        rows = fill(connection, COUNT)
        for more in (7, 4):
            cost_pusd = (rows[5]["cost_pusd"] or 0) + more
            correct(connection, [Correction(rows[5]["id"], cost_pusd, "late", "generation")], 1)
    return path


def lines(path: Path, selection: Selection, encoder: Any = csv_encoder) -> str:
    connection = open_reader(path)
    try:
        head, encode = encoder(selection.columns)
        text: bytes = head + b"".join(encode(piece.rows) for piece in slices(connection, selection, 777))
        if encoder is csv_encoder:  # the quick way is the same to the byte
            chunks = list(csv_chunks(connection, selection, 777))
            assert b"".join(chunk.data for chunk in chunks) == text
            assert sum(chunk.rows for chunk in chunks) == sum(len(p.rows) for p in slices(connection, selection))
        return text.decode()
    finally:
        connection.close()


def view(path: Path, condition: str = "TRUE") -> list[dict[str, Any]]:
    connection = open_reader(path)
    connection.row_factory = sqlite3.Row
    try:
        query = f"SELECT * FROM usage WHERE {condition} ORDER BY request_id"  # noqa: S608 - conditions of this file
        return [dict(row) for row in connection.execute(query)]
    finally:
        connection.close()


def test_the_columns_are_those_of_the_view_in_its_order(big: Path) -> None:
    assert tuple(view(big, "user = 'anna'")[0]) == COLUMNS


def test_csv_round_trip(big: Path) -> None:
    """Every cell of 8,000 rows, and the sum of money, as the view has them."""
    found = list(csv.DictReader(io.StringIO(lines(big, Selection()), newline="")))
    expected = view(big)
    assert len(found) == len(expected) == COUNT
    for cells, row in zip(found, expected, strict=True):
        for name in COLUMNS:
            value, cell = row[name], cells[name]
            if value is None:
                assert cell == ""
            elif name == "cost_usd":
                assert Decimal(cell) == Decimal(row["cost_pusd"]).scaleb(-12)
            elif name == "cost_local":
                assert Decimal(cell) == Decimal(row["cost_pusd"]).scaleb(-12) * Decimal("10.4217")
                assert float(cell) == pytest.approx(value)
            else:
                assert cell.removeprefix("'") == str(value)
    connection = open_reader(big)
    total = connection.execute("SELECT sum(cost_pusd) FROM usage").fetchone()[0]
    connection.close()
    assert sum(int(cells["cost_pusd"] or 0) for cells in found) == total
    assert sum(Decimal(cells["cost_usd"] or 0) for cells in found) == Decimal(total).scaleb(-12)


def test_jsonl_round_trip(big: Path) -> None:
    found = [json.loads(line, parse_float=Decimal) for line in lines(big, Selection(), jsonl_encoder).splitlines()]
    for row, expected in zip(found, view(big), strict=True):
        assert list(row) == list(COLUMNS)
        for name in set(COLUMNS) - {"cost_usd", "cost_local", "tags"}:
            assert row[name] == expected[name]
        assert row["tags"] == (None if expected["tags"] is None else json.loads(expected["tags"]))
        if expected["cost_pusd"] is not None:
            assert row["cost_usd"] == Decimal(expected["cost_pusd"]).scaleb(-12)


def test_no_cell_is_a_formula(big: Path) -> None:
    found = list(csv.DictReader(io.StringIO(lines(big, Selection()), newline="")))
    users = {cells["user"] for cells in found}
    assert "'=cmd()" in users
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cells in found for cell in cells.values())


@given(st.text(max_size=20))
def test_any_text_survives_csv(text: str) -> None:
    _, encode = csv_encoder(("user",))
    assert encode([(text,), (text,)]) == 2 * encode([(text,)])
    (cell,) = next(csv.reader(io.StringIO(encode([(text,)]).decode(), newline="")))
    if text.startswith(("=", "+", "-", "@", "\t", "\r")):
        assert cell == f"'{text}"
    else:
        assert cell == text


@pytest.mark.parametrize(
    ("selection", "condition"),
    [
        (Selection(users=("anna",)), "user = 'anna'"),
        (Selection(users=("anna", "=cmd()")), "user IN ('anna', '=cmd()')"),
        (Selection(users=("nobody",)), "FALSE"),
        (Selection(models=("openai/*",)), "model GLOB 'openai/*' OR requested_model GLOB 'openai/*'"),
        (Selection(models=("fast", "meta/llama")), "requested_model IN ('fast', 'meta/llama')"),
        (Selection(users=("bob",), models=("meta/*",)), "user = 'bob' AND requested_model = 'meta/llama'"),
        (Selection(since_ms=START_MS + 7_654_321), f"ts >= {START_MS + 7_654_321}"),
        (Selection(until_ms=START_MS + 7_654_321), f"ts < {START_MS + 7_654_321}"),
        (
            Selection(since_ms=START_MS + 1_000_001, until_ms=START_MS + 300_000_007),
            f"ts >= {START_MS + 1_000_001} AND ts < {START_MS + 300_000_007}",
        ),
        (Selection(since_ms=START_MS + 10**11), "FALSE"),
        (Selection(until_ms=START_MS), "FALSE"),
    ],
)
def test_selections(big: Path, selection: Selection, condition: str) -> None:
    ts = "(CAST(strftime('%s', ts) AS INTEGER) * 1000 + CAST(substr(ts, 21, 3) AS INTEGER))"
    expected = [row["request_id"] for row in view(big, condition.replace("ts ", f"{ts} "))]
    text = lines(
        big, Selection(("request_id",), selection.since_ms, selection.until_ms, selection.users, selection.models)
    )
    assert text.splitlines()[1:] == expected


def test_chosen_columns_in_the_chosen_order(big: Path) -> None:
    text = lines(big, Selection(("cost_usd", "user")))
    assert text.splitlines()[0] == "cost_usd,user"


TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=6) | st.sampled_from(
    ["a,b", '"', "=1", "-5", "+", "@x", "\t", "\r", "a\nb", ",-", "\n=", "", "req"]
)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, sqlite3.Connection]]:
    """Return a ledger of four rows that are changed for each example."""
    path = tmp_path_factory.mktemp("small") / "tollkeeper.db"
    with ledger(path) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        chance = random.Random(1)
        insert(connection, [made(n, START_MS + n, chance) for n in range(4)])
        yield path, connection


def _with(text: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return the example of rows in which nothing but one text needs care."""
    return example([text, "m", None, None], None, 1, ("1",), COLUMNS, False)


@_with("a,b")
@_with('a"b')
@_with("a\nb")
@_with("=b")
@_with("-b")
@_with("ab")
@example(["a", "m", None, None], None, 10 * 10**12, ("1",), COLUMNS, False)  # whole dollars keep their zeros
@settings(max_examples=80, deadline=None)
@given(
    texts=st.lists(st.none() | TEXTS, min_size=4, max_size=4),
    tags=st.none() | st.dictionaries(TEXTS, TEXTS, max_size=2).map(json.dumps),
    cost=st.none() | st.integers(0, 2**63 - 1) | st.integers(0, 9).map(lambda usd: usd * 10**12),
    rates=st.sampled_from([("1",), ("10.4217",), ("1", "10.4217"), ()]),
    columns=st.lists(st.sampled_from(COLUMNS), min_size=1, max_size=8, unique=True).map(tuple) | st.just(COLUMNS),
    days=st.booleans(),
)
def test_both_ways_to_csv_are_the_same_to_the_byte(
    small: tuple[Path, sqlite3.Connection],
    texts: list[str | None],
    tags: str | None,
    cost: int | None,
    rates: tuple[str, ...],
    columns: tuple[str, ...],
    days: bool,
) -> None:
    """Whatever stands in a row: formulas, quotes, line breaks; the local rate of each time; nothing at all."""
    path, connection = small
    step_ms = 40_000_000 if days else 1000
    connection.execute("DELETE FROM rates")
    for n, rate in enumerate(rates):
        connection.execute("INSERT INTO rates VALUES ('USD', ?, ?)", (n * (START_MS + 2 * step_ms), rate))
    connection.execute(
        "UPDATE requests SET started_ms = ? + ? * (id % 2097152), user = ifnull(?, ''), model = ?, use_case = ?,"
        " flags = ?, tags = ?, cost_pusd = ?",
        (START_MS, step_ms, *texts, tags, cost),
    )
    lines(path, Selection(columns))


def test_an_empty_ledger(tmp_path: Path) -> None:
    with ledger(tmp_path / "x.db"):
        pass
    assert lines(tmp_path / "x.db", Selection(("user",))) == "user\n"
    assert lines(tmp_path / "x.db", Selection(("user",)), jsonl_encoder) == ""


def test_rows_after_a_clock_was_set_back(tmp_path: Path) -> None:
    """Ids run ahead of the clock then; ranges still hold exactly what began in them."""
    path = tmp_path / "x.db"
    chance = random.Random(3)
    with ledger(path) as connection:
        insert(connection, [made(0, START_MS + 10 * 86_400_000, chance)])
        ahead = id_floor(START_MS + 10 * 86_400_000)
        insert(connection, [{**made(n, START_MS + n, chance), "id": ahead + n} for n in range(1, 50)])
    text = lines(path, Selection(("request_id",), START_MS + 10, START_MS + 20))
    assert len(text.splitlines()) == 11
    assert len(lines(path, Selection(("request_id",), START_MS + 1000)).splitlines()) == 2


def test_while_a_writer_writes(tmp_path: Path) -> None:
    """All that was there at the start comes out once and unharmed; the WAL is folded in meanwhile."""
    path = tmp_path / "x.db"
    with ledger(path) as connection:
        rows = fill(connection, COUNT)
        stop = threading.Event()
        written = 0
        blocked = []

        def write() -> None:
            nonlocal written
            chance = random.Random(9)
            while not stop.is_set():
                written += 1
                insert(connection, [made(written, START_MS + 10**9 + written, chance)])
                if written % 50 == 0:
                    blocked.append(connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0])

        reader = open_reader(path)
        writer = threading.Thread(target=write)
        head, encode = csv_encoder(("request_id", "cost_pusd"))
        found = [head]
        pieces = slices(reader, Selection(("request_id", "cost_pusd")), 100)
        found.append(encode(next(pieces).rows))
        writer.start()
        try:
            found += [encode(piece.rows) for piece in pieces]
        finally:
            stop.set()
            writer.join()
            reader.close()
    assert written > 0
    cells = list(csv.DictReader(io.StringIO(b"".join(found).decode(), newline="")))
    assert len(cells) == len({row["request_id"] for row in cells}) == COUNT
    assert sum(int(row["cost_pusd"] or 0) for row in cells) == sum(row["cost_pusd"] or 0 for row in rows)


def test_no_read_transaction_stays_open_between_slices(big: Path) -> None:
    """A reader that pauses (a slow pipe) does not keep the writer from folding the WAL in."""
    reader = open_reader(big)
    pieces = slices(reader, Selection(), 100)
    next(pieces)
    assert not reader.in_transaction
    with ledger(big) as connection:
        connection.execute("INSERT INTO meta VALUES ('a', 'b')")
        busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        assert busy == 0
    reader.close()


@pytest.mark.parametrize("since_ms", [None, 0])
def test_progress_begins_with_the_first_row(big: Path, since_ms: int | None) -> None:
    """Ids count from 1970: what is between then and the first row is no part of the way."""
    reader = open_reader(big)
    selection = Selection(("user",), since_ms)
    for pieces in (list(csv_chunks(reader, selection, COUNT // 10))[1:], list(slices(reader, selection, COUNT // 10))):
        done = [piece.done for piece in pieces]
        assert done[0] < 0.2
        assert 0.4 < done[len(done) // 2 - 1] < 0.6
        assert done[-1] == 1
    reader.close()


def test_every_column_is_explained() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "reference" / "export.md").read_text()
    explained = page.partition("## Columns")[2].partition("## Formats")[0]
    assert [name for name in COLUMNS if f"`{name}`" not in explained] == []
