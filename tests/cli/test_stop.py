"""tollkeeper stop, resume and stops, where no proxy runs: it holds from the next start on."""

import json
from pathlib import Path

from click.testing import CliRunner, Result

from proxy.cli import tollkeeper
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
    assert json.loads(run("stops", "--json").stdout) == []
