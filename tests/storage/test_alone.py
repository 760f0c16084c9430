"""A row that is alone in its group goes a shorter way: it leaves what the way of groups leaves."""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from math import inf
from pathlib import Path
from random import Random
from typing import Any

import pytest

from proxy.core.counts import Counts
from proxy.core.eager_task import InlineFuture
from proxy.core.limit_kinds import NO_PIECES
from proxy.storage.ledger import EndedTwiceError
from proxy.storage.rows import HOUR_MS, BilledEndpoint
from proxy.storage.sqlite import statements
from proxy.storage.sqlite.connect import connect_owner
from proxy.storage.sqlite.writer import What, Writer
from tests.durability.workload import Workload
from tests.storage.made_requests import START_MS, attempt_end, open_row, request_end

_ALONE, _TOGETHER = inf, 0.0  # when the writer has to look at more than the row


class _Written:
    """A ledger with a writer whose thread is not started: what it writes, it writes here."""

    def __init__(self, path: Path, loop: asyncio.AbstractEventLoop) -> None:
        self.connection = connect_owner(path, 1.0)
        self._loop = loop
        self.writer = Writer(self.connection, loop, 1)

    def write(self, due_s: float, *whats: What) -> None:
        self.writer._mark_due_s = due_s
        self.writer._transaction([(what, InlineFuture(self._loop), None) for what in whats])

    def rows(self) -> dict[str, list[tuple[Any, ...]]]:
        """Return all rows of all tables, but for what a ledger has of its own."""
        query = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT IN ('meta', 'sqlite_sequence')"
        names = [name for (name,) in self.connection.execute(query)]
        return {name: sorted(self.connection.execute(f"SELECT * FROM {name}"), key=repr) for name in names}  # noqa: S608 - ours

    def found(self) -> set[int]:
        """Return the unfinished requests that a start finds, which reads no more than the mark says."""
        return {row[0] for row in self.connection.execute(statements.UNFINISHED, (None,))}


@contextmanager
def _written(path: Path) -> Iterator[_Written]:
    with closing(asyncio.new_event_loop()) as loop:
        written = _Written(path, loop)
        with closing(written.connection):
            yield written


_COUNTS = Counts(*range(1, len(Counts._fields) + 1))
_PIECES = (3,) * max(1, len(NO_PIECES))
_ENDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "nothing known": {"model": None, "input_tokens": None, "output_tokens": None, "cost_pusd": None},
    "released": {"state": "released", "cost_pusd": 0, "cost_source": "none"},
    "pending": {"state": "pending", "cost_pusd": None, "cost_source": "none"},
    "in doubt": {"flags": "cost_unknown"},
    "in no doubt": {"flags": "fell_back"},
    "failed": {"error": "upstream_error", "status": 502, "upstream_status": None, "outcome": "upstream_error"},
    "gone": {"status": 499},
    "counts": {"counts": _COUNTS},
    "pieces": {"uncounted_pieces": _PIECES},
    "billed": {"billed": BilledEndpoint("endpoint", "model-1")},
    "own key": {"is_byok": 1, "upstream_cost_pusd": 7},
    "other models": {"other_models": "p/dear\np/cheap"},
    "several": {"attempts": 2, "attempt_ends": (attempt_end(1, 2),)},
    "streamed": {"streamed": 1, "ttft_ms": 300, "duration_ms": 900, "fell_back": 1},
    "uncounted": {"uncounted_tokens": 9},
}


@pytest.mark.parametrize("changes", _ENDS.values(), ids=_ENDS)
def test_an_end_alone_is_written_as_in_a_group(tmp_path: Path, changes: dict[str, Any]) -> None:
    left = []
    for due_s in (_ALONE, _TOGETHER):
        with _written(tmp_path / f"{due_s}.db") as ledger:
            for id_ in (1, 2):
                row = open_row(id_, group_name="family", use_case="sms")
                ledger.write(due_s, row)
                ledger.write(due_s, request_end(row, **changes))
            left.append((ledger.rows(), ledger.writer._unfinished, ledger.writer._newest_id))
    assert left[0] == left[1]
    assert len(left[0][0]["requests"]) == 2


def test_an_hour_in_a_day_that_is_summed_is_added_to_the_day(tmp_path: Path) -> None:
    left = []
    for due_s in (_ALONE, _TOGETHER):
        with _written(tmp_path / f"{due_s}.db") as ledger:
            ledger.writer.days_until_ms = START_MS + 24 * HOUR_MS
            row = open_row(1)
            ledger.write(due_s, row)
            ledger.write(due_s, request_end(row))
            left.append(ledger.rows())
    assert left[0] == left[1]


def test_whatever_comes_alone_or_together_leaves_the_same(tmp_path: Path) -> None:
    left = []
    for due_s in (_ALONE, _TOGETHER):
        with _written(tmp_path / f"{due_s}.db") as ledger, closing(asyncio.new_event_loop()) as loop:
            workload = Workload(Random(7), {}, loop)
            for _ in range(300):
                for what, _, _ in workload.group():
                    ledger.write(due_s, what)
            left.append((ledger.rows(), ledger.writer._unfinished))
    assert left[0] == left[1]


@pytest.mark.parametrize("is_open", [False, True])
def test_an_end_alone_that_finds_no_row_leaves_nothing(tmp_path: Path, is_open: bool) -> None:
    """Its hour is not counted either: what is in the roll-up is in the rows."""
    with _written(tmp_path / "ledger.db") as ledger:
        row = open_row(1)
        if is_open:
            ledger.write(_ALONE, row)
            ledger.write(_ALONE, request_end(row))
        before = ledger.rows()
        with pytest.raises(EndedTwiceError):
            ledger.write(_ALONE, request_end(row, cost_pusd=5))
        assert not ledger.connection.in_transaction
        assert ledger.rows() == before
        ledger.write(_ALONE, open_row(2))  # the next one finds the ledger as it should be


def test_an_end_alone_whose_hour_cannot_be_written_is_undone(tmp_path: Path) -> None:
    with _written(tmp_path / "ledger.db") as ledger:
        row = open_row(1)
        ledger.write(_ALONE, row)
        ledger.connection.execute("ALTER TABLE usage_hourly RENAME TO elsewhere")
        with pytest.raises(sqlite3.OperationalError, match="usage_hourly"):
            ledger.write(_ALONE, request_end(row))
        assert ledger.connection.execute("SELECT state FROM requests").fetchall() == [("open",)]
        ledger.connection.execute("ALTER TABLE elsewhere RENAME TO usage_hourly")
        ledger.write(_ALONE, request_end(row))
        assert ledger.connection.execute("SELECT state FROM requests").fetchall() == [("settled",)]


def test_a_start_finds_what_was_opened_alone_behind_the_mark(tmp_path: Path) -> None:
    """An id is given out before its row is written: the mark may have passed it by then."""
    with _written(tmp_path / "ledger.db") as ledger:
        row = open_row(100)
        ledger.write(_ALONE, row)
        ledger.write(_ALONE, request_end(row))
        ledger.write(_TOGETHER)  # the mark goes on to 100
        ledger.write(_ALONE, open_row(50))
        ledger.write(_ALONE, open_row(101))
        assert ledger.found() == {50, 101}
