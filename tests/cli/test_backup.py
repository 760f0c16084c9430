"""tollkeeper backup as a process: by the running proxy, and without one."""

import http.client
import json
import sqlite3
import stat
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest

from tests.cli.command_line import CommandLine
from tests.storage.made_rows import fill, ledger

COUNT = 500


@pytest.fixture
def filled(configured: CommandLine) -> CommandLine:
    path = configured.folder / "tollkeeper.db"
    path.touch(mode=0o600)
    with ledger(path) as connection:
        fill(connection, COUNT)
    return configured


def total(path: Path) -> tuple[int, int]:
    with closing(sqlite3.connect(path)) as connection:
        found: tuple[int, int] = connection.execute("SELECT count(*), sum(cost_pusd) FROM requests").fetchone()
        return found


def serving(cli: CommandLine, running: bool) -> Any:
    return cli.serving() if running else nullcontext()


@pytest.mark.parametrize("running", [False, True])
def test_a_copy(filled: CommandLine, running: bool) -> None:
    copy = filled.folder / "copy of it.db"
    with serving(filled, running):
        document = json.loads(filled.ok("backup", "copy of it.db", "--json").stdout)
        ran = filled.run("backup", "copy of it.db")
        assert ran.returncode == 1
        assert "exists already" in ran.stderr
        assert "500 requests" in filled.ok("backup", "copy of it.db", "--force").stdout
    assert document["path"] == str(copy)
    assert (document["requests"], document["cost_pusd"]) == (COUNT, total(copy)[1])
    assert total(copy)[0] == COUNT
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert not list(filled.folder.glob(".*half*"))


@pytest.mark.parametrize("running", [False, True])
def test_the_ledger_is_never_replaced(filled: CommandLine, running: bool) -> None:
    with serving(filled, running):
        ran = filled.run("backup", "tollkeeper.db", "--force")
        assert ran.returncode == 1
        assert "belongs to the ledger itself" in ran.stderr
        assert filled.run("backup", "missing/copy.db").returncode == 1
        assert filled.ok("backup", "copy.db").stdout


def test_without_a_ledger(configured: CommandLine) -> None:
    ran = configured.run("backup", "copy.db")
    assert ran.returncode == 4
    assert "there is no ledger" in ran.stderr
    assert {path.name for path in configured.folder.iterdir()} == {"config.yaml"}


def test_it_is_made_on_the_socket_only(filled: CommandLine) -> None:
    """The operator's token opens /admin over TCP, but writes no files."""
    config = filled.folder / "config.yaml"
    config.write_text(config.read_text() + "admin_token: operator-token-of-a-test\n")
    target = filled.folder / "stolen.db"
    with filled.serving():
        host, _, port = filled.base_url().removeprefix("http://").removesuffix("/v1").partition(":")
        with _connected(host, int(port)) as connection:
            headers = {"Content-Type": "application/json", "Authorization": "Bearer operator-token-of-a-test"}
            connection.request("POST", "/admin/v1/backup", json.dumps({"path": str(target)}), headers)
            answer = connection.getresponse()
            assert (answer.status, json.loads(answer.read())["error"]["code"]) == (403, "socket_only")
    assert not target.exists()


@contextmanager
def _connected(host: str, port: int) -> Any:
    connection = http.client.HTTPConnection(host, port, timeout=30)
    try:
        yield connection
    finally:
        connection.close()
