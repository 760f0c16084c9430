"""Old rows go, their sums stay; what is open, in the window of a limit, or needed for totals does not go."""

import random
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.app.rebuild import rebuilt_book
from proxy.config.load import load_file
from proxy.jobs.retention import Retention, configured_quotas
from proxy.policy.quota import Quota, fine_rows
from proxy.policy.quota.window import window_at
from proxy.storage.sqlite.connect import open_reader
from proxy.storage.sqlite.ledger import SqliteLedger
from proxy.storage.sqlite.reports import SqliteReports
from proxy.storage.sqlite.retention import find_removable, plan_removal, remove_rows, removed_before_ms
from proxy.storage.sqlite.verify import ExpectedTotals, verify
from tests.storage.booked_rows import DAY_MS, START_MS, book, book_many, booked
from tests.support.stand import app_in_loop, sqlite_ledger

HOUR_MS = 3_600_000
UTC = ZoneInfo("UTC")
COUNT = 120
STEP_MS = 2 * HOUR_MS  # ten days
NOW_MS = START_MS + COUNT * STEP_MS


def rows_of(path: Path) -> list[tuple[Any, ...]]:
    with closing(open_reader(path)) as connection:
        return connection.execute("SELECT id, started_ms, user, group_name, state FROM requests").fetchall()


def rollup_of(path: Path) -> list[tuple[Any, ...]]:
    with closing(open_reader(path)) as connection:
        return connection.execute("SELECT * FROM usage_hourly").fetchall()


async def remove_all(
    ledger: SqliteLedger, path: Path, age_ms: int, zone: ZoneInfo, quotas: list[Quota], now_ms: int = NOW_MS
) -> int:
    """Do what the job does, in slices of seven."""
    removed, after = 0, 0
    with closing(open_reader(path)) as reader:
        what = plan_removal(reader, age_ms, now_ms, zone, quotas)
        while ids := find_removable(reader, what, after, 7):
            after = ids[-1]
            removed += await ledger.change(lambda db, ids=ids: remove_rows(db, ids))  # type: ignore[misc]
    return removed


def differences(path: Path, zone: ZoneInfo = UTC, quotas: tuple[Quota, ...] = ()) -> list[Any]:
    with closing(open_reader(path)) as connection:
        return verify(connection, ExpectedTotals(quotas, zone, None, 1e9, 1e9), NOW_MS).differences


@given(
    age_days=st.integers(0, 12),
    zone=st.sampled_from(["UTC", "Asia/Kolkata", "Europe/Stockholm"]),
    quotas=st.lists(
        st.builds(
            Quota,
            st.sampled_from(["all", "user:anna", "user:bob", "group:family"]),
            st.just("cost"),
            st.just(10**15),
            st.sampled_from(["minute", "day", "week", "month", "3d", "total"]),
        ),
        max_size=2,
    ),
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_what_goes_and_what_stays(
    tmp_path_factory: pytest.TempPathFactory, age_days: int, zone: str, quotas: list[Quota]
) -> None:
    path = tmp_path_factory.mktemp("t") / "t.db"
    where = ZoneInfo(zone)
    async with booked(path) as ledger:
        await book_many(ledger, COUNT, step_ms=STEP_MS)
        before, rollup = rows_of(path), rollup_of(path)
        book_before = rebuilt_book(SqliteReports(path), where, NOW_MS)
        removed = await remove_all(ledger, path, age_days * DAY_MS, where, quotas)
        after = rows_of(path)
        assert len(before) - len(after) == removed
        gone = {row[0] for row in before} - {row[0] for row in after}
        fine = fine_rows(NOW_MS, where)
        for id_, started_ms, user, group, state in before:
            if id_ not in gone:
                continue
            assert state in ("settled", "released")
            assert started_ms < NOW_MS - age_days * DAY_MS
            assert not fine.covers(started_ms)
            for quota in quotas:
                is_in = quota.scope in ("all", f"user:{user}", f"group:{group}")
                assert not is_in or started_ms < window_at(quota.window, where, NOW_MS).start_ms
        assert rollup_of(path) == rollup
        assert differences(path, where, tuple(quotas)) == []
        book_after = rebuilt_book(SqliteReports(path), where, NOW_MS)
        wanted = [
            Quota(scope, "cost", 1, window)
            for scope in ("all", "user:anna", "group:family")
            for window in ("day", "week", "month", "5d", "total")
        ]
        assert book_after.limits_view(wanted, NOW_MS) == book_before.limits_view(wanted, NOW_MS)


async def test_all_that_is_old_goes_with_its_parts(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    async with booked(path) as ledger:
        await book_many(ledger, COUNT, step_ms=STEP_MS)
        assert await remove_all(ledger, path, 0, UTC, []) > COUNT // 2
    with closing(open_reader(path)) as connection:
        for table in ("attempts", "adjustments"):
            (left,) = connection.execute(
                f"SELECT count(*) FROM {table} WHERE request_id NOT IN (SELECT id FROM requests)"  # noqa: S608 - names of tables
            ).fetchone()
            assert left == 0
        assert removed_before_ms(connection) > 0
    states = {row[4] for row in rows_of(path)}
    assert {"open", "pending"} <= states


async def test_a_row_that_settles_late_adds_up(tmp_path: Path) -> None:
    """The hour of a request that is still open keeps all its rows, so that its end finds them."""
    path = tmp_path / "t.db"
    chance = random.Random(1)
    async with booked(path) as ledger:
        await book(ledger, START_MS, chance)
        await book(ledger, START_MS + 1, chance, way="open")
        await book(ledger, START_MS + HOUR_MS, chance)
        await book(ledger, NOW_MS, chance)
        assert await remove_all(ledger, path, DAY_MS, UTC, []) == 1
    assert [row[1] for row in rows_of(path)] == [START_MS, START_MS + 1, NOW_MS]
    assert differences(path) == []


async def test_a_clock_that_starts_years_ahead_empties_nothing(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    async with booked(path) as ledger:
        await book_many(ledger, COUNT, step_ms=STEP_MS)
        removed = await remove_all(ledger, path, 8 * DAY_MS, UTC, [], NOW_MS + 4000 * DAY_MS)
    assert 0 < removed < COUNT // 2


async def test_ids_still_follow_the_newest_row(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    async with booked(path) as ledger:
        await book_many(ledger, 10, step_ms=STEP_MS)
        last = ledger.ids.next(0) - 1
        await remove_all(ledger, path, 0, UTC, [])
    async with booked(path) as ledger:
        assert ledger.ids.next(0) == last + 1


async def test_a_new_time_zone_frees_no_money(tmp_path: Path) -> None:
    """A zone off UTC by half an hour wants single rows of hours whose rows are gone: the roll-up stands in, in full."""
    path = tmp_path / "t.db"
    kolkata = ZoneInfo("Asia/Kolkata")
    async with booked(path) as ledger:
        await book_many(ledger, COUNT, step_ms=HOUR_MS)
        await remove_all(ledger, path, 0, UTC, [])
        book_ = rebuilt_book(SqliteReports(path), kolkata, NOW_MS)
        (total,) = await ledger.change(lambda db: db.execute("SELECT sum(cost_pusd) FROM usage_hourly").fetchone())
    assert book_.limits_view([Quota("all", "cost", 10**18, "total")], NOW_MS)[0].used == total


# --- audit beside removal


async def test_the_audit_still_sees_what_is_left(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    async with booked(path) as ledger:
        await book_many(ledger, COUNT, step_ms=STEP_MS)
        await remove_all(ledger, path, 5 * DAY_MS, UTC, [Quota("user:bob", "cost", 1, "total")])
    assert differences(path) == []
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("DELETE FROM requests WHERE id = (SELECT max(id) FROM requests WHERE state = 'settled')")
        connection.execute("UPDATE requests SET cost_pusd = cost_pusd + 1 WHERE user = 'bob' AND state = 'settled'")
    assert {difference.check for difference in differences(path)} >= {"rollup", "attempt"}


# --- the job


class _Later:
    """The time at which the last row is as old as the job needs."""

    def now_ms(self) -> int:
        return NOW_MS

    def monotonic_s(self) -> float:
        return time.monotonic()


def config_of(folder: Path, content: dict[str, Any]) -> Path:
    path = folder / "config.yaml"
    providers = {"local": {"base_url": "http://127.0.0.1:9/v1"}}  # nobody answers there
    base = {"database": "./t.db", "server": {"port": 0}, "providers": providers}
    path.write_text(yaml.safe_dump({**base, **content}))
    path.chmod(0o600)
    return path


@pytest.mark.parametrize(
    ("content", "left"),
    [
        ({}, COUNT),
        ({"retention": {"rows": "forever"}}, COUNT),
        ({"retention": {"rows": "5d"}, "limits": {"cost": "$9"}}, COUNT),
        ({"retention": {"rows": "5d"}, "limits": {"cost": "$9/366d"}}, COUNT),
    ],
)
async def test_the_job_keeps(tmp_path: Path, content: dict[str, Any], left: int) -> None:
    path = tmp_path / "t.db"
    async with app_in_loop(config_of(tmp_path, content)) as app:
        await book_many(sqlite_ledger(app), COUNT, step_ms=STEP_MS)
        assert await Retention(app.ledger, app.reports, app.live, _Later()).remove_old() == 0
    assert len(rows_of(path)) == left


async def test_the_job_waits_for_a_clock_that_can_be_trusted(tmp_path: Path) -> None:
    async with app_in_loop(config_of(tmp_path, {"retention": {"rows": "5d"}})) as app:
        await book_many(sqlite_ledger(app), COUNT, step_ms=STEP_MS)
        problems = ["this machine's clock stepped"]
        job = Retention(app.ledger, app.reports, app.live, _Later(), lambda: problems[0] if problems else None)
        assert await job.remove_old() == 0
        problems.clear()
        assert await job.remove_old() > 0


async def test_the_job_removes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "t.db"
    content = {"retention": {"rows": "5d"}, "users": {"bob": {"limits": {"cost": "$9"}}}}
    async with app_in_loop(config_of(tmp_path, content)) as app:
        await book_many(sqlite_ledger(app), COUNT, step_ms=STEP_MS)
        before = rows_of(path)
        job = Retention(app.ledger, app.reports, app.live, _Later())
        removed = await job.remove_old()
        assert await job.remove_old() == 0
    after = rows_of(path)
    assert len(before) - len(after) == removed > 10
    assert [row for row in before if row[2] == "bob"] == [row for row in after if row[2] == "bob"]
    assert any(row[1] >= NOW_MS - 5 * DAY_MS for row in after)
    held = [record for record in caplog.records if record.message == "retention.kept"]
    assert [record.__dict__["limits"] for record in held] == ["user:bob cost/total"]
    assert differences(path) == []


def test_every_limit_that_holds_for_anybody(tmp_path: Path) -> None:
    path = config_of(
        tmp_path,
        {
            "limits": {"cost": "$200/month"},
            "defaults": {"limits": {"cost": "$2/day", "requests": "60/minute"}},
            "groups": {"family": {"limits": {"cost": "$50/30d"}}, "empty": {"limits": {"tokens": "1M/week"}}},
            "users": {"anna": {"group": "family", "limits": {"cost": "$5/day"}}},
        },
    )
    rows = [
        {"name": "bob", "group": None, "settings": {"limits": {"cost": "$7"}}, "disabled": False, "made_by": None},
        {"name": "anna", "group": None, "settings": {"limits": {"cost": "$999"}}, "disabled": False, "made_by": None},
    ]
    found = {
        (quota.scope, quota.kind, quota.window, quota.amount)
        for quota in configured_quotas(load_file(path, {}).settings, rows)
    }
    usd = 10**12
    assert found == {
        ("all", "cost", "month", 200 * usd),
        ("group:family", "cost", "30d", 50 * usd),
        ("group:empty", "tokens", "week", 10**6),
        ("user:anna", "cost", "day", 5 * usd),
        ("user:anna", "requests", "minute", 60),
        ("user:bob", "cost", "total", 7 * usd),
        ("user:bob", "requests", "minute", 60),
    }
