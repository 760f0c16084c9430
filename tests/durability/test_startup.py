"""Start-up on a ledger of a million requests: what is read grows with hours and users, not with requests."""

import asyncio
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from proxy.app.rebuild import rebuilt_book
from proxy.storage.sqlite import statements
from proxy.storage.sqlite.connect import connect_owner
from proxy.storage.sqlite.ledger import open_ledger
from proxy.storage.sqlite.reports import SqliteReports
from tests.storage.made_requests import ROLLUP, ROLLUP_OF_ROWS, START_MS

DAYS = 90
FILL = f"""
WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < :requests - 1)
INSERT INTO requests (id, started_ms, finished_ms, day, user, group_name, token_id, endpoint, requested_model, model,
    provider, use_case, session_id, status, finish_reason, input_tokens, output_tokens, cached_tokens,
    reasoning_tokens, reserved_pusd, cost_pusd, cost_source, state, ttft_ms, duration_ms, streamed, attempts,
    generation_id, target_provider, key, target_model, outcome)
SELECT ((at) << 21) + i % 2097152, at, at + 900, date(at / 1000, 'unixepoch'), 'user-' || (i % 50),
    CASE i % 3 WHEN 0 THEN 'family' END, 'tok_1', 'chat/completions', 'fast', 'model-' || (i % 5), 'openrouter',
    CASE i % 4 WHEN 0 THEN 'sms' END, 'session-' || (i / 20), 200, 'stop', 500 + i % 1000, 100, 0, 0, 900000000,
    300000000 + i, CASE WHEN i % 10000 = 7 THEN 'none' ELSE 'provider' END,
    CASE WHEN i % 10000 = 7 THEN 'open' ELSE 'settled' END, 300, 900, 1, 1, 'gen-' || i,
    'openrouter', 'main', 'model', 'ok'
FROM (SELECT i, {START_MS} + i * ({DAYS} * 86400000 / :requests) AS at FROM n)
"""  # noqa: S608 - numbers of this file
HOURLY = f"""
INSERT INTO usage_hourly (hour_ms, user, group_name, model, provider, use_case, requests, errors, input_tokens,
    output_tokens, cached_tokens, reasoning_tokens, cost_pusd, uncounted_tokens)
SELECT *, 0 FROM ({ROLLUP_OF_ROWS})
"""  # noqa: S608 - SQL of this project


def _fill(path: Path, requests: int) -> None:
    with closing(connect_owner(path, 1.0)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("BEGIN")
        connection.execute(FILL, {"requests": requests})
        connection.execute(HOURLY)
        connection.execute("COMMIT")


async def _start(path: Path, zone: str) -> tuple[float, float, int]:
    """Do what the proxy does before it listens; give seconds until open, until ready, and open rows."""
    begun_s = time.perf_counter()
    ledger = open_ledger(path, asyncio.get_running_loop(), purpose="a test", busy_timeout_s=1.0, queue_max=100)
    opened_s = time.perf_counter() - begun_s
    try:
        now_ms = START_MS + DAYS * 86_400_000
        await asyncio.to_thread(rebuilt_book, SqliteReports(path), ZoneInfo(zone), now_ms)
        ready_s = time.perf_counter() - begun_s
        return opened_s, ready_s, len(await ledger.unfinished())
    finally:
        await ledger.close()


def _report(requests: int, path: Path, zone: str, found: tuple[float, float, int]) -> None:
    opened_s, ready_s, left = found
    size_mb = path.stat().st_size / 1e6
    print(
        f"\n{requests:,} requests, {size_mb:.0f} MB, {zone}: checked and open after {opened_s:.2f} s, totals after"
        f" {ready_s:.2f} s ({left} open reservations)"
    )


async def test_all_that_was_left_open_is_found_among_many(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    _fill(path, 20_000)
    found = await _start(path, "Asia/Kolkata")  # a zone of half hours: its edge hours are read row by row
    assert found[2] == 2
    _report(20_000, path, "Asia/Kolkata", found)


def test_one_unfinished_request_is_found_without_reading_the_others(tmp_path: Path) -> None:
    with closing(connect_owner(tmp_path / "ledger.db", 1.0)) as connection:
        plan = connection.execute(f"EXPLAIN QUERY PLAN {statements.UNFINISHED}", (5,)).fetchall()
        assert "SEARCH r USING INTEGER PRIMARY KEY" in " ".join(row[3] for row in plan)
        assert connection.execute(statements.UNFINISHED, (None,)).fetchall() == []


@pytest.mark.sampled(0.3, "long")
@pytest.mark.slow
async def test_a_million_requests(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    _fill(path, 1_000_000)
    for zone in ("UTC", "Asia/Kolkata"):
        found = await _start(path, zone)
        assert found[2] == 100
        _report(1_000_000, path, zone, found)
    with closing(sqlite3.connect(path)) as connection:  # the figures are those of a ledger that adds up
        assert connection.execute(ROLLUP).fetchall() == connection.execute(ROLLUP_OF_ROWS).fetchall()
