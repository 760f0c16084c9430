"""A ledger's file reaches the newest shape step by step, or stays as it was."""

import asyncio
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from random import Random
from zoneinfo import ZoneInfo

import pytest

from proxy.core.errors import LedgerError
from proxy.storage.labels import Labels
from proxy.storage.performance import PerformanceFilter
from proxy.storage.rows import HOUR_MS
from proxy.storage.sqlite.connect import connect_owner, open_reader
from proxy.storage.sqlite.ledger import open_ledger
from proxy.storage.sqlite.migrations.migrate import SCHEMA_VERSION, STEPS, _script, make_views, migrate
from proxy.storage.sqlite.reports import SqliteReports
from proxy.storage.sqlite.verify import ExpectedTotals, verify
from tests.storage.made_requests import START_MS, open_row, read, request_end, running

SHIPPED = [_script(name) for name in STEPS]
NEXT = (
    "ALTER TABLE requests ADD COLUMN colour TEXT;\n"
    "UPDATE requests SET colour = 'red';\n"
    "CREATE TABLE colours (name TEXT PRIMARY KEY) STRICT;\n"
    f"PRAGMA user_version = {SCHEMA_VERSION + 1};\n"
)
ROOT = Path(__file__).parents[2]


def _made(path: Path, rows: int = 3) -> None:
    with closing(connect_owner(path, 1.0)) as connection:
        connection.execute("BEGIN")
        for n in range(rows):
            row = open_row(n + 1)
            connection.execute(
                "INSERT INTO requests (id, started_ms, day, user, token_id, endpoint, requested_model, streamed)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (row.id, START_MS, row.day, row.user, row.token_id, row.endpoint, row.requested_model, row.streamed),
            )
        connection.execute("COMMIT")


def _version(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _upgrade(path: Path, script: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        migrate(connection, path, [*SHIPPED, script])


def test_an_empty_file_gets_every_step(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with closing(connect_owner(path, 1.0)) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
        strict = dict(connection.execute("SELECT name, strict FROM pragma_table_list WHERE schema = 'main'"))
        assert connection.execute("PRAGMA application_id").fetchone() == (0x746F6C6C,)
    assert {"requests", "attempt_rows", "adjustments", "usage_hourly", "users", "tokens", "audit", "meta"} <= tables
    assert all(strict[name] for name in tables if not name.startswith("sqlite_"))
    assert _version(path) == SCHEMA_VERSION
    assert list(tmp_path.glob("*.backup")) == []


def test_each_step_says_which_it_is() -> None:
    numbers = [re.findall(r"PRAGMA user_version = (\d+);", script) for script in SHIPPED]
    assert numbers == [[str(n)] for n in range(1, len(SHIPPED) + 1)]


def test_a_file_that_is_up_to_date_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    _made(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        before = connection.execute("PRAGMA schema_version").fetchone()
        migrate(connection, path)
        assert connection.execute("PRAGMA schema_version").fetchone() == before
    assert list(tmp_path.glob("*.backup")) == []


def test_an_upgrade_copies_the_file_first(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    _made(path)
    stale = tmp_path / f"ledger.db.v{SCHEMA_VERSION}.backup"
    stale.write_text("of an upgrade that broke off")
    _upgrade(path, NEXT)
    assert _version(path) == SCHEMA_VERSION + 1
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM requests WHERE colour = 'red'").fetchone() == (3,)
    assert stale.stat().st_mode & 0o777 == 0o600
    assert _version(stale) == SCHEMA_VERSION
    with closing(connect_owner(stale, 1.0)) as connection:  # the copy is a ledger that this program can go on with
        assert connection.execute("SELECT count(*) FROM requests").fetchone() == (3,)


@pytest.mark.parametrize(
    "broken",
    [
        NEXT.replace("CREATE TABLE colours", "CREATE TABLE requests"),
        NEXT.replace("'red'", "no_such_column"),
        NEXT.replace("PRAGMA", "INSERT INTO colours VALUES ('a'), ('a');\nPRAGMA"),
    ],
)
def test_a_step_that_fails_leaves_the_file_as_it_was(tmp_path: Path, broken: str) -> None:
    path = tmp_path / "ledger.db"
    _made(path)
    with pytest.raises(sqlite3.DatabaseError):
        _upgrade(path, broken)
    assert _version(path) == SCHEMA_VERSION
    with closing(connect_owner(path, 1.0)) as connection:
        assert "colour" not in [row[1] for row in connection.execute("PRAGMA table_info(requests)")]
        assert connection.execute("SELECT count(*) FROM requests").fetchone() == (3,)
    _upgrade(path, NEXT)
    assert _version(path) == SCHEMA_VERSION + 1


def test_a_newer_file_is_refused_and_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    _made(path)
    _upgrade(path, NEXT)
    before = path.read_bytes()
    with pytest.raises(LedgerError, match=rf"newer tollkeeper \(schema {SCHEMA_VERSION + 1}; this one knows"):
        connect_owner(path, 1.0)
    assert path.read_bytes() == before


async def test_a_file_of_another_program_is_refused_and_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    before = path.read_bytes()
    with pytest.raises(LedgerError, match="of another program"):
        open_ledger(path, asyncio.get_running_loop(), purpose="a test", busy_timeout_s=1.0, queue_max=9)
    assert path.read_bytes() == before


@pytest.mark.parametrize("code", ["", "S", "SEKK", "S'K", "12A", 'a"b'])
def test_a_currency_code_that_would_be_sql_is_refused(tmp_path: Path, code: str) -> None:
    with (
        closing(connect_owner(tmp_path / "ledger.db", 1.0)) as connection,
        pytest.raises(LedgerError, match="three letters"),
    ):
        make_views(connection, code)


KILLED = """
import sqlite3, sys
from pathlib import Path
from tests.storage.test_migrate import _upgrade, NEXT
print("ready", flush=True)
_upgrade(Path(sys.argv[1]), NEXT)
"""


def test_a_migration_that_is_killed_is_whole_or_not_begun(tmp_path: Path) -> None:
    """SIGKILL at a random moment, again and again on the same file, until one gets through."""
    path = tmp_path / "ledger.db"
    _made(path, 20_000)
    rng = Random(7)
    kills = 0
    while _version(path) == SCHEMA_VERSION:
        with subprocess.Popen(
            [sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE, cwd=ROOT, stderr=subprocess.PIPE
        ) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == b"ready\n"
            if kills < 12:
                time.sleep(rng.uniform(0, 0.02))
                os.kill(child.pid, signal.SIGKILL)
                kills += 1
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            columns = [row[1] for row in connection.execute("PRAGMA table_info(requests)")]
            whole = connection.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION + 1,)
            assert ("colour" in columns) == whole
            assert connection.execute("SELECT count(*) FROM requests").fetchone() == (20_000,)
    assert kills > 0


_REQUEST_OF_8 = (
    "INSERT INTO requests (id, started_ms, finished_ms, day, user, token_id, endpoint, requested_model, model,"
    " provider, status, input_tokens, output_tokens, cached_tokens, reasoning_tokens, reserved_pusd, cost_pusd,"
    " cost_source, state, duration_ms, streamed, attempts, target_provider, key, target_model, outcome,"
    " upstream_status)"
    " VALUES (?, ?, ?, '2026-09-21', 'anna', 't', 'chat/completions', 'm', 'm', 'p', 200, 3, 5, 0, 0, 900, ?, ?, ?, 9,"
    " 0, 1, 'p', 'main', 'm', 'ok', 200)"
)


async def test_rows_of_version_8_are_kept_and_told_apart(tmp_path: Path) -> None:
    """What nobody remembered is NULL; how they were answered is not counted, and one that ends later is sound."""
    path = tmp_path / "ledger.db"
    settled, pending, late = (START_MS + after_ms << 21 for after_ms in (0, 1, HOUR_MS))
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        migrate(connection, path, SHIPPED[:8])
        connection.execute(_REQUEST_OF_8, (settled, START_MS, START_MS + 9, 700, "provider", "settled"))
        connection.execute(_REQUEST_OF_8, (pending, START_MS + 1, START_MS + 9, None, "none", "pending"))
        connection.execute(
            "INSERT INTO usage_hourly (hour_ms, user, group_name, model, provider, use_case, requests, errors,"
            " input_tokens, output_tokens, cached_tokens, reasoning_tokens, uncounted_tokens, cost_pusd)"
            " VALUES (?, 'anna', '', 'm', 'p', '', 1, 0, 3, 5, 0, 0, 0, 700)",
            (START_MS - START_MS % HOUR_MS,),
        )
    async with running(path) as ledger:
        [row] = await ledger.unfinished()
        assert (row.id, row.streamed, row.attempts[0].is_byok, row.attempts[0].billed) == (pending, 0, None, None)
        now = open_row(pending)._replace(started_ms=START_MS + 1)
        await ledger.end(request_end(now, cached_tokens=0, reasoning_tokens=0))
        new = open_row(late)._replace(started_ms=START_MS + HOUR_MS)
        await ledger.open(new)
        await ledger.end(request_end(new, is_byok=1, upstream_cost_pusd=500))
        await ledger.set_labels(Labels("UTC", "USD", "1"), START_MS)
    names = "is_byok, upstream_cost_pusd, key_hash, endpoint_id, permaslug"
    unknown = (None,) * 5
    assert read(path, f"SELECT {names} FROM usage ORDER BY request_id") == [  # noqa: S608 - names of columns
        unknown,
        unknown,
        (1, 500, None, None, None),
    ]
    assert read(path, "SELECT requests, answered FROM model_performance_summary") == [(1, 1)]
    [found] = SqliteReports(path).model_performance(PerformanceFilter())
    assert (found.requests, found.errors, sum(found.histograms.latency)) == (1, 0, 1)
    with closing(open_reader(path)) as connection:
        totals = ExpectedTotals((), ZoneInfo("UTC"), None, 600, 600)
        assert verify(connection, totals, START_MS).differences == []
