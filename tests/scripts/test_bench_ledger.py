"""The bench's load on the ledger alone and its made ledger: both must be what the proxy would have left."""

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from importlib import import_module
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from proxy.app.rebuild import rebuilt_book
from proxy.core.clock import SystemClock
from proxy.core.user_token import new_token, token_hash
from proxy.policy.quota import Quota
from proxy.storage.sqlite.connect import connect_owner
from proxy.storage.sqlite.reports import SqliteReports
from tests.storage.made_requests import ROLLUP, ROLLUP_OF_ROWS

ROOT = Path(__file__).resolve().parents[2]
BENCHMARK = ROOT / "scripts" / "benchmark"
ROWS = 3000

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="uvloop does not run there")


def load(folder: Path, cost_limit: str) -> subprocess.CompletedProcess[str]:
    """Run a second of the load as a user with limits."""
    token = new_token()
    config = folder / "config.yaml"
    config.write_text(
        "providers: {openrouter: {api_key: sk-or-v1-x}}\n"
        f'users: {{limited: {{token_hash: "sha256:{token_hash(token)}",'
        f" limits: {{cost: [{cost_limit}/day, $1000/month], requests: 1000000/minute}}}}}}\n"
    )
    return subprocess.run(
        [sys.executable, str(BENCHMARK / "ledger_load.py"), str(config), token, str(folder), "200", "0.5", "0.3"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def test_all_that_was_reserved_is_in_the_ledger_and_in_the_totals(tmp_path: Path) -> None:
    ran = load(tmp_path, "$1000")
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    timed = len(found["reserve_us"])
    assert 50 < timed < 150  # moments of a seeded Poisson stream: about 100 in half a second
    assert len(found["settle_us"]) == timed
    assert found["reserve_us"] == sorted(found["reserve_us"])
    assert min(found["reserve_us"]) > 0
    assert (found["unsettled"], found["faults"]) == (0, [])
    assert found["reserved"] == found["rows"] > timed  # those of flat_out too
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as ledger:
        assert ledger.execute("SELECT count(*) FROM requests").fetchone() == (found["rows"],)
        assert ledger.execute("SELECT count(*) FROM attempts WHERE outcome = 'ok'").fetchone() == (found["rows"],)
        assert ledger.execute(ROLLUP).fetchall() == ledger.execute(ROLLUP_OF_ROWS).fetchall()


def test_limits_that_refuse_end_the_load_with_their_name(tmp_path: Path) -> None:
    ran = load(tmp_path, "$0.001")  # three requests
    assert ran.returncode != 0
    assert "was refused" in ran.stderr
    assert "user:limited" in ran.stderr


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(BENCHMARK))
    path = tmp_path / "made.db"
    import_module("made_ledger").make_ledger(path, ROWS)
    return path


def test_a_made_ledger_adds_up_and_is_what_a_start_reads(made: Path) -> None:
    with closing(connect_owner(made, 1.0)) as ledger:
        assert ledger.execute(ROLLUP).fetchall() == ledger.execute(ROLLUP_OF_ROWS).fetchall()
        cost_pusd, attempts_pusd, newest_ms = ledger.execute(
            "SELECT sum(cost_pusd), (SELECT sum(cost_pusd) FROM attempts), max(started_ms) FROM requests"
        ).fetchone()
        assert cost_pusd == attempts_pusd
        now_ms = SystemClock().now_ms()
        assert 0 <= now_ms - newest_ms < 3_600_000  # its last rows lie in the windows that are open now
    book = rebuilt_book(SqliteReports(made), ZoneInfo("Asia/Kolkata"), now_ms)
    total = book.limits_view([Quota("all", "cost", 1, "total"), Quota("all", "requests", 1, "total")], now_ms)
    assert {row.kind: row.used for row in total} == {"cost": cost_pusd, "requests": ROWS}


def test_each_user_of_a_made_ledger_has_one_group(made: Path) -> None:
    with closing(sqlite3.connect(made)) as ledger:
        pairs = ledger.execute("SELECT DISTINCT user, ifnull(group_name, '') FROM requests").fetchall()
    assert len(pairs) == len(dict(pairs)) == 50
