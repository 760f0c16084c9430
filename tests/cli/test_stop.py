"""tollkeeper stop, resume, stops and audit log, where no proxy runs: a stop holds from the next start on."""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from proxy.cli import tollkeeper
from proxy.cli.audit_log import change_text
from tests.support.installation import settings, write_config


def test_stops_are_made_listed_and_ended(tmp_path: Path) -> None:
    path = str(write_config(tmp_path, settings("http://127.0.0.1:9")))

    def run(*arguments: str, code: int = 0) -> Result:
        ran = CliRunner().invoke(tollkeeper, [*arguments, "-c", path])
        assert ran.exit_code == code, ran.output
        return ran

    assert "Nothing is stopped" in run("stops").stderr
    made = run("stop", "--user", "anna", "--for", "2h", "--reason", "A leak", "--cut")
    id_ = made.stdout.strip()
    assert f"tollkeeper resume {id_}" in made.stderr
    everything = json.loads(run("stop", "--all", "--json").stdout)
    assert (everything["kind"], everything["subject"], everything["source"]) == ("all", "", "command line")
    first, second = json.loads(run("stop", "--list", "--json").stdout)
    assert (first["id"], first["reason"], first["cut"], second["id"]) == (id_, "A leak", True, everything["id"])
    listed = run("stops").stdout
    assert 'user "anna"' in listed
    assert max(map(len, listed.splitlines())) <= 110
    ended = run("resume", "--all")
    assert "Resumed: everything." in ended.stderr
    assert f'Still stopped: user "anna" ({id_}).' in ended.stderr
    assert "no stop of everything" in run("resume", "--all", code=1).stderr
    run("resume", id_)
    assert "no stop" in run("resume", id_, code=1).stderr
    assert 'Did you mean "anna"?' in run("stop", "--user", "ana", code=1).stderr
    for wrong in (["stop"], ["stop", "--all", "--user", "anna"], ["resume"], ["resume", id_, "--all"]):
        run(*wrong, code=2)
    assert "not a time I know" in run("stop", "--all", "--for", "soon", code=2).stderr
    assert run("stop", "--list", "--all", code=2)
    assert "64 hexadecimal digits" in run("audit", "log", "--verify", "--noted", "1:abc", code=2).stderr
    assert json.loads(run("stops", "--json").stdout) == []
    _is_on_record(tmp_path, run, id_, everything["id"])


def test_a_stop_may_slow_or_downgrade_instead(tmp_path: Path) -> None:
    path = str(write_config(tmp_path, settings("http://127.0.0.1:9")))

    def run(*arguments: str, code: int = 0) -> Result:
        ran = CliRunner().invoke(tollkeeper, [*arguments, "-c", path])
        assert ran.exit_code == code, ran.output
        return ran

    slowed = run("stop", "--user", "anna", "--slow", "12")
    assert 'Set to slow: 12/minute: user "anna".' in slowed.stderr
    assert "slow: 12/minute" in " ".join(run("stops").stdout.split())
    assert "Slowed" in run("status").stdout
    run("resume", "--user", "anna")
    for wrong in (["--slow", "fast"], ["--slow", "6", "--downgrade", "x"], ["--slow", "6", "--cut"]):
        run("stop", "--user", "anna", *wrong, code=2)
    assert 'no preset "nowhere"' in run("stop", "--user", "anna", "--downgrade", "nowhere", code=1).stderr


def _is_on_record(folder: Path, run: Callable[..., Result], id_: str, other_id: str) -> None:
    entries = json.loads(run("audit", "log", "--json", "--action", "stops.*").stdout)
    assert [(entry["action"], entry["subject"]) for entry in entries] == [
        ("stops.add", id_),
        ("stops.add", other_id),
        ("stops.end", other_id),
        ("stops.end", id_),
    ]
    shown = run("audit", "log", "-n", "1", "--subject", id_).stdout
    assert "stops.end" in shown
    assert "reason: A leak → -" in shown
    assert "no such entry" in run("audit", "log", "--since", "2999-01-01").stderr
    assert "4 entries: the chain is whole." in run("audit", "log", "--verify").stdout
    head = run("audit", "log", "--head").stdout.strip()
    run("audit", "log", "--verify", "--noted", head)
    assert json.loads(run("audit", "check", "--json").stdout)["ok"]
    run("audit", "--json", "log", code=2)
    run("audit", "log", "--noted", head, code=2)
    database = folder / "ledger.db"
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("UPDATE audit SET actor = 'eve' WHERE id = 2")
        connection.execute("DELETE FROM audit WHERE id = 4")

    def read(*arguments: str, code: int = 0) -> Result:
        ran = CliRunner().invoke(tollkeeper, ["audit", "log", "--database", str(database), *arguments])
        assert ran.exit_code == code, ran.output
        return ran

    found = read("--verify", "--noted", head, code=1).stdout
    assert "entry 2: it is not what was written" in found
    assert "entries 4 to 4" in found
    assert "noted elsewhere is not in this chain" in found
    assert json.loads(read("--verify", "--json", code=1).stdout)["fault_count"] == 2
    read("--verify", "--noted", "4:xyz", code=2)
    assert [entry["actor"] for entry in json.loads(read("--json").stdout)][1] == "eve"


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        ({"group": None}, {"group": "g"}, "group: - → g"),
        (None, {"name": "bo", "limits": {"cost": "$5/day"}, "models": []}, "limits.cost: $5/day; name: bo"),
        ({"disabled": False, "a": 1}, None, "a: 1 → -; disabled: false → -"),
        ({"x": "y" * 100}, {"x": ""}, f"x: {'y' * 60}… → -"),
        ({"same": 1}, {"same": 1}, ""),
        (None, None, ""),
    ],
)
def test_what_changed_as_a_text(before: dict[str, object] | None, after: dict[str, object] | None, text: str) -> None:
    assert change_text(before, after) == text
