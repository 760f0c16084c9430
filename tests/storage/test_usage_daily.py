"""Days that are summed change no report: while they are filled, after late ends and corrections, in any zone."""

import random
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from proxy.core.clock import SystemClock
from proxy.jobs.daily_usage import DailyUsage
from proxy.policy.day_span import DaySpan
from proxy.storage.adjustment import Correction, UnattachedCost
from proxy.storage.performance import PerformanceFilter
from proxy.storage.spending import ROLLED_WORDS, UsageSelection
from proxy.storage.sqlite.connect import open_reader
from proxy.storage.sqlite.ledger import SqliteLedger
from proxy.storage.sqlite.reports import SqliteReports
from proxy.storage.sqlite.usage_daily import FACETS, facet_of
from proxy.storage.sqlite.verify import ExpectedTotals, verify
from tests.storage.booked_rows import DAY_MS, START_MS, USERS, book, book_many, booked
from tests.support.installation import write_config
from tests.support.stand import app_in_loop, sqlite_ledger

HOUR_MS = 3_600_000
UTC = ZoneInfo("UTC")
COUNT = 160
STEP_MS = 2 * HOUR_MS  # thirteen days
END_MS = START_MS + COUNT * STEP_MS
SELECTIONS: tuple[dict[str, Any], ...] = (
    *({"by": (word,)} for word in (*ROLLED_WORDS, "day", "month")),
    {"by": ()},
    {"by": ("user", "model", "week")},
    {"by": ("group", "use_case")},
    {"by": ("model",), "user": "anna"},
    {"by": ("day",), "user": "bob", "since_ms": START_MS + 3 * DAY_MS + 7 * HOUR_MS},
    {"by": ("user", "day"), "since_ms": START_MS + DAY_MS + 1_234_567, "until_ms": START_MS + 9 * DAY_MS - 1},
    {"by": ("user", "day"), "only": (("model", "openai/gpt-5-mini"), ("group", ""))},
    {"by": ("token", "model"), "only": (("use_case", "sms"),)},
    {"by": ("token", "user")},
)


def told(path: Path, zone: ZoneInfo) -> list[Any]:
    """Return what reports say."""
    reports = SqliteReports(path)
    found: list[Any] = [reports.usage(UsageSelection(**one), zone) for one in SELECTIONS]
    found += [reports.unsettled(user=user) for user in (None, "anna")]
    found += [reports.unsettled(since_ms=START_MS + DAY_MS + 5, until_ms=START_MS + 5 * DAY_MS)]
    found += [reports.usage_by_model(user, START_MS + 3 * DAY_MS + 99) for user in ("anna", "nobody")]
    found += [reports.spent_since("bob", [START_MS // HOUR_MS * HOUR_MS + n * DAY_MS for n in (0, 2, 20)])]
    found += [reports.known_users(), [reports.has_user(name) for name in ("carl", "nobody", "")]]
    for start_ms, end_ms in ((None, None), (START_MS + 2 * DAY_MS, START_MS + 8 * DAY_MS + HOUR_MS)):
        found.append(reports.model_performance(PerformanceFilter(start_ms, end_ms)))
    return found


def without_days(path: Path, zone: ZoneInfo) -> list[Any]:
    """Return what they say of a copy whose days are not summed."""
    copy = path.with_name("without.db")
    copy.unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as db:
        db.execute("VACUUM INTO ?", (str(copy),))
    with closing(sqlite3.connect(copy)) as db:
        assert db.execute("SELECT count(*) FROM daily_spans").fetchone()[0]
        db.execute("DELETE FROM daily_spans")
        db.commit()
    return told(copy, zone)


def differences(path: Path) -> list[Any]:
    with closing(open_reader(path)) as connection:
        return verify(connection, ExpectedTotals((), UTC, None, 1e9, 1e9), END_MS).differences


async def settle_late(ledger: SqliteLedger, chance: random.Random) -> None:
    """Let requests of days that are over end, cost something else, and come up in the bill."""
    for _ in range(3):
        at_ms = START_MS + chance.randrange(COUNT) * STEP_MS + chance.randrange(HOUR_MS)
        way = chance.choice(("provider", "over", "unknown", "second"))
        id_ = await book(ledger, at_ms, chance, way=way, user=chance.choice(USERS))
        await ledger.correct([Correction(id_, chance.randrange(9_000_000), "late", "generation")], END_MS)
    cost = UnattachedCost(at_ms, "2026-09-22", "openrouter", "meta/llama", "main", 17, "lost", "bill", f"call {at_ms}")
    await ledger.book_unattached([cost], END_MS)


def edges_of_filling(path: Path) -> list[int]:
    """Return times in the first and in the last hour of the day that is being filled."""
    with closing(open_reader(path)) as reader:
        days = reader.execute("SELECT start_ms, end_ms FROM daily_spans WHERE state = 'filling'").fetchall()
    return [at_ms for start_ms, end_ms in days for at_ms in (start_ms + 7, end_ms - 7)]


@pytest.mark.parametrize("name", ["UTC", "America/New_York", "Asia/Kolkata"])
async def test_reports_are_the_same_with_days_and_without(tmp_path: Path, name: str) -> None:
    path, zone, chance = tmp_path / "ledger.db", ZoneInfo(name), random.Random(name)
    async with booked(path) as ledger:
        await book_many(ledger, COUNT, step_ms=STEP_MS)
        reports = SqliteReports(path)
        before = told(path, zone)
        days = reports.past_days(zone, END_MS)
        assert len(days) >= 12
        assert all(day.end_ms - day.start_ms in (23 * HOUR_MS, 24 * HOUR_MS) for day in days)
        steps = 0
        while await ledger.sum_days(days, 4):
            steps += 1
            if steps < 4:
                assert told(path, zone) == before
            if steps % 16 == 0:  # some of what comes late is already in a day, some is still to be taken
                for at_ms in edges_of_filling(path):
                    await book(ledger, at_ms, chance, user=USERS[1])
                await settle_late(ledger, chance)
                assert told(path, zone) == without_days(path, zone)
        assert steps > 30
        await settle_late(ledger, chance)
        assert told(path, zone) == without_days(path, zone)
        assert not differences(path)
        with closing(sqlite3.connect(path)) as db:
            kept = db.execute("SELECT facet, sum(requests), sum(cost_pusd) FROM usage_daily GROUP BY 1").fetchall()
        assert len({figures for _, *figures in kept for figures in [tuple(figures)]}) == 1
        assert len(kept) == len(FACETS)


async def test_days_of_another_zone_are_given_up(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    async with booked(path) as ledger:
        await book_many(ledger, COUNT, step_ms=STEP_MS)
        reports = SqliteReports(path)
        for name in ("UTC", "Asia/Kolkata"):
            days = reports.past_days(ZoneInfo(name), END_MS)
            while await ledger.sum_days(days, 30):
                pass
            assert told(path, UTC) == without_days(path, UTC)
            with closing(sqlite3.connect(path)) as db:
                assert [DaySpan(*row) for row in db.execute("SELECT start_ms, end_ms FROM daily_spans")] == days[::-1]
                starts = {row[0] for row in db.execute("SELECT DISTINCT day_ms FROM usage_daily")}
            assert starts == {day.start_ms for day in days}
        assert not differences(path)


async def test_a_start_goes_on_where_days_were_filled_to(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    async with booked(path) as ledger:
        await book_many(ledger, COUNT, step_ms=STEP_MS)
    days = SqliteReports(path).past_days(UTC, END_MS)
    more = True
    while more:
        async with booked(path) as ledger:
            await settle_late(ledger, random.Random(1))
            for _ in range(50):
                more = await ledger.sum_days(days, 9)
    assert told(path, UTC) == without_days(path, UTC)
    assert not differences(path)


async def test_the_job_sums_what_is_over(tmp_path: Path) -> None:
    providers = {"local": {"base_url": "http://127.0.0.1:9/v1"}}  # nobody answers there
    config = write_config(tmp_path, {"database": "./t.db", "server": {"port": 0}, "providers": providers})
    async with app_in_loop(config) as app:
        ledger, reports = sqlite_ledger(app), app.reports
        now_ms = SystemClock().now_ms()
        chance = random.Random(3)
        for back in range(4):
            await book(ledger, now_ms - back * DAY_MS, chance)
        problem: list[str | None] = ["the clock jumps"]
        job = DailyUsage(ledger, reports, app.live, SystemClock(), lambda: problem[0])
        assert not await job.sum_past()
        problem[0] = None
        assert await job.sum_past(pause_s=0)
        assert not await job.sum_past()
        with closing(open_reader(tmp_path / "t.db")) as db:
            ends = [row[0] for row in db.execute("SELECT end_ms FROM daily_spans WHERE state = 'whole'")]
        assert len(ends) in (2, 3)
        assert max(ends) <= now_ms


def test_a_question_reads_the_smallest_facet() -> None:
    assert facet_of(["model"]).names == ("model", "provider")
    assert facet_of(["user"]).names == ("user", "group_name")
    assert facet_of(["user", "model"]) == FACETS[-1]
    assert facet_of([]) == FACETS[0]


async def test_reports_of_a_day_read_no_hour(tmp_path: Path) -> None:
    """Else they would be no faster: the hours are emptied, and whole days still answer."""
    path = tmp_path / "ledger.db"
    async with booked(path) as ledger:
        await book_many(ledger, COUNT, step_ms=STEP_MS)
        while await ledger.sum_days(SqliteReports(path).past_days(UTC, END_MS), 1000):
            pass
    wanted = told(path, UTC)
    with closing(sqlite3.connect(path)) as db:
        first_ms, last_ms = db.execute("SELECT min(start_ms), max(end_ms) FROM daily_spans").fetchone()
        db.execute("UPDATE usage_hourly SET requests = 0, cost_pusd = 0, flagged = 0, counts = x''")
        db.commit()
    sums = SqliteReports(path).usage(UsageSelection(("user",), first_ms, last_ms), UTC)
    assert sums.total.requests > COUNT // 2
    assert told(path, UTC) != wanted  # hours and rows that are in no day are still read
