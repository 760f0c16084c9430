"""The contract of the ledger: what is awaited is on disk, whole or not at all, once; and nobody else pays for it."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.core.errors import LedgerError
from proxy.policy.exchange_rates import RateStep
from proxy.storage.adjustment import Correction
from proxy.storage.labels import Labels
from proxy.storage.ledger import EndedTwiceError, LedgerUnavailableError
from proxy.storage.rows import HOUR_MS, OpenRow, RequestIds, Reserved, id_number, id_text
from proxy.storage.sqlite.connect import connect_owner, open_reader
from proxy.storage.sqlite.labels import read_rates, set_labels
from proxy.storage.sqlite.ledger import SqliteLedger, open_ledger
from tests.storage.made_requests import (
    ROLLUP,
    ROLLUP_OF_ROWS,
    START_MS,
    attempt_end,
    attempt_row,
    open_row,
    opened,
    read,
    request_end,
    running,
)
from tests.support.patience import eventually


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


async def _hold_writer(ledger: SqliteLedger) -> tuple[asyncio.Event, "asyncio.Task[None]"]:
    """Keep the writer busy, so that what is submitted meanwhile is one group; set the event to let it go."""
    loop, held, go = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()

    def wait(_connection: sqlite3.Connection) -> None:
        loop.call_soon_threadsafe(held.set)
        asyncio.run_coroutine_threadsafe(go.wait(), loop).result()

    task = asyncio.ensure_future(ledger.change(wait))
    await held.wait()
    return go, task


async def test_what_was_opened_is_on_disk(path: Path) -> None:
    async with running(path) as ledger:
        row = await opened(ledger, user="bob", group_name="family", reserved_pusd=None, tags='{"k":"v"}')
        assert read(path, "SELECT id, user, group_name, reserved_pusd, tags, state, cost_source FROM requests") == [
            (row.id, "bob", "family", None, '{"k":"v"}', "open", "none")
        ]
        assert read(path, "SELECT request_id, n, provider, key, outcome FROM attempts") == [
            (row.id, 1, "p", "main", "open")
        ]


async def test_a_further_attempt_raises_the_reservation_with_it(path: Path) -> None:
    async with running(path) as ledger:
        row = await opened(ledger, reserved_pusd=1000)
        await ledger.add_attempt(attempt_row(row.id, 2), attempt_end(row.id, 1), Reserved(1900, None))
        await ledger.add_attempt(attempt_row(row.id, 3), attempt_end(row.id, 2))
        assert read(path, "SELECT reserved_pusd FROM requests") == [(1900,)]
        assert read(path, "SELECT n FROM attempts ORDER BY n") == [(1,), (2,), (3,)]


async def test_the_generation_is_there_before_the_end(path: Path) -> None:
    async with running(path) as ledger:
        row = await opened(ledger)
        ledger.note_generation(row.id, 1, "gen-1")
        [left] = await ledger.unfinished()
        assert (left.id, left.state) == (row.id, "open")
        assert [(attempt.n, attempt.generation_id) for attempt in left.attempts] == [(1, "gen-1")]


# what a transaction writes, by how its statements begin
_WRITES = {
    "INSERT INTO requests ": "row",
    "UPDATE requests SET generation_id": "generation",
    "UPDATE requests SET finished_ms": "end",
}


def _transactions(ledger: SqliteLedger) -> list[list[str]]:
    """Return a list that SQLite itself fills: what each transaction from now on writes of a request."""
    found: list[list[str]] = []
    connection = ledger._writer._connection

    def note(sql: str) -> None:
        if not connection.in_transaction:  # BEGIN, or a statement that is a transaction of its own
            found.append([])
        found[-1].extend(what for beginning, what in _WRITES.items() if sql.startswith(beginning))

    connection.set_trace_callback(note)
    return found


async def test_a_generation_goes_with_what_is_written_next(path: Path) -> None:
    async with running(path) as ledger:
        found = _transactions(ledger)
        row, alone = await opened(ledger), await opened(ledger)
        ledger.note_generation(row.id, 1, "gen-1")
        await ledger.end(request_end(row))
        assert found == [["row"], ["row"], ["generation", "end"]]
        ledger.note_generation(alone.id, 1, "gen-2")

        async def look() -> bool:
            return ("gen-2",) in read(
                path, "SELECT generation_id FROM attempts UNION SELECT generation_id FROM requests"
            )

        await eventually(look)
        assert found[3:] == [["generation"]]


@pytest.mark.parametrize(("state", "cost_pusd", "source"), [("settled", 700, "provider"), ("released", 0, "none")])
async def test_an_end_is_one_row_one_attempt_and_one_part_of_its_hour(
    path: Path, state: str, cost_pusd: int, source: str
) -> None:
    async with running(path) as ledger:
        row = await opened(ledger, started_ms=START_MS + 17)
        await ledger.end(request_end(row, state=state, cost_pusd=cost_pusd, cost_source=source))
        assert read(path, "SELECT state, cost_pusd, cost_source, attempts FROM requests") == [
            (state, cost_pusd, source, 1)
        ]
        assert read(path, "SELECT outcome, cost_pusd FROM attempts") == [("ok", cost_pusd)]
        hour_ms = START_MS - START_MS % HOUR_MS
        assert read(path, "SELECT hour_ms, requests, cost_pusd FROM usage_hourly") == [(hour_ms, 1, cost_pusd)]


async def test_pending_counts_in_no_hour_until_it_is_settled(path: Path) -> None:
    async with running(path) as ledger:
        row = await opened(ledger)
        await ledger.end(request_end(row, state="pending", cost_pusd=None, cost_source="none"))
        assert read(path, "SELECT state, cost_pusd FROM requests") == [("pending", None)]
        assert read(path, ROLLUP) == []
        assert [left.id for left in await ledger.unfinished(row.id)] == [row.id]
        await ledger.end(request_end(row, cost_pusd=123))
        assert read(path, "SELECT state, cost_pusd FROM requests") == [("settled", 123)]
        assert read(path, ROLLUP) == read(path, ROLLUP_OF_ROWS) != []
        assert await ledger.unfinished() == []


@pytest.mark.parametrize("first", ["settled", "released"])
async def test_a_second_end_changes_nothing(path: Path, first: str) -> None:
    async with running(path) as ledger:
        row = await opened(ledger)
        await ledger.end(request_end(row, state=first, cost_pusd=700))
        before = [read(path, f"SELECT * FROM {table}") for table in ("requests", "attempts", "usage_hourly")]  # noqa: S608 - the names stand here
        with pytest.raises(EndedTwiceError):
            await ledger.end(request_end(row, state="settled", cost_pusd=1))
        with pytest.raises(EndedTwiceError):
            await ledger.end(request_end(row, state="pending", cost_pusd=None))
        assert [read(path, f"SELECT * FROM {table}") for table in ("requests", "attempts", "usage_hourly")] == before  # noqa: S608 - as above


async def test_an_end_waits_by_what_its_row_was_waited_for_with_once_that_is_over(path: Path) -> None:
    async with running(path) as ledger:
        row, other, cut = (open_row(ledger.ids.next(START_MS)) for _ in range(3))
        opening = ledger.open(row)
        await opening
        ending = ledger.end(request_end(row), None, opening)
        assert ending is opening
        assert not ending.done()
        await ending
        assert read(path, "SELECT state FROM requests") == [("settled",)]
        with pytest.raises(EndedTwiceError):
            await ledger.end(request_end(row), None, ending)

        waiting = ledger.open(other)  # its row is not written yet, and somebody may wait for it
        ended = ledger.end(request_end(other), None, waiting)
        assert ended is not waiting
        await asyncio.gather(waiting, ended)

        left = ledger.open(cut)
        left.cancel()
        told = ledger.end(request_end(cut), None, left)
        assert told is not left
        await told
        assert left.cancelled()
        assert read(path, "SELECT state FROM requests") == [("settled",)] * 3


async def test_an_end_without_a_reservation_is_refused(path: Path) -> None:
    async with running(path) as ledger:
        with pytest.raises(EndedTwiceError):
            await ledger.end(request_end(open_row(ledger.ids.next(START_MS))))
        assert read(path, ROLLUP) == []


async def test_two_ends_in_one_group_leave_one(path: Path) -> None:
    async with running(path) as ledger:
        row = await opened(ledger)
        go, held = await _hold_writer(ledger)
        ends = [ledger.end(request_end(row, cost_pusd=cost)) for cost in (5, 7)]
        go.set()
        await held
        first, second = await asyncio.gather(*ends, return_exceptions=True)
        assert first is None
        assert isinstance(second, EndedTwiceError)
        assert read(path, "SELECT cost_pusd FROM requests") == [(5,)]
        assert read(path, ROLLUP) == read(path, ROLLUP_OF_ROWS)


POISONS = [
    open_row(0, streamed=7),  # a CHECK of the schema
    open_row(0, reserved_pusd=2**63),  # more than an INTEGER
    open_row(0, user=None),
    open_row(0, user="\ud800"),  # no UTF-8 for it
]


@pytest.mark.parametrize("poison", POISONS, ids=["check", "too large", "null", "surrogate"])
async def test_a_row_that_cannot_be_written_does_not_take_its_neighbours_along(path: Path, poison: OpenRow) -> None:
    async with running(path) as ledger:
        settled = await opened(ledger)
        go, held = await _hold_writer(ledger)
        bad = poison._replace(id=ledger.ids.next(START_MS))
        rows = [open_row(ledger.ids.next(START_MS)) for _ in range(3)]
        tasks = [asyncio.ensure_future(ledger.open(row)) for row in (rows[0], bad, *rows[1:])]
        await asyncio.sleep(0)  # all of them have submitted
        end = ledger.end(request_end(settled))
        go.set()
        await held
        outcomes = await asyncio.gather(*tasks, end, return_exceptions=True)
        assert [outcome is None for outcome in outcomes] == [True, False, True, True, True]
        assert not isinstance(outcomes[1], LedgerUnavailableError)
        assert ledger.problem is None
        written = {row[0] for row in read(path, "SELECT id FROM requests")}
        assert written == {settled.id, *(row.id for row in rows)}
        assert {row[0] for row in read(path, "SELECT request_id FROM attempts")} == written
        assert read(path, ROLLUP) == read(path, ROLLUP_OF_ROWS) != []


@pytest.mark.parametrize(
    "poison",
    [{"cost_pusd": 2**63}, {"output_tokens": 10**30}, {"model": "\ud800"}, {"generation_id": "gen-\udfff"}],
    ids=["cost", "tokens", "model", "id"],
)
async def test_an_end_that_cannot_be_held_is_written_as_it_can(path: Path, poison: dict[str, Any]) -> None:
    """Money may have been spent: the row lands beside its neighbours, and says that a number is not the true one."""
    async with running(path) as ledger:
        rows = [await opened(ledger) for _ in range(5)]
        go, held = await _hold_writer(ledger)
        ends = [ledger.end(request_end(row, **(poison if at == 2 else {}))) for at, row in enumerate(rows)]
        go.set()
        await held
        await asyncio.gather(*ends)
        found = {row[0]: row[1:] for row in read(path, "SELECT id, state, cost_pusd, flags FROM requests")}
        state, cost, flags = found[rows[2].id]
        assert state == "settled"
        assert cost == min(poison.get("cost_pusd", cost), 2**63 - 1)
        assert (flags == "value_clamped") is any(type(value) is int for value in poison.values())
        assert read(path, "SELECT count(*) FROM requests WHERE state = 'settled'") == [(5,)]
        await ledger.end(request_end(await opened(ledger), cost_pusd=2**63 - 1))
        assert read(path, "SELECT count(*) FROM requests WHERE state = 'settled'") == [(6,)]
        assert ledger.problem is None


async def test_a_change_that_fails_is_undone_alone(path: Path) -> None:
    def spoil(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO meta VALUES ('half', 'done')")
        raise ValueError("of its own")

    async with running(path) as ledger:
        go, held = await _hold_writer(ledger)
        row = open_row(ledger.ids.next(START_MS))
        opening = asyncio.ensure_future(ledger.open(row))
        spoiling = asyncio.ensure_future(ledger.change(spoil))
        counting = asyncio.ensure_future(ledger.change(lambda db: db.execute("SELECT 41 + 1").fetchone()[0]))
        await asyncio.sleep(0)
        go.set()
        await held
        with pytest.raises(ValueError, match="of its own"):
            await spoiling
        await opening
        assert await counting == 42
        assert read(path, "SELECT count(*) FROM meta WHERE name = 'half'") == [(0,)]


async def test_all_of_a_request_may_be_one_group(path: Path) -> None:
    """A request whose steps were all queued while the disk was busy leaves the same rows as a slow one."""
    async with running(path) as ledger:
        go, held = await _hold_writer(ledger)
        row = open_row(ledger.ids.next(START_MS))
        opening = asyncio.ensure_future(ledger.open(row))
        await asyncio.sleep(0)
        ledger.note_generation(row.id, 1, "gen-1")
        before = attempt_end(row.id, 1, outcome="upstream_error", generation_id="gen-1", cost_pusd=0)
        adding = asyncio.ensure_future(ledger.add_attempt(attempt_row(row.id, 2), before, Reserved(2000, None)))
        await asyncio.sleep(0)
        ledger.note_generation(row.id, 2, "gen-2")
        ending = ledger.end(request_end(row, n=2, attempt_ends=(attempt_end(row.id, 2, generation_id="gen-2"),)))
        go.set()
        await asyncio.gather(held, opening, adding, ending)
        assert read(path, "SELECT n, outcome, generation_id, cost_pusd FROM attempts ORDER BY n") == [
            (1, "upstream_error", "gen-1", 0),
            (2, "ok", "gen-2", 700),
        ]
        assert read(path, "SELECT state, reserved_pusd, cost_pusd, attempts FROM requests") == [
            ("settled", 2000, 700, 2)
        ]


async def test_a_full_queue_refuses_what_is_new_and_takes_every_end(path: Path) -> None:
    async with running(path, queue_max=3) as ledger:
        row = await opened(ledger)
        go, held = await _hold_writer(ledger)  # the first of the three
        waiting = [open_row(ledger.ids.next(START_MS)) for _ in range(2)]
        tasks = [asyncio.ensure_future(ledger.open(new)) for new in waiting]
        await asyncio.sleep(0)
        refused = open_row(ledger.ids.next(START_MS))
        with pytest.raises(LedgerUnavailableError, match="3 operations already wait"):
            await ledger.open(refused)
        ledger.note_generation(row.id, 1, "gen-1")
        end = ledger.end(request_end(row))
        go.set()
        await asyncio.gather(held, *tasks, end)
        assert read(path, "SELECT count(*), sum(state = 'settled') FROM requests") == [(3, 1)]
        await ledger.open(refused)  # there is room again


async def test_done_is_called_after_the_commit_also_when_nobody_waits(path: Path) -> None:
    async with running(path) as ledger:
        row, other = await opened(ledger), await opened(ledger)
        go, held = await _hold_writer(ledger)
        told: list[tuple[Exception | None, object]] = []
        called = asyncio.Event()

        def done(error: Exception | None) -> None:
            told.append((error, read(path, "SELECT state FROM requests ORDER BY id LIMIT 1")[0][0]))
            called.set()

        async def wait_for_it() -> None:
            await ledger.end(request_end(row), done)

        waiting = asyncio.ensure_future(wait_for_it())
        await asyncio.sleep(0)
        waiting.cancel()
        neighbour = ledger.end(request_end(other))
        await asyncio.gather(waiting, return_exceptions=True)
        assert waiting.cancelled()
        assert told == []
        go.set()
        await asyncio.gather(held, neighbour, called.wait())
        assert told == [(None, "settled")]


async def test_done_is_told_what_refused_it(path: Path) -> None:
    async with running(path) as ledger:
        row = await opened(ledger)
        await ledger.end(request_end(row))
        told: list[Exception | None] = []
        with pytest.raises(EndedTwiceError) as refused:
            await ledger.end(request_end(row), told.append)
        assert told == [refused.value]


async def test_a_callback_that_fails_leaves_its_neighbours_their_answers(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_error: Exception | None) -> None:
        raise KeyError("a fault of the caller")

    async with running(path) as ledger:
        row, other = await opened(ledger), await opened(ledger)
        go, held = await _hold_writer(ledger)
        ends = [ledger.end(request_end(row), fail), ledger.end(request_end(other))]
        go.set()
        await asyncio.wait_for(asyncio.gather(held, *ends), 30)
        assert read(path, "SELECT count(*) FROM requests WHERE state = 'settled'") == [(2,)]
    assert "ledger.callback_failed" in caplog.text


async def test_close_writes_what_was_queued_and_then_takes_nothing_more(path: Path) -> None:
    ledger = open_ledger(path, asyncio.get_running_loop(), purpose="a test", busy_timeout_s=0.2, queue_max=9)
    row = await opened(ledger)
    go, held = await _hold_writer(ledger)
    end = ledger.end(request_end(row))
    closing = asyncio.ensure_future(ledger.close())
    await asyncio.sleep(0)
    with pytest.raises(LedgerUnavailableError, match="closed"):
        ledger.note_generation(row.id, 1, "gen-late")
    with pytest.raises(LedgerUnavailableError, match="closed"):
        await ledger.unfinished()
    go.set()
    assert await closing == 0
    await asyncio.gather(held, end)
    assert not path.with_name("ledger.db-wal").exists()
    assert read(path, "SELECT state FROM requests") == [("settled",)]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 2**32), restarts=st.integers(0, 3), steps=st.integers(1, 40))
def test_the_roll_up_equals_the_rows(seed: int, restarts: int, steps: int) -> None:
    """Over random sequences of requests of several hours, users, models and ends, with restarts between."""

    async def live(path: Path, rng: Random) -> None:
        async with running(path) as ledger:
            left = {row.id: row for row in await ledger.unfinished()}
            begun = [
                open_row(row.id, started_ms=row.started_ms, user=row.user, group_name=row.group_name)
                for row in left.values()
            ]
            for _ in range(steps):
                if begun and rng.random() < 0.6:
                    row = begun.pop(rng.randrange(len(begun)))
                    if await _end_somehow(ledger, row, rng) == "pending":
                        begun.append(row)
                else:
                    hour_ms = START_MS + rng.randrange(3) * HOUR_MS + rng.randrange(HOUR_MS)
                    group = rng.choice((None, "family"))
                    begun.append(await opened(ledger, started_ms=hour_ms, user=rng.choice("ab"), group_name=group))
            assert {row.id for row in await ledger.unfinished()} == {row.id for row in begun}
        assert read(path, ROLLUP) == read(path, ROLLUP_OF_ROWS)

    with TemporaryDirectory() as folder:
        rng = Random(seed)
        for _ in range(restarts + 1):
            asyncio.run(live(Path(folder) / "ledger.db", rng))


async def _end_somehow(ledger: SqliteLedger, row: OpenRow, rng: Random) -> str:
    state = rng.choice(("settled", "settled", "released", "pending"))
    try:
        await ledger.end(
            request_end(
                row,
                state=state,
                cost_pusd={"settled": rng.choice((0, 1, 10**15, None)), "released": 0, "pending": None}[state],
                model=rng.choice((None, "m", "n")),
                input_tokens=rng.choice((None, 0, 10**6)),
                output_tokens=rng.choice((None, 7)),
                error=rng.choice((None, "upstream_error")),
                use_case=row.use_case,
            )
        )
    except EndedTwiceError:  # never: it is in the list of those that have not ended
        raise AssertionError(row) from None
    return state


@settings(max_examples=200, deadline=None)
@given(
    clock_ms=st.lists(st.lists(st.integers(0, 2**42 - 2), min_size=1, max_size=8), min_size=1, max_size=5),
)
def test_ids_grow_over_restarts_and_clock_steps(clock_ms: list[list[int]]) -> None:
    last, given_out = 0, []
    for run in clock_ms:
        ids = RequestIds(last)
        given_out += [ids.next(ms) for ms in run]
        last = max(given_out)  # what the ledger finds at its next start
    assert given_out == sorted(set(given_out))
    assert all(id_number(id_text(id_)) == id_ for id_ in given_out)
    assert sorted(map(id_text, given_out)) == [id_text(id_) for id_ in given_out]


async def test_ids_go_on_after_a_restart_with_an_older_clock(path: Path) -> None:
    async with running(path) as ledger:
        first = await opened(ledger)
    async with running(path) as ledger:
        assert ledger.ids.next(START_MS - 40 * 24 * HOUR_MS) == first.id + 1


@pytest.mark.parametrize("text", ["", "req_", "req_12", "0123456789abcdef", "req_0123456789abcdeg", "req_" + "0" * 17])
def test_what_is_no_id(text: str) -> None:
    assert id_number(text) is None


async def test_the_views_show_a_request(path: Path) -> None:
    async with running(path) as ledger:
        await ledger.change(lambda db: set_labels(db, Labels("UTC", "SEK", "10.5"), 0))
        row = await opened(ledger, started_ms=START_MS + 7, use_case="sms", session_id="s-1")
        await ledger.end(request_end(row, cost_pusd=2 * 10**12, generation_id="gen-1"))
        await ledger.correct([Correction(row.id, 15 * 10**11, "late", "generation")], START_MS)
        assert read(
            path,
            "SELECT request_id, ts, user, use_case, session_id, total_tokens, cost_pusd, cost_usd, cost_local,"
            " state, generation_id FROM usage",
        ) == [
            (
                id_text(row.id),
                "2026-09-21T14:13:20.007Z",
                "anna",
                "sms",
                "s-1",
                8,
                1_500_000_000_000,
                1.5,
                15.75,
                "settled",
                "gen-1",
            )
        ]
        assert read(
            path,
            "SELECT user_id, model, provider, prompt_tokens, completion_tokens, total_tokens, cost_usd, cost_sek,"
            " generation_id, status, created_at FROM ai_usage_logs",
        ) == [("anna", "m", "p", 3, 5, 8, 1.5, 15.75, "gen-1", "success", "2026-09-21T14:13:20.007Z")]


@pytest.mark.parametrize("codes", [("USD", "eur"), ("EUR", "EUR")])
def test_the_column_follows_the_currency(path: Path, codes: tuple[str, ...]) -> None:
    with closing(connect_owner(path, 1.0)) as connection:
        for code in codes:
            set_labels(connection, Labels("UTC", code, "1"), 0)
            columns = [row[1] for row in connection.execute("PRAGMA table_info(ai_usage_logs)")]
            assert columns.count(f"cost_{code.lower()}") == 1
            assert len(columns) == len(set(columns)) == (12 if code == "USD" else 13)


def test_a_new_rate_leaves_the_past_as_it_was(tmp_path: Path) -> None:
    """It holds from the next full hour on; the first rate of a currency holds for all that was before."""
    path = tmp_path / "ledger.db"
    hour = START_MS - START_MS % HOUR_MS

    def local(connection: sqlite3.Connection) -> list[float]:
        rows = connection.execute("SELECT cost_local FROM usage ORDER BY request_id").fetchall()
        return [round(row[0], 6) for row in rows]

    with closing(connect_owner(path, 1.0)) as connection:
        for n, started_ms in enumerate((hour, hour + 1000, hour + HOUR_MS, hour + 2 * HOUR_MS), 1):
            connection.execute(
                "INSERT INTO requests (id, started_ms, day, user, token_id, endpoint, requested_model, streamed,"
                " cost_pusd, state) VALUES (?, ?, '', 'anna', 't', 'e', 'm', 0, 1000000000000, 'settled')",
                (n, started_ms),
            )
        set_labels(connection, Labels("UTC", "SEK", "10"), hour)
        assert local(connection) == [10, 10, 10, 10]
        set_labels(connection, Labels("UTC", "SEK", "10.0"), hour + 1)
        set_labels(connection, Labels("UTC", "SEK", "12.5"), hour + 10)
        assert local(connection) == [10, 10, 12.5, 12.5]
        set_labels(connection, Labels("UTC", "SEK", "11"), hour + HOUR_MS + 5)
        set_labels(connection, Labels("UTC", "SEK", "9"), hour + HOUR_MS + 6)
        assert local(connection) == [10, 10, 12.5, 9]
        set_labels(connection, Labels("UTC", "EUR", "0.9"), hour + 5 * HOUR_MS)
        assert local(connection) == [0.9, 0.9, 0.9, 0.9]
        set_labels(connection, Labels("UTC", "SEK", "9"), hour + 6 * HOUR_MS)
        assert local(connection) == [10, 10, 12.5, 9]
        dated = (RateStep(0, "7"), RateStep(hour + HOUR_MS, "8"))
        set_labels(connection, Labels("UTC", "SEK", "1", dated), hour + HOUR_MS - 1)  # a clock that was set back
        assert local(connection) == [10, 10, 8, 8]  # nothing is booked in those hours
        set_labels(connection, Labels("UTC", "SEK", "1", ()), hour + 6 * HOUR_MS)  # none could be read
        assert local(connection) == [10, 10, 8, 8]
        set_labels(
            connection, Labels("UTC", "CHF", "1", dated), hour + 6 * HOUR_MS
        )  # the first of a currency: all time
        assert local(connection) == [7, 7, 8, 8]
        set_labels(connection, Labels("UTC", "NOK", "1", ()), hour + 6 * HOUR_MS)
        assert [row[0] for row in connection.execute("SELECT cost_local FROM usage")] == [None] * 4


def test_no_hour_with_figures_gets_another_rate(tmp_path: Path) -> None:
    """Whatever the clock says: it may have been set back."""
    with closing(connect_owner(tmp_path / "ledger.db", 1.0)) as connection:
        hour = START_MS - START_MS % HOUR_MS
        set_labels(connection, Labels("UTC", "SEK", "10"), hour)
        columns = "requests, errors, input_tokens, output_tokens, cached_tokens, reasoning_tokens, uncounted_tokens"
        connection.execute(
            f"INSERT INTO usage_hourly (hour_ms, user, group_name, model, provider, use_case, {columns}, cost_pusd)"  # noqa: S608 - constants
            " VALUES (?, 'anna', '', 'm', 'p', '', 1, 0, 0, 0, 0, 0, 0, 5)",
            (hour + 5 * HOUR_MS,),
        )
        set_labels(connection, Labels("UTC", "SEK", "12"), hour)
        assert read_rates(connection, "SEK") == (RateStep(0, "10"), RateStep(hour + 6 * HOUR_MS, "12"))


@pytest.mark.parametrize("is_owner", [True, False])
def test_a_folder_is_no_ledger(tmp_path: Path, is_owner: bool) -> None:
    with pytest.raises(LedgerError, match=r"is a folder\. Name a file in it, such as database: .*tollkeeper\.db"):
        connect_owner(tmp_path, 1.0) if is_owner else open_reader(tmp_path)
