"""Each count arrives in its own column, however a request ends: rows, attempts, roll-up, views, reports and export.

All figures differ, so that two that changed places are seen.
"""

import sqlite3
from contextlib import closing
from pathlib import Path
from zoneinfo import ZoneInfo

from proxy.core.counts import Counts
from proxy.pipeline.settlement.sum_attempts import SettledAttempt, add_up
from proxy.pipeline.values.settlement import Settlement
from proxy.storage.export import Selection
from proxy.storage.rows import AttemptEnd, AttemptRow, OpenRow, RequestEnd, Reserved
from proxy.storage.spending import UsageSelection
from proxy.storage.sqlite.connect import open_reader
from proxy.storage.sqlite.export import slices
from proxy.storage.sqlite.ledger import SqliteLedger
from proxy.storage.sqlite.reports import SqliteReports
from proxy.storage.sqlite.usage import sum_usage
from proxy.storage.sqlite.verify import ExpectedTotals, verify
from tests.storage.booked_rows import START_MS, booked

FIRST = Counts(11, 3, 13, 17, 19, 23, 29, 31)
SECOND = Counts(101, 53, 103, 107, 109, 113, 127, 131)
MODEL = "openai/gpt-5-mini"


def _row(id_: int) -> OpenRow:
    return OpenRow(
        *(id_, START_MS, "2026-09-21", "anna", None, "tok", "chat/completions", MODEL, None, None, None),
        *(10_000, None, 0, "openrouter", "main", MODEL),
    )


def _attempt_end(id_: int, n: int, counts: Counts | None) -> AttemptEnd:
    tokens = (1009 * n, 2003 * n, 503 * n, 701 * n)
    return AttemptEnd(id_, n, "ok", 200, MODEL, None, f"gen-{n}", *tokens, 500 * n, "price", 7, 8, counts=counts)


def _end(row: OpenRow, attempt: AttemptEnd, state: str = "settled") -> RequestEnd:
    cost_pusd = None if state == "pending" else attempt.cost_pusd
    return RequestEnd(
        id=row.id,
        finished_ms=START_MS + 9,
        model=MODEL,
        provider="openrouter",
        status=200,
        finish_reason="stop",
        input_tokens=attempt.input_tokens,
        output_tokens=attempt.output_tokens,
        cached_tokens=attempt.cached_tokens,
        reasoning_tokens=attempt.reasoning_tokens,
        cost_pusd=cost_pusd,
        cost_source="none" if state == "pending" else "price",
        state=state,
        ttft_ms=7,
        duration_ms=8,
        attempts=attempt.n,
        generation_id=attempt.generation_id,
        error=None,
        flags=None,
        outcome="ok",
        upstream_status=200,
        served_by=None,
        other_models=None,
        is_byok=attempt.is_byok,
        upstream_cost_pusd=attempt.upstream_cost_pusd,
        started_ms=START_MS,
        user="anna",
        group_name=None,
        use_case=None,
        streamed=row.streamed,
        fell_back=0,
        uncounted_tokens=0,
        attempt_ends=(),
        counts=attempt.counts,
    )


async def _book(ledger: SqliteLedger) -> None:
    plain = _row(ledger.ids.next(START_MS))
    await ledger.open(plain)
    await ledger.end(_end(plain, _attempt_end(plain.id, 1, None)))
    single = _row(ledger.ids.next(START_MS))
    await ledger.open(single)
    await ledger.end(_end(single, _attempt_end(single.id, 1, FIRST), "pending"))
    await ledger.end(_end(single, _attempt_end(single.id, 1, FIRST)))
    several = _row(ledger.ids.next(START_MS))
    await ledger.open(several)
    settled = Settlement("settled", 500, "price", frozenset())
    first = _attempt_end(several.id, 1, FIRST)._replace(reserved_pusd=500, reserved_tokens=None)
    await ledger.add_attempt(AttemptRow(several.id, 2, START_MS + 1, "openrouter", "main", MODEL), first)
    [left] = await ledger.unfinished(several.id)
    assert [attempt.counts for attempt in left.attempts] == [FIRST, None]
    last = _attempt_end(several.id, 2, SECOND)
    parts = [SettledAttempt(settled, first), SettledAttempt(Settlement("settled", 1000, "price", frozenset()), last)]
    summed = add_up(_end(several, last), parts, Reserved(10_000, None))
    assert summed.counts == FIRST.plus(SECOND)
    await ledger.end(summed._replace(attempt_ends=(last,)))


async def test_each_count_in_its_own_column(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    async with booked(path) as ledger:
        await _book(ledger)
    names, both = ", ".join(Counts._fields), FIRST.plus(SECOND)
    total = FIRST.plus(both)
    with closing(sqlite3.connect(path)) as db:
        nothing = (None,) * len(both)
        for table in ("requests", "usage"):
            order = "id" if table == "requests" else "request_id"
            found = db.execute(f"SELECT {names} FROM {table} ORDER BY {order}")  # noqa: S608 - names of columns
            assert found.fetchall() == [nothing, FIRST, both]
        found = db.execute(f"SELECT {names} FROM attempts ORDER BY request_id, n")  # noqa: S608 - names of columns
        assert found.fetchall() == [nothing, FIRST, FIRST, SECOND]
        found = db.execute(f"SELECT {names} FROM usage_hourly")  # noqa: S608 - names of columns
        assert found.fetchall() == [total]
        columns = [row[1] for row in db.execute("PRAGMA table_info(usage)")]
        first = columns.index(Counts._fields[0])
        assert columns[first : first + len(both)] == list(Counts._fields)
    with closing(open_reader(path)) as db:
        for since_ms in (None, START_MS - 1):  # from the roll-up, and from rows
            [spent] = sum_usage(db, UsageSelection(("user",), since_ms, START_MS + 5), ZoneInfo("UTC")).rows
            assert (spent.counts, spent.cached_tokens, spent.reasoning_tokens) == (total, 503 * 5, 701 * 5)
            assert (spent.input_tokens, spent.output_tokens, spent.cost_pusd) == (1009 * 5, 2003 * 5, 2500)
        [rows] = [piece.rows for piece in slices(db, Selection(columns=Counts._fields))]
        assert rows == [nothing, FIRST, both]
    [model] = SqliteReports(path).usage_by_model("anna", START_MS)
    shown = model.as_json()
    assert {name: shown[name] for name in Counts._fields} == total._asdict()
    assert (shown["cached_tokens"], shown["reasoning_tokens"]) == (503 * 5, 701 * 5)


async def test_the_audit_sees_a_count_that_drifted(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    async with booked(path) as ledger:
        await _book(ledger)
    expected = ExpectedTotals((), ZoneInfo("UTC"), None, 3600.0, 3600.0)
    with closing(open_reader(path)) as reader:
        assert verify(reader, expected, START_MS + 10_000).counts == {}
    for table, check in (("usage_hourly", "rollup"), ("requests", "attempt")):
        for name in Counts._fields:
            with closing(sqlite3.connect(path)) as db:
                db.execute(f"UPDATE {table} SET {name} = {name} + 1 WHERE {name} > 0")  # noqa: S608 - names of columns
                db.commit()
                with closing(open_reader(path)) as reader:
                    found = verify(reader, expected, START_MS + 10_000).counts
                db.execute(f"UPDATE {table} SET {name} = {name} - 1 WHERE {name} > 0")  # noqa: S608
                db.commit()
                assert check in found, (table, name)
