"""Sums by words that only rows know, by a key's own attempts, at the rates of the days; and what is in doubt."""

import random
import sqlite3
from contextlib import closing
from datetime import datetime
from decimal import Decimal
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from proxy.policy.exchange_rates import RateStep
from proxy.policy.quota.window import HOUR_MS
from proxy.storage.adjustment import Correction
from proxy.storage.refusals import RefusalSelection
from proxy.storage.spending import (
    OTHERS,
    ROLLED_WORDS,
    ROW_WORDS,
    USAGE_WORDS,
    SpendingRow,
    SpendingSums,
    UsageSelection,
    read_usage_words,
    sum_local,
)
from proxy.storage.sqlite.adjustments import correct
from proxy.storage.sqlite.migrations import migrate
from proxy.storage.sqlite.reports import SqliteReports
from proxy.storage.sqlite.retention import remove_rows
from proxy.storage.usage_part import read_matching_usage
from proxy.storage.usage_series import read_usage_series, series_word
from tests.storage.booked_rows import DAY_MS, START_MS, USERS, book, book_many, booked
from tests.storage.made_rows import fill, insert, ledger, made

UTC = ZoneInfo("UTC")
COUNT = 150
STEP_MS = 600_000


def usage(path: Path, *by: str, zone: ZoneInfo = UTC, **more: Any) -> SpendingSums:
    return SqliteReports(path).usage(UsageSelection(by, **more), zone)


def figures(row: SpendingRow) -> tuple[int, ...]:
    return row.requests, row.errors, row.tokens, row.cost_pusd, row.cached_tokens, row.reasoning_tokens


async def test_totals_are_the_same_by_any_word_also_after_rows_were_removed(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    async with booked(path) as ledger:
        await book_many(ledger, COUNT)
        whole = figures(usage(path).total)
        with closing(sqlite3.connect(path)) as db:
            ids = [row[0] for row in db.execute("SELECT id FROM requests WHERE state <> 'open' ORDER BY id LIMIT 60")]
        for is_removed in (False, True):
            removed = await ledger.change(lambda db: remove_rows(db, ids)) if is_removed else 0
            for word in (*USAGE_WORDS, "tag:job"):
                sums = usage(path, word)
                assert figures(sums.total) == whole, word
                assert figures(SpendingRow.total(sums.rows)) == whole, word
                by_both = usage(path, word, "user") if word != "user" else sums
                assert figures(by_both.total) == whole
            untold = [row for row in usage(path, "token").rows if row.key == ("",)]
            assert sum(row.requests for row in untold) == removed
    assert removed > 30


@pytest.mark.parametrize("name", ["Asia/Kathmandu", "Australia/Lord_Howe"])
async def test_days_that_begin_within_an_hour_keep_what_was_removed(tmp_path: Path, name: str) -> None:
    path, zone = tmp_path / "ledger.db", ZoneInfo(name)
    async with booked(path) as ledger:
        await book_many(ledger, COUNT, step_ms=1_234_567)
        reports = SqliteReports(path)
        whole, flagged = figures(usage(path).total), reports.unsettled().flagged
        with closing(sqlite3.connect(path)) as db:
            ids = [row[0] for row in db.execute("SELECT id FROM requests WHERE state <> 'open' ORDER BY id LIMIT 60")]
        late = [Correction(id_, 77_777, "late", "generation") for id_ in ids[::3]]
        await ledger.correct(late, START_MS)
        whole = figures(usage(path).total)
        removed = await ledger.change(lambda db: remove_rows(db, ids[::2]))  # some of an hour, too
        assert removed > 20
        for by in (("day",), ("hour",), ("day", "token"), ("hour", "user"), ("day", "tag"), ("month", "key")):
            sums = usage(path, *by, zone=zone)
            assert figures(sums.total) == whole, by
            assert figures(SpendingRow.total(sums.rows)) == whole, by
        cuts = [START_MS // HOUR_MS * HOUR_MS + n * 2_345_678 for n in range(30)]
        ranges = [*pairwise([None, *cuts, None])]
        for word in ("user", "token", "tag"):
            parts = [usage(path, word, since_ms=since_ms, until_ms=until_ms).total for since_ms, until_ms in ranges]
            assert figures(SpendingRow.total(parts)) == whole, word
        found = [reports.unsettled(since_ms=since_ms, until_ms=until_ms).flagged for since_ms, until_ms in ranges]
        assert sum(found) == flagged > 0


async def test_each_key_has_what_its_attempts_cost(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    chance = random.Random(7)
    async with booked(path) as ledger:
        for way in ("billed_before", "charged_before", "second", "provider", "reservation", "released", "unknown"):
            for n in range(4):
                await book(ledger, START_MS + n * HOUR_MS // 3, chance, way=way, user=USERS[n % 3])
    with closing(sqlite3.connect(path)) as db:  # the first attempt went with another key
        db.execute("UPDATE attempt_rows SET key = 'spare' WHERE n = 1")
        [late] = db.execute("SELECT request_id FROM attempt_rows WHERE n = 2 LIMIT 1").fetchone()
        [cost_pusd] = db.execute("SELECT cost_pusd FROM requests WHERE id = ?", (late,)).fetchone()
        correct(db, [Correction(late, cost_pusd + 17, "late", "generation", attempt=1)], START_MS)
        db.commit()
        wanted = dict(
            db.execute("SELECT provider || '/' || key, sum(ifnull(cost_pusd, 0)) FROM attempts GROUP BY 1").fetchall()
        )
        requests = db.execute("SELECT count(*) FROM requests").fetchone()[0]
    wanted["openrouter/spare"] += 17  # an adjustment goes to the key that it says was charged
    for since_ms in (None, START_MS - 1, START_MS):
        sums = usage(path, "key", since_ms=since_ms)
        assert {row.key[0]: row.cost_pusd for row in sums.rows} == wanted
        assert {row.key[0]: row.requests for row in sums.rows} == {"openrouter/main": requests, "openrouter/spare": 0}
        assert sums.total.cost_pusd == usage(path).total.cost_pusd


async def test_a_request_counts_under_each_of_its_tags_and_once_in_all(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with ledger(path) as db:
        fill(db, 40, step_ms=HOUR_MS)
        db.execute("""UPDATE requests SET tags = '{"job": 7, "customer": "acme, \\"x\\""}' WHERE id % 2""")
    for since_ms in (None, START_MS - 5):  # the edges row by row, too
        sums = usage(path, "tag", since_ms=since_ms)
        by_tag = {row.key[0]: figures(row) for row in sums.rows}
        assert by_tag["job=7"] == by_tag['customer=acme, "x"'] > (0,)
        assert figures(sums.total) == figures(usage(path).total)
        assert SpendingRow.total(sums.rows).cost_pusd > sums.total.cost_pusd
        by_value = usage(path, "tag:job", "tag:customer", since_ms=since_ms)
        assert {row.key for row in by_value.rows} == {("7", 'acme, "x"'), ("", "")}
        assert figures(SpendingRow.total(by_value.rows)) == figures(sums.total)


def test_an_end_user_is_one_whom_a_service_named_first(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with ledger(path) as db:
        fill(db, 60, step_ms=HOUR_MS)
        db.execute("INSERT INTO users (name, created_ms, made_by) VALUES ('anna', 1, 'tok_1'), ('bob', 1, NULL)")
    by_user = {row.key[0]: figures(row) for row in usage(path, "user").rows}
    for since_ms in (None, START_MS - 5):
        by_end_user = {row.key[0]: figures(row) for row in usage(path, "end_user", since_ms=since_ms).rows}
        assert by_end_user.keys() == {"anna", ""}
        assert by_end_user["anna"] == by_user["anna"] > (0,)
    with_token = usage(path, "end_user", "token")
    assert {row.key for row in with_token.rows} == {("anna", "tok_1"), ("", "tok_1")}


def test_each_day_has_the_rate_that_it_had(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with ledger(path) as db:
        rows = fill(db, 300, step_ms=HOUR_MS // 2)
    first = START_MS // HOUR_MS * HOUR_MS
    rates = (RateStep(0, "9.1"), *(RateStep(first + n * DAY_MS, str(n + 2)) for n in range(1, 5)))

    def rate(at_ms: int) -> Decimal:
        return [Decimal(one.usd_rate) for one in rates if one.from_ms <= at_ms][-1]

    wanted = sum(
        Decimal(row["cost_pusd"]).scaleb(-12) * rate(row["started_ms"])
        for row in rows
        if row["state"] in ("settled", "released")
    )
    for by in ((), ("user",), ("token",), ("week", "tag")):
        sums = usage(path, *by, rates=rates)
        assert sums.total.cost_local == wanted
        assert sum_local(row.cost_local for row in sums.rows) == wanted
    assert usage(path, "user").total.cost_local is None


async def test_what_is_in_doubt_is_counted_where_it_is_booked(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    async with booked(path) as ledger:
        await book_many(ledger, 60)
    doubtful = "state IN ('settled', 'released') AND flags IS NOT NULL"
    with closing(sqlite3.connect(path)) as db:
        flagged = db.execute(f"SELECT count(*) FROM requests WHERE {doubtful}").fetchone()[0]  # noqa: S608 - a constant
        within = db.execute(
            f"SELECT count(*) FROM requests WHERE {doubtful} AND started_ms >= ? AND started_ms < ?",  # noqa: S608
            (START_MS + HOUR_MS + 1, START_MS + 5 * HOUR_MS),
        ).fetchone()[0]
        assert db.execute("SELECT sum(flagged) FROM usage_hourly").fetchone()[0] == flagged
    reports = SqliteReports(path)
    assert reports.unsettled().flagged == flagged > within > 0
    cut = reports.unsettled(since_ms=START_MS + HOUR_MS + 1, until_ms=START_MS + 5 * HOUR_MS)
    assert cut.flagged == within


def test_an_older_ledger_gets_its_counts(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    steps = [resources.files(migrate.__package__).joinpath(name).read_text() for name in migrate.STEPS]
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        migrate.migrate(db, path, steps[:8])
        db.execute(
            "INSERT INTO requests (id, started_ms, day, user, token_id, endpoint, requested_model, state, streamed,"
            " flags) VALUES (?, ?, '2026-09-21', 'anna', 't', 'e', 'm', 'settled', 0, 'usage_missing')",
            (START_MS << 21, START_MS),
        )
        db.execute(
            "INSERT INTO usage_hourly (hour_ms, user, group_name, model, provider, use_case, requests, errors,"
            " input_tokens, output_tokens, cached_tokens, reasoning_tokens, uncounted_tokens, cost_pusd)"
            " VALUES (?, 'anna', '', '', '', '', 1, 0, 0, 0, 0, 0, 0, 5),"
            " (0, 'bob', '', '', '', '', 1, 0, 0, 0, 0, 0, 0, 5)",
            (START_MS // HOUR_MS * HOUR_MS,),
        )
        migrate.migrate(db, path)
        assert db.execute("SELECT user, flagged FROM usage_hourly ORDER BY user").fetchall() == [
            ("anna", 1),
            ("bob", 0),
        ]


def test_the_dearest_and_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with ledger(path) as db:
        fill(db, 200, step_ms=HOUR_MS)
    sums = usage(path, "user", "day")
    rows, other = sums.top(3)
    assert other is not None
    assert [row.key[1] for row in rows] == sorted(row.key[1] for row in rows)  # in the order of the days
    assert min(row.cost_pusd for row in rows) >= max(row.cost_pusd for row in sums.rows if row not in rows)
    assert figures(SpendingRow.total([*rows, other])) == figures(sums.total)
    assert sums.top(None) == sums.top(len(sums.rows)) == (sums.rows, None)
    shares = sum_local(row.share_of(sums.total) for row in sums.rows)
    assert shares is not None
    assert abs(shares - 1) < Decimal("0.001")


@pytest.mark.parametrize("text", ["", "user,user", "colour", "tag:", f"tag:{'x' * 100}", "user,,day,colour"])
def test_what_is_no_list_of_words(text: str) -> None:
    with pytest.raises(ValueError, match=r"write some of user, .* tag:NAME"):
        read_usage_words(text)


@pytest.mark.parametrize("by", [(word,) for word in (*ROLLED_WORDS, *ROW_WORDS, "tag:job")] + [("tag:job", "day")])
@pytest.mark.parametrize("count", [1, 2])
async def test_a_chart_of_any_word_adds_up(tmp_path: Path, by: tuple[str, ...], count: int) -> None:
    path = tmp_path / "ledger.db"
    with ledger(path) as db:
        fill(db, 60, step_ms=HOUR_MS)
        db.execute("""UPDATE requests SET tags = '{"job": ' || (id / 4096 % 5) || '}' WHERE id / 4096 % 7""")
        db.execute("DELETE FROM requests WHERE id IN (SELECT id FROM requests ORDER BY id LIMIT 9)")
    if series_word(by) is None:
        assert by == ("tag",)  # a request counts under each of them
        return
    found = read_usage_series(SqliteReports(path), UsageSelection(by), count, UTC)
    assert figures(SpendingRow.total([*found.rows, *found.others])) == figures(usage(path).total)
    assert len({row.key[0] for row in found.rows}) <= count
    if "tag:job" in by:
        assert {row.key[0] for row in found.others} == {OTHERS}


async def test_what_was_removed_is_among_the_others_of_a_chart(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    chance = random.Random(5)
    async with booked(path) as ledger:
        ids = [await book(ledger, START_MS + n * HOUR_MS, chance, cost_pusd=100 + n) for n in range(30)]
        await ledger.change(lambda db: remove_rows(db, ids[:4]))
    with closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE requests SET token_id = 'tok' || (id IN (SELECT id FROM requests ORDER BY id LIMIT 16))")
        db.commit()
    found = read_usage_series(SqliteReports(path), UsageSelection(("day", "token")), 1, UTC)
    (name,) = {row.key[1] for row in found.rows}
    assert name.startswith("tok")
    days = [row.key[0] for row in found.others]
    assert len(days) == len(set(days)) > 1
    assert {row.key[1] for row in found.others} == {OTHERS}
    assert figures(SpendingRow.total([*found.rows, *found.others])) == figures(usage(path).total)


def test_the_hour_that_comes_twice_comes_in_order(tmp_path: Path) -> None:
    """In Berlin 02:00 of summer time is before 02:00 of winter time, in every list by the hour."""
    path, zone = tmp_path / "ledger.db", ZoneInfo("Europe/Berlin")
    first_ms = int(datetime(2026, 10, 24, 23, tzinfo=UTC).timestamp() * 1000)
    with ledger(path, zone=zone.key) as db:
        rows = [made(n, first_ms + n * HOUR_MS, random.Random(n)) for n in range(4)]
        insert(db, [{**row, "state": "settled", "cost_pusd": 1, "user": "anna", "model": "m"} for row in rows])
    hours = [f"2026-10-25T{text}" for text in ("01:00+02:00", "02:00+02:00", "02:00+01:00", "03:00+01:00")]
    for by in (("hour",), ("hour", "user"), ("user", "hour"), ("hour", "token")):
        sums = usage(path, *by, zone=zone)
        for found in (sums, sums.sorted_by("name")):
            assert [row.key[by.index("hour")] for row in found.rows] == hours
    reports = SqliteReports(path)
    part = read_matching_usage(reports, UsageSelection(("hour",)), ("model",), lambda _: True, zone)
    assert [row.key[0] for row in part.rows] == hours
    with ledger(path, zone=zone.key) as db:
        for row in rows:
            db.execute(
                "INSERT INTO refusals (id, started_ms, address, endpoint, status, error, fault, duration_ms)"
                " VALUES (?, ?, '', 'chat/completions', 429, 'quota_exceeded', 'caller', 1)",
                (row["id"] + 9, row["started_ms"]),
            )
    assert [one.key[0] for one in reports.refusal_sums(RefusalSelection(("hour",)), zone)] == hours
