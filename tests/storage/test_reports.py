"""Sums of what was spent: equal to the rows, for any range and zone."""

import json
import random
import sqlite3
from collections import defaultdict
from datetime import datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.core.errors import LedgerError
from proxy.policy.exchange_rates import RateStep
from proxy.storage.adjustment import Correction
from proxy.storage.spending import SpendingRow, SpendingSums, UnsettledSum, UsageSelection
from proxy.storage.sqlite.adjustments import correct
from proxy.storage.sqlite.connect import open_reader
from proxy.storage.sqlite.labels import read_labels
from proxy.storage.sqlite.usage import sum_usage, unsettled
from tests.storage.made_rows import START_MS, fill, insert, ledger, made

BY = (
    *("user", "group", "model", "provider", "use_case", "day", "hour", "week", "month", "token", "endpoint", "status"),
    *("requested_model", "session", "tag:k", "tag"),
)
HOUR_MS = 3_600_000
ZONES = ("UTC", "Europe/Stockholm", "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Apia", "America/Santiago")
ROWS = 1500
STEP_MS = 1_700_000  # 29 days, over the changes of the clock in the southern zones and some way to the northern


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    path = tmp_path_factory.mktemp("ledger") / "tollkeeper.db"
    with ledger(path) as connection:
        return path, fill(connection, ROWS, step_ms=STEP_MS)


def summed(
    rows: list[dict[str, Any]], by: tuple[str, ...], zone: ZoneInfo, since_ms: int, until_ms: int, user: str | None
) -> dict[tuple[str, ...], tuple[int, ...]]:
    """Sum the rows one by one, in Python."""
    sums: dict[tuple[str, ...], list[int]] = defaultdict(lambda: [0] * 5)
    for row in rows:
        if row["state"] not in ("settled", "released") or not since_ms <= row["started_ms"] < until_ms:
            continue
        if user is not None and row["user"] != user:
            continue
        texts = {**row, **words_of(row["tags"]), **times_of(row["started_ms"], zone)}
        texts |= {"group": row["group_name"], "token": row["token_id"], "session": None}
        found = sums[tuple(str(texts[word] or "") for word in by)]
        found[0] += 1
        found[1] += row["error"] is not None
        for n, name in enumerate(("input_tokens", "output_tokens", "cost_pusd"), 2):
            found[n] += row[name] or 0
    return {key: tuple(figures) for key, figures in sums.items()}


def words_of(tags: str | None) -> dict[str, str]:
    """Return what tags give; no made row has several."""
    if tags is None:
        return {"tag": "", "tag:k": ""}
    [(name, value)] = json.loads(tags).items()
    return {"tag": f"{name}={value}", "tag:k": value}


@cache
def times_of(started_ms: int, zone: ZoneInfo) -> dict[str, str]:
    at = datetime.fromtimestamp(started_ms / 1000, zone)
    year, week, _ = at.isocalendar()
    day = at.date().isoformat()
    return {"hour": _hour(started_ms, zone), "day": day, "week": f"{year}-W{week:02}", "month": day[:7]}


def _hour(at_ms: int, zone: ZoneInfo) -> str:
    """Walk back by the minute for as long as the clock shows the same hour and the same offset."""
    at = began = datetime.fromtimestamp(at_ms // 60_000 * 60, zone)
    while (at.date(), at.hour, at.utcoffset()) == (began.date(), began.hour, began.utcoffset()):
        began, at = at, datetime.fromtimestamp(at.timestamp() - 60, zone)
    return began.isoformat(timespec="minutes")


def as_dict(rows: list[SpendingRow]) -> dict[tuple[str, ...], tuple[int, ...]]:
    found: dict[tuple[str, ...], tuple[int, ...]] = {
        row.key: (row.requests, row.errors, row.input_tokens, row.output_tokens, row.cost_pusd) for row in rows
    }
    assert len(found) == len(rows)
    return found


def usage(connection: sqlite3.Connection, *by: str) -> SpendingSums:
    return sum_usage(connection, UsageSelection(by), ZoneInfo("UTC"))


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    by=st.lists(st.sampled_from(BY), min_size=1, max_size=3, unique=True).map(tuple),
    zone=st.sampled_from(ZONES).map(ZoneInfo),
    since=st.one_of(st.none(), st.integers(-5 * HOUR_MS, ROWS * STEP_MS)),
    length=st.one_of(st.none(), st.integers(1, 3 * HOUR_MS), st.integers(1, ROWS * STEP_MS)),
    user=st.sampled_from((None, "anna", "nobody")),
)
def test_sums_are_those_of_the_rows(
    filled: tuple[Path, list[dict[str, Any]]],
    by: tuple[str, ...],
    zone: ZoneInfo,
    since: int | None,
    length: int | None,
    user: str | None,
) -> None:
    path, rows = filled
    since_ms = None if since is None else START_MS + since
    until_ms = None if length is None else (since_ms or START_MS) + length
    connection = open_reader(path)
    try:
        found = sum_usage(connection, UsageSelection(by, since_ms, until_ms, user, (RateStep(0, "1"),)), zone)
    finally:
        connection.close()
    assert as_dict(found.rows) == summed(rows, by, zone, since_ms or 0, until_ms or 1 << 62, user)
    assert found.total.cost_pusd == sum(row.cost_pusd for row in found.rows)
    assert found.total.cost_local == Decimal(found.total.cost_pusd).scaleb(-12)


def test_order(filled: tuple[Path, list[dict[str, Any]]]) -> None:
    connection = open_reader(filled[0])
    costs = [row.cost_pusd for row in usage(connection, "user", "model").rows]
    days = [row.key[1] for row in usage(connection, "user", "day").rows]
    connection.close()
    assert costs == sorted(costs, reverse=True)
    assert days == sorted(days)


def test_unsettled(filled: tuple[Path, list[dict[str, Any]]]) -> None:
    path, rows = filled
    connection = open_reader(path)
    for since_ms, until_ms, user in ((None, None, None), (START_MS + 10**8, START_MS + 10**9, "anna")):
        wanted = [
            row
            for row in rows
            if (since_ms or 0) <= row["started_ms"] < (until_ms or 1 << 62) and user in (None, row["user"])
        ]
        states = [row["state"] for row in wanted]
        flagged = sum(row["flags"] is not None and row["state"] in ("settled", "released") for row in wanted)
        found = unsettled(connection, since_ms=since_ms, until_ms=until_ms, user=user)
        assert found == UnsettledSum(states.count("open"), states.count("pending"), flagged)
        assert flagged > 0
    connection.close()


def test_an_empty_ledger(tmp_path: Path) -> None:
    with ledger(tmp_path / "x.db"):
        pass
    connection = open_reader(tmp_path / "x.db")
    assert usage(connection, "user").rows == usage(connection, "day", "token").rows == []
    assert usage(connection, "tag").total.requests == 0
    assert unsettled(connection) == UnsettledSum(0, 0, 0)
    connection.close()


def test_an_hour_that_is_cut_counts_its_adjustments(tmp_path: Path) -> None:
    with ledger(tmp_path / "x.db") as connection:
        row = {**made(1, START_MS + 5, random.Random(1)), "state": "settled", "cost_pusd": 100}
        insert(connection, [row])
        correct(connection, [Correction(row["id"], 111, "late", "generation")], START_MS)
    reader = open_reader(tmp_path / "x.db")
    for since_ms in (None, START_MS):
        for word in ("user", "token", "key", "tag"):
            (found,) = sum_usage(reader, UsageSelection((word,), since_ms), ZoneInfo("UTC")).rows
            assert found.cost_pusd == 111
    reader.close()


def test_readers_cannot_write(filled: tuple[Path, list[dict[str, Any]]]) -> None:
    connection = open_reader(filled[0])
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        connection.execute("DELETE FROM requests")
    connection.close()


def test_labels(tmp_path: Path) -> None:
    with ledger(tmp_path / "x.db", zone="Asia/Kolkata", currency="INR", rate="84.1"):
        pass
    connection = open_reader(tmp_path / "x.db")
    found = read_labels(connection)
    connection.close()
    assert (found.timezone, found.currency_code, found.usd_rate) == ("Asia/Kolkata", "INR", "84.1")


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, "there is no ledger yet"),
        (b"", "holds no ledger"),
        (b"not a database at all " * 50, "cannot be read: file is not a database"),
        (99, "newer tollkeeper"),
    ],
)
def test_what_is_no_ledger_of_ours(tmp_path: Path, content: object, text: str) -> None:
    path = tmp_path / "a file?#.db"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif isinstance(content, int):
        db = sqlite3.connect(path)
        db.execute(f"PRAGMA user_version = {content}")
        db.execute("CREATE TABLE x (y)")
        db.close()
    with pytest.raises(LedgerError, match=text):
        open_reader(path)
