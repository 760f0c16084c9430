"""tollkeeper operators, where no proxy runs: the same API, answered in the command's own process."""

import json
from pathlib import Path

from click.testing import CliRunner, Result

from proxy.cli import tollkeeper
from proxy.core.user_token import OPERATOR_PREFIX, is_well_formed
from tests.support.installation import settings, write_config


def test_an_operator_is_added_listed_changed_and_removed(tmp_path: Path) -> None:
    path = str(write_config(tmp_path, settings("http://127.0.0.1:9")))

    def run(*arguments: str, code: int = 0) -> Result:
        ran = CliRunner().invoke(tollkeeper, ["operators", *arguments, "-c", path])
        assert ran.exit_code == code, ran.output
        return ran

    assert "no operator" in run("list").stderr
    token = run("add", "eve", "--expires", "30d").stdout.strip()
    assert is_well_formed(token, OPERATOR_PREFIX)
    assert "exists already" in run("add", "eve", code=1).stderr
    run("set", "eve", "--role", "admin", "--no-expiry", "--disable")
    (row,) = json.loads(run("list", "--json").stdout)
    assert (row["role"], row["expires_at"], row["disabled"], row["hint"]) == ("admin", None, True, token[-4:])
    assert max(map(len, run("list").stdout.splitlines())) <= 80
    assert json.loads(run("rotate", "eve", "--json").stdout)["token"] != token
    assert "has passed" in run("set", "eve", "--expires", "2020-01-01", code=1).stderr
    assert "Say what to change" in run("set", "eve", code=2).stderr
    run("remove", "eve")
    assert "no operator 'eve'" in run("remove", "eve", code=1).stderr
