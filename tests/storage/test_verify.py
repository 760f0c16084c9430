"""The audit: silent about a ledger that the writer wrote, and loud about every cell that somebody changed in it."""

import asyncio
import random
import re
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from proxy.policy.quota import Quota
from proxy.storage.adjustment import Correction, UnattachedCost
from proxy.storage.sqlite.adjustments import book_unattached, correct
from proxy.storage.sqlite.connect import open_reader
from proxy.storage.sqlite.reports import SqliteReports
from proxy.storage.sqlite.verify import (
    LISTED,
    ExpectedTotals,
    LedgerDifference,
    LedgerFindings,
    verify,
)
from proxy.storage.sqlite.wal_check import look_at_wal, odd_wal
from tests.storage.booked_rows import DAY_MS, START_MS, USERS, book, book_many, booked
from tests.support.sampling import count

UTC = ZoneInfo("UTC")
COUNT = 120
DAY = "2026-09-21"
NOW_MS = START_MS + COUNT * 600_000

NO_LIMITS = ExpectedTotals((), UTC, None, 1e9, 1e9)


def audited(path: Path, expected: ExpectedTotals = NO_LIMITS, now_ms: int = NOW_MS) -> LedgerFindings:
    with closing(open_reader(path)) as connection:
        return verify(connection, expected, now_ms)


def change(path: Path, sql: str, *values: Any) -> None:
    """Change the file as somebody with a shell would: no check stands in the way."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        assert connection.execute(sql, values).rowcount > 0


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a closed ledger with every kind of row, adjustments among them."""
    path = tmp_path_factory.mktemp("ledger") / "tollkeeper.db"

    async def fill() -> None:
        async with booked(path) as ledger:
            await book_many(ledger, COUNT)
            await ledger.change(_adjust)
            days = SqliteReports(path).past_days(UTC, NOW_MS)
            while await ledger.sum_days(days, 1000):
                pass

    asyncio.run(fill())
    return path


def _adjust(connection: sqlite3.Connection) -> None:
    """Correct some rows as reconciliation does, some of them twice, and book what belongs to none."""
    rows = connection.execute("SELECT id, cost_pusd FROM requests WHERE cost_source = 'reservation'").fetchall()
    assert rows
    for part in (3, 2):
        corrections = [Correction(id_, cost_pusd - cost_pusd // part, "late", "activity") for id_, cost_pusd in rows]
        correct(connection, corrections[: len(rows) // (part - 1)], NOW_MS)
    lost = UnattachedCost(START_MS, DAY, "openrouter", "openai/gpt-5-mini", "main", 70, "a lost row", "activity", "r")
    assert [booked.how for booked in book_unattached(connection, [lost, lost], NOW_MS)] == ["adjusted", "unchanged"]


@pytest.fixture
def copy(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(sound, tmp_path / "copy.db"))


def test_a_sound_ledger(sound: Path) -> None:
    found = audited(sound)
    assert found.differences == []
    assert (found.count, found.notes, found.requests) == (0, [], COUNT)
    assert found.attempts > COUNT
    assert found.adjustments > 0
    assert found.open > 0
    assert found.pending > 0
    assert found.cost_pusd > 0


# --- every cell that money, tokens, states and times rest on

_INTEGERS = st.one_of(
    st.none(),
    st.integers(-3, 3),
    st.integers(0, 10**7),
    st.integers(-(2**63), 2**63 - 1),
)
_TEXTS = st.one_of(st.none(), st.sampled_from(["", "anna", "bob", "x", "openai/gpt-5-mini", "openrouter", "gen-1"]))
_STATES = st.sampled_from(["open", "pending", "settled", "released"])
_SOURCES = st.sampled_from(["provider", "generation", "price", "estimate", "reservation", "none"])
_FLAGS = st.sampled_from([None, "cost_unknown", "over_reservation", "cost_unknown over_reservation"])

_CELLS: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "requests": {
        "started_ms": _INTEGERS,
        "user": _TEXTS,
        "group_name": _TEXTS,
        "model": _TEXTS,
        "provider": _TEXTS,
        "use_case": _TEXTS,
        "input_tokens": _INTEGERS,
        "output_tokens": _INTEGERS,
        "cached_tokens": _INTEGERS,
        "reasoning_tokens": _INTEGERS,
        "uncounted_images": _INTEGERS,
        "cost_pusd": _INTEGERS,
        "cost_source": _SOURCES,
        "state": _STATES,
        "attempts": _INTEGERS,
        "flags": _FLAGS,
    },
    "attempt_rows": {
        "request_id": _INTEGERS,
        "n": _INTEGERS,
        "cost_pusd": _INTEGERS,
        "input_tokens": _INTEGERS,
        "output_tokens": _INTEGERS,
        "cached_tokens": _INTEGERS,
        "reasoning_tokens": _INTEGERS,
    },
    "adjustments": {
        "request_id": _INTEGERS,
        "at_ms": _INTEGERS,
        "booked_pusd": _INTEGERS,
        "amount_pusd": _INTEGERS,
        "user": _TEXTS,
        "group_name": _TEXTS,
        "model": _TEXTS,
        "provider": _TEXTS,
        "use_case": _TEXTS,
    },
    "usage_hourly": {
        "hour_ms": _INTEGERS,
        "user": _TEXTS,
        "group_name": _TEXTS,
        "model": _TEXTS,
        "provider": _TEXTS,
        "use_case": _TEXTS,
        "requests": _INTEGERS,
        "errors": _INTEGERS,
        "input_tokens": _INTEGERS,
        "output_tokens": _INTEGERS,
        "cached_tokens": _INTEGERS,
        "reasoning_tokens": _INTEGERS,
        "uncounted_tokens": _INTEGERS,
        "uncounted_images": _INTEGERS,
        "cost_pusd": _INTEGERS,
    },
}
# What a request in flight has in these columns is not decided yet, and an attempt's roll-up columns are its own.
_ENDED = {
    "requests": "state IN ('settled', 'released')",
    "attempt_rows": "request_id IN (SELECT id FROM requests WHERE state IN ('settled', 'released') AND attempts = n)",
    "adjustments": "TRUE",
    "usage_hourly": "TRUE",
}


@given(data=st.data())
@settings(max_examples=count(300, 0.2), deadline=None)
def test_one_changed_cell_is_found(sound: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    table = data.draw(st.sampled_from(sorted(_CELLS)))
    column = data.draw(st.sampled_from(sorted(_CELLS[table])))
    value = data.draw(_CELLS[table][column])
    path = tmp_path_factory.getbasetemp() / "mutated.db"
    shutil.copy(sound, path)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        keys = [row[1] for row in connection.execute(f"PRAGMA table_info({table})") if row[5]]
        rows = connection.execute(
            f"SELECT {column}, {', '.join(keys)} FROM {table} WHERE {_ENDED[table]} ORDER BY {', '.join(keys)}"  # noqa: S608 - names of this file
        ).fetchall()
        row = data.draw(st.sampled_from(rows))
        if table == "requests" and column.endswith(("_tokens", "_images")):
            assume(value or row[0])  # of the only attempt nothing else says whether it was 0 or not counted
        several = connection.execute("SELECT 1 FROM attempt_rows WHERE request_id = ?", row[1:2]).fetchone()
        connection.execute("PRAGMA ignore_check_constraints = ON")
        where = " AND ".join(f"{key} = ?" for key in keys)
        try:
            connection.execute(f"UPDATE {table} SET {column} = ? WHERE {where}", (value, *row[1:]))  # noqa: S608 - as above
        except sqlite3.IntegrityError:  # NOT NULL, or a key that is there already: nothing was changed
            value = row[0]
    is_same = (
        value == row[0]
        or (table == "requests" and column in _IN_KEY and (value or "") == (row[0] or ""))
        or (table == "requests" and column == "cost_source" and not several and _are_alike(value, row[0]))
    )
    assert (audited(path).count == 0) is is_same


_FIGURES = {"provider", "generation", "price"}  # of one attempt: a cost that is right says not where it came from
_CHARGES = {"reservation", "estimate"}  # which of them it is, the provider's kind says


def _are_alike(*sources: str) -> bool:
    """Tell whether nothing else in a row says which of the sources its cost is from."""
    return {*sources} <= _FIGURES or {*sources} <= _CHARGES


_IN_KEY = ("group_name", "model", "use_case")  # nothing and no text are one key of the roll-up


PLANTED = {
    "a request is gone": ("DELETE FROM requests WHERE id = (SELECT min(id) FROM requests)", "rollup"),
    "its attempts are gone": ("DELETE FROM attempt_rows", "attempt"),
    "an hour is gone": ("DELETE FROM usage_hourly WHERE hour_ms = (SELECT max(hour_ms) FROM usage_hourly)", "rollup"),
    "an hour counts twice": ("UPDATE usage_hourly SET requests = requests * 2", "rollup"),
    "an end without a time": ("UPDATE requests SET finished_ms = NULL WHERE state = 'settled'", "request"),
    "another day": ("UPDATE requests SET day = '2020-02-30'", "request"),
    "another reservation": ("UPDATE requests SET reserved_pusd = 1 WHERE cost_source = 'reservation'", "request"),
    "over without a flag": ("UPDATE requests SET flags = NULL WHERE flags = 'over_reservation'", "request"),
    "a cost in an open row": ("UPDATE requests SET cost_pusd = 1 WHERE state = 'open'", "request"),
    "a cost while it waits": ("UPDATE requests SET cost_source = 'price' WHERE state = 'pending'", "request"),
    "a negative time": ("UPDATE requests SET duration_ms = -1 WHERE state = 'settled'", "request"),
    "an attempt that goes on": ("UPDATE requests SET outcome = 'open' WHERE outcome = 'ok'", "attempt"),
    "another attempt": ("UPDATE attempt_rows SET n = 3 WHERE n = 2", "attempt"),
    "a billed attempt before the last": ("UPDATE attempt_rows SET cost_pusd = 5 WHERE status IS NULL", "attempt"),
    "an unknown attempt before the last": ("UPDATE attempt_rows SET cost_pusd = NULL WHERE status IS NULL", "attempt"),
    "a sum that is none": ("UPDATE requests SET cost_pusd = cost_pusd + 1 WHERE attempts = 2 AND cost_pusd > 0",
        "attempt"),
    "a source that is too sure": ("UPDATE requests SET cost_source = 'provider' WHERE attempts = 2", "attempt"),
    "a share that was not charged": (
        "UPDATE attempt_rows SET reserved_pusd = reserved_pusd + 1 WHERE cost_source = 'reservation'", "attempt"),
    "more shares than reserved": ("UPDATE attempt_rows SET reserved_pusd = 1 << 50 WHERE n = 1", "attempt"),
    "awaited under an end": (
        "UPDATE attempt_rows SET cost_pusd = NULL, cost_source = 'none' WHERE cost_source = 'provider'", "attempt"),
    "waiting for none": (
        "UPDATE attempt_rows SET cost_pusd = 0 WHERE request_id IN (SELECT id FROM requests WHERE state = 'pending')",
        "attempt"),
    "uncounted tokens": ("UPDATE requests SET uncounted_tokens = 17 WHERE attempts = 2", "rollup"),
    "a start of its own": ("UPDATE attempt_rows SET started_ms = started_ms + 1 WHERE n = 1", "attempt"),
    "one generation twice": ("UPDATE requests SET generation_id = 'x' WHERE cost_source = 'provider'", "generation"),
    "an answer that counts twice": ("UPDATE usage_hourly SET answered = 2 * answered", "performance"),
    "a histogram that counts twice": (
        "UPDATE usage_hourly SET counts = CAST(counts || substr(counts, 1, 1) AS BLOB) WHERE length(counts) > 0",
        "performance"),
    "a histogram that cannot be read": ("UPDATE usage_hourly SET counts = x'ff0900ff'", "performance"),
    "a day that counts twice": ("UPDATE usage_daily SET requests = 2 * requests WHERE facet = 3", "daily"),
    "a day with what no hour has": ("UPDATE usage_daily SET use_case = 'x' WHERE facet = 1 AND use_case = ''", "daily"),
    "a histogram of another day": ("UPDATE usage_daily SET counts = x'ff0900ff' WHERE facet = 2", "daily"),
    "another time of an answer": ("UPDATE requests SET duration_ms = duration_ms * 9 + 90 WHERE error IS NULL",
        "performance"),
    "a correction of nothing": ("UPDATE adjustments SET request_id = 7", "adjustment"),
    "a correction below nothing": ("UPDATE adjustments SET amount_pusd = -9000000000", "adjustment"),
    "too much to add up": ("UPDATE requests SET cost_pusd = 9223372036854775807 WHERE state = 'settled'", "rollup"),
}  # fmt: skip


@pytest.mark.parametrize("name", PLANTED)
def test_planted(copy: Path, name: str) -> None:
    sql, check = PLANTED[name]
    change(copy, sql)
    found = audited(copy)
    assert check in {difference.check for difference in found.differences}, found.differences
    assert found.count >= len(found.differences)


def test_many_differences_are_counted_and_the_first_listed(copy: Path) -> None:
    change(copy, "UPDATE requests SET id = id + 1, day = '2020-02-30'")
    found = audited(copy)
    assert len(found.differences) == LISTED < found.count
    assert {difference.check for difference in found.differences} == set(found.counts)


def test_damage_is_found(copy: Path) -> None:
    with closing(sqlite3.connect(copy, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
        page_size = connection.execute("PRAGMA page_size").fetchone()[0]
        root = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'tokens'").fetchone()[0]
    with copy.open("r+b") as file:
        file.seek((root - 1) * page_size)
        file.write(b"\xff" * 8)
    try:
        checks = {difference.check for difference in audited(copy).differences}
    except sqlite3.DatabaseError as error:
        checks = {"integrity"} if "malformed" in str(error) else set()
    assert "integrity" in checks


def test_an_open_request_that_nobody_ends(sound: Path) -> None:
    expected = ExpectedTotals((), UTC, None, longest_request_s=60, longest_look_up_s=60)
    found = audited(sound, expected)
    assert {difference.check for difference in found.differences} == {"open"}
    assert found.count == found.open
    assert "has been waiting for its cost" in found.notes[0]


# --- limits

LIMIT = Quota("user:anna", "cost", 10_000_000, "day")


async def _booked(path: Path, rows: list[dict[str, Any]]) -> None:
    async with booked(path) as ledger:
        for row in rows:
            row.setdefault("user", USERS[0])
            started_ms = START_MS + row.pop("after_ms")
            await book(ledger, started_ms, random.Random(1), **row)


def limited(path: Path, quota: Quota, changed_ms: int | None) -> LedgerFindings:
    return audited(path, ExpectedTotals((quota,), UTC, changed_ms, 1e9, 1e9), START_MS + 3_000_000)


async def test_within_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    await _booked(path, [{"after_ms": n, "cost_pusd": 5_000_000} for n in range(2)])
    found = limited(path, LIMIT, None)
    assert (found.count, found.notes) == (0, [])


async def test_what_was_let_in_past_a_limit_is_a_difference(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    await _booked(path, [{"after_ms": n * 2000, "cost_pusd": 4_000_000} for n in range(3)])
    found = limited(path, LIMIT, START_MS - DAY_MS)
    (difference,) = found.differences
    assert (difference.check, difference.where) == ("limit", "user:anna cost/day")
    assert "$0.000002 over" in difference.text
    assert "was admitted above it" in difference.text


@pytest.mark.parametrize("way", ["open", "pending"])
async def test_reservations_count(tmp_path: Path, way: str) -> None:
    path = tmp_path / "t.db"
    await _booked(path, [{"after_ms": n, "way": way} for n in range(3)])
    assert limited(path, LIMIT, START_MS - DAY_MS).differences[0].check == "limit"


async def test_what_exceeded_its_reservation_explains_it(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    await _booked(path, [{"after_ms": 0, "way": "over", "cost_pusd": 7_000_000}])  # on top of the reservation
    found = limited(path, LIMIT, None)
    assert found.count == 0
    assert "$0.000007 more than reserved" in found.notes[0]


async def test_a_lowered_limit_explains_it(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    await _booked(path, [{"after_ms": n * 2000, "cost_pusd": 4_000_000} for n in range(3)])
    found = limited(path, LIMIT, START_MS + 60_000)
    assert found.count == 0
    assert "the limit was lowered" in found.notes[0]
    await _booked(path, [{"after_ms": 120_000, "cost_pusd": 1}])
    assert limited(path, LIMIT, START_MS + 60_000).count == 1


@pytest.mark.parametrize(
    ("quota", "is_passed"),
    [
        (Quota("all", "cost", 11_999_999, "month"), True),
        (Quota("all", "cost", 12_000_000, "month"), False),
        (Quota("group:family", "cost", 11_999_999, "total"), True),
        (Quota("group:others", "cost", 1, "total"), False),
        (Quota("user:bob", "cost", 1, "30d"), False),
        (Quota("user:anna", "requests", 2, "hour"), True),
        (Quota("user:anna", "requests", 3, "hour"), False),
        (Quota("user:anna", "cost", 1, "minute"), False),
        (Quota("user:anna", "cost", 1, "day", "soft"), False),
        (Quota("user:anna", "concurrency", 1, ""), False),
    ],
)
async def test_scopes_kinds_and_windows(tmp_path: Path, quota: Quota, is_passed: bool) -> None:
    path = tmp_path / "t.db"
    await _booked(path, [{"after_ms": n * 2000, "cost_pusd": 4_000_000} for n in range(3)])
    found = audited(path, ExpectedTotals((quota,), UTC, None, 1e9, 1e9), START_MS + 120_000)
    assert bool(found.count) is is_passed


@given(
    costs=st.lists(st.integers(1, 5_000_000), min_size=1, max_size=8),
    limit=st.integers(1, 30_000_000),
    zone=st.sampled_from(["UTC", "Asia/Kolkata", "Asia/Kathmandu", "America/St_Johns"]),
    window=st.sampled_from(["minute", "hour", "day", "week", "month", "total", "2h", "3d"]),
    step_ms=st.sampled_from([1_000, 1_700_000, 40_000_000]),
)
@settings(max_examples=60, deadline=None)
def test_sums_are_those_of_the_window(
    tmp_path_factory: pytest.TempPathFactory, costs: list[int], limit: int, zone: str, window: str, step_ms: int
) -> None:
    """Held against a sum in Python over the window's own bounds."""
    from proxy.policy.quota.window import window_at

    path = tmp_path_factory.mktemp("t") / "t.db"
    moments = [START_MS + n * step_ms for n in range(len(costs))]
    rows = [
        {"after_ms": at - START_MS, "cost_pusd": cost, "reserved_pusd": cost}
        for at, cost in zip(moments, costs, strict=True)
    ]
    asyncio.run(_booked(path, rows))
    now_ms = moments[-1] + 500
    bounds = window_at(window, ZoneInfo(zone), now_ms)
    end_ms = bounds.end_ms or now_ms + 1
    spent = sum(cost for at, cost in zip(moments, costs, strict=True) if bounds.start_ms <= at < end_ms)
    quota = Quota("user:anna", "cost", limit, window)
    found = audited(path, ExpectedTotals((quota,), ZoneInfo(zone), None, 1e9, 1e9), now_ms)
    assert (found.count == 1) is (spent > limit)


# --- the -wal


def odd(path: Path, *, is_owned: bool) -> str | None:
    head, has_lock_file = look_at_wal(path)
    with closing(open_reader(path)) as connection:
        return odd_wal(connection, head, has_lock_file=has_lock_file, is_owned=is_owned)


async def test_the_wal(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    wal = tmp_path / "t.db-wal"
    async with booked(path):
        pass  # the tables are in the file itself from now on
    async with booked(path) as ledger:
        await book_many(ledger, 5)
        assert odd(path, is_owned=True) is None
        alone = tmp_path / "alone.db"
        shutil.copy(path, alone)
        killed = tmp_path / "killed.db"
        for ending in ("", "-wal", ".lock"):
            shutil.copy(f"{path}{ending}", f"{killed}{ending}")
    assert not wal.exists()
    assert odd(path, is_owned=False) is None
    wal.unlink(missing_ok=True)  # a reader leaves an empty one
    assert "is missing" in (odd(path, is_owned=True) or "")
    assert "copy of the .db alone" in (odd(alone, is_owned=False) or "")
    assert "it was killed" in (odd(killed, is_owned=False) or "")


@pytest.mark.parametrize("content", [b"short", b"\0" * 32, b"\x37\x7f\x06\x82" + b"\0" * 28])
def test_a_wal_of_something_else(copy: Path, content: bytes) -> None:
    copy.with_name("copy.db.lock").touch()
    copy.with_name("copy.db-wal").write_bytes(content)
    text = odd(copy, is_owned=False) or ""
    assert "cut off" in text or "not one of this ledger" in text


def test_a_difference_says_where(copy: Path) -> None:
    change(copy, "UPDATE usage_hourly SET cost_pusd = cost_pusd + 1 WHERE user = 'bob' AND hour_ms % 7 = 0")
    found = audited(copy)
    assert found.counts.keys() == {"rollup", "daily"}
    hours = [difference for difference in found.differences if difference.check == "rollup"]
    assert all(
        isinstance(difference, LedgerDifference) and "cost_pusd is" in difference.text
        for difference in found.differences
    )
    assert all("'bob'" in difference.where for difference in hours)


# --- the page

PAGE = (Path(__file__).parents[2] / "docs" / "concepts" / "ledger.md").read_text(encoding="utf-8")


def test_the_page_names_every_check_flag_state_and_table(sound: Path) -> None:
    from proxy.pipeline.values import settlement

    words = {value for name, value in vars(settlement).items() if name.isupper() and isinstance(value, str)}
    flags = words - {settlement.CHECKS}  # that is how the flags of a preset's checks begin
    assert {"cost_unknown", "crash"} < flags
    assert f"`{settlement.CHECKS}" in PAGE
    checks = {check for _, check in PLANTED.values()} | {"integrity", "open", "limit", "total"}
    with closing(open_reader(sound)) as connection:
        tables = {
            name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type IN ('table', 'view')")
        }
        assert {name for (name,) in connection.execute("SELECT name FROM meta")} <= set(re.findall(r"`(\w+)`", PAGE))
    sources = {"provider", "generation", "price", "estimate", "reservation", "none"}
    for word in flags | checks | sources | {name for name in tables if not name.startswith("sqlite_")}:
        assert f"`{word}`" in PAGE, word
