"""tollkeeper dashboard, where no proxy runs."""

from pathlib import Path

from click.testing import CliRunner, Result

from proxy.cli import tollkeeper
from tests.support.installation import settings, write_config


def test_without_a_proxy_there_is_no_dashboard_and_nobody_in_it(tmp_path: Path) -> None:
    path = str(write_config(tmp_path, settings("http://127.0.0.1:9")))

    def run(*arguments: str, code: int = 0) -> Result:
        ran = CliRunner().invoke(tollkeeper, ["dashboard", *arguments])
        assert ran.exit_code == code, ran.output
        return ran

    assert "tollkeeper serve" in run("--print", "-c", path, code=1).stderr
    assert "Nobody is logged in" in run("sessions", "-c", path).stderr
    assert run("sessions", "--json", "-c", path).stdout == "[]\n"
    assert "no session 'ses_none'" in run("end", "ses_none", "-c", path, code=1).stderr
