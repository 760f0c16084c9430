"""SIGKILLs of the ledger's writer, in the short form; and proof that the check sees what it should."""

import json
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from proxy.storage.sqlite.connect import connect_owner
from proxy.storage.sqlite.migrations.migrate import make_views

from .ledger_kills import Acknowledged, disagreements, kill_ledger_writers
from .processes import ROOT
from .views import LedgerView

pytestmark = pytest.mark.slow

KILLS = 50
# A process of its own: the parent forks, and a test process has threads.
PROGRAM = f"""
import json, sys
from pathlib import Path
from tests.storm.ledger_kills import kill_ledger_writers
outcome = kill_ledger_writers(7, {KILLS}, Path(sys.argv[1]), lambda done, what: None)
print(json.dumps([outcome.kills, outcome.acknowledged, outcome.rows, outcome.taken_up, str(outcome.differences)]))
"""


def test_nothing_acknowledged_is_lost_or_doubled(tmp_path: Path) -> None:
    assert kill_ledger_writers.__module__ == "tests.storm.ledger_kills"
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr
    kills, acknowledged, rows, taken_up, differences = json.loads(done.stdout)
    assert differences == "[]"
    assert kills == KILLS
    assert acknowledged > rows > KILLS
    assert taken_up > 0


def _small_ledger(path: Path) -> None:
    with closing(connect_owner(path, 1.0)) as connection:
        make_views(connection, "usd")
        connection.execute(
            "INSERT INTO requests (id, started_ms, day, user, token_id, endpoint, requested_model, session_id,"
            " reserved_pusd, streamed, state, cost_pusd, cost_source)"
            " VALUES (1, 0, '1970-01-01', 'anna', 't', 'e', 'm', '1', 9, 0, 'settled', 5, 'provider')"
        )
        connection.execute(
            "INSERT INTO attempt_rows (request_id, n, started_ms, provider, key, model, cost_pusd)"
            " VALUES (1, 1, 0, 'p', 'k', 'm', 5)"
        )


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (b"o 2\n", "2: acknowledged as opened, not there"),
        (b"e 2 5\n", "2: acknowledged as settled, not there"),
        (b"e 1 6\n", "1: acknowledged at 6 from provider, is settled at 5 from provider"),
        (b"r 1 5\n", "1: acknowledged at 5 from reservation, is settled at 5 from provider"),
        (b"e 1 5\ne 1 5\n", "1: its end was acknowledged twice"),
        (b"x the disk\n", "refused: the disk"),
        (b"", "usage_hourly is not the sum of the rows"),
    ],
)
def test_the_check_sees(tmp_path: Path, lines: bytes, told: str) -> None:
    _small_ledger(tmp_path / "ledger.db")
    heard = Acknowledged()
    heard.hear(lines)
    with LedgerView(tmp_path / "ledger.db") as ledger:
        assert told in disagreements(heard, ledger)


def test_a_line_that_the_kill_cut_off_was_never_said() -> None:
    heard = Acknowledged()
    heard.hear(b"o 1\ne 1 12")
    assert (heard.opened, heard.ended) == ({1}, {})
