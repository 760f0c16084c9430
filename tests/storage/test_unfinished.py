"""What a start must take up is found without reading the rows that ended long ago."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.storage.sqlite import statements
from proxy.storage.sqlite import writer as writing
from proxy.storage.sqlite.connect import connect_owner
from tests.storage.made_requests import START_MS, open_row, opened, read, request_end, running

_ALL = "SELECT id FROM requests WHERE state IN ('open', 'pending') ORDER BY id"
_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("arrive"), st.just(0)),  # an id is given: the request opens some time later
        st.tuples(st.sampled_from(["open", "pending", "settled", "released"]), st.integers(0, 30)),
    ),
    max_size=25,
)


def _left(path: Path) -> list[tuple[int]]:
    with closing(sqlite3.connect(path)) as connection:
        return [(row[0],) for row in connection.execute(statements.UNFINISHED, (None,))]


async def _play(path: Path, steps: list[tuple[str, int]]) -> None:
    async with running(path) as ledger:
        arrived, alive = [ledger.ids.next(START_MS)], []
        for what, which in steps:
            if what == "arrive":
                arrived.append(ledger.ids.next(START_MS))
            elif what == "open" and arrived:
                row = open_row(arrived.pop(which % len(arrived)))
                await ledger.open(row)
                alive.append(row)
            elif what != "open" and alive:
                row = alive[which % len(alive)] if what == "pending" else alive.pop(which % len(alive))
                cost_pusd = {"pending": None, "released": 0}.get(what, 700)
                source = "provider" if what == "settled" else "none"
                await ledger.end(request_end(row, state=what, cost_pusd=cost_pusd, cost_source=source))
            assert _left(path) == read(path, _ALL)
    assert _left(path) == read(path, _ALL)


@given(steps=_STEPS)
@settings(max_examples=60, deadline=None)
def test_none_is_missed(tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writing, "_MARK_EVERY_S", 0.0)  # a mark with each commit: any of them may be the last
        asyncio.run(_play(tmp_path_factory.mktemp("unfinished") / "ledger.db", steps))


async def test_a_start_reads_none_that_ended_long_ago(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    async with running(path) as ledger:
        for _ in range(500):
            await ledger.end(request_end(await opened(ledger)))
        last = await opened(ledger)
    with closing(connect_owner(path, 1.0)) as connection:
        seen = _steps(connection, statements.UNFINISHED, (None,))
        assert seen < _steps(connection, _ALL, ()) / 10
        assert [row[0] for row in connection.execute(statements.UNFINISHED, (None,))] == [last.id]


def _steps(connection: sqlite3.Connection, sql: str, parameters: tuple[object, ...]) -> int:
    """Count the instructions of SQLite's machine that a statement takes."""
    count = 0

    def step() -> int:
        nonlocal count
        count += 1
        return 0

    connection.set_progress_handler(step, 1)
    connection.execute(sql, parameters).fetchall()
    connection.set_progress_handler(None, 0)
    return count
