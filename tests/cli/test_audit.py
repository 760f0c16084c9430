"""tollkeeper audit as a process: beside a running proxy and without one, exit codes, output."""

import asyncio
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.cli.command_line import CommandLine
from tests.storage.booked_rows import book_many, booked

COUNT = 60


async def _fill(path: Path) -> None:
    async with booked(path) as ledger:
        await book_many(ledger, COUNT)
        await ledger.change(_forget_what_is_open)


def _forget_what_is_open(db: sqlite3.Connection) -> None:
    """The rows are of September: what is open since then would be a difference."""
    db.execute("DELETE FROM attempt_rows WHERE request_id IN (SELECT id FROM requests WHERE state = 'open')")
    db.execute("DELETE FROM requests WHERE state = 'open'")


@pytest.fixture
def filled(configured: CommandLine) -> CommandLine:
    """Give a command line whose ledger holds rows of the writer, none of them left open."""
    asyncio.run(_fill(configured.folder / "tollkeeper.db"))
    return configured


def change(cli: CommandLine, sql: str) -> None:
    with closing(sqlite3.connect(cli.folder / "tollkeeper.db", isolation_level=None)) as connection:
        assert connection.execute(sql).rowcount > 0


def found(cli: CommandLine, *arguments: str) -> tuple[int, dict[str, Any]]:
    ran = cli.run("audit", "--json", *arguments)
    assert ran.stderr == ""
    return ran.returncode, json.loads(ran.stdout)


@pytest.mark.parametrize("running", [False, True])
def test_a_sound_ledger(filled: CommandLine, running: bool) -> None:
    def look() -> None:
        code, document = found(filled)
        assert (code, document["ok"], document["count"], document["differences"]) == (0, True, 0, [])
        assert document["requests"] > 50
        ran = filled.ok("audit")
        assert "Everything adds up." in ran.stdout

    if running:
        with filled.serving():
            look()
    else:
        look()


def test_differences(filled: CommandLine) -> None:
    change(filled, "UPDATE usage_hourly SET cost_pusd = cost_pusd + 1")
    code, document = found(filled)
    assert (code, document["ok"]) == (1, False)
    assert set(document["counts"]) == {"rollup"}
    assert document["count"] == document["counts"]["rollup"] >= len(document["differences"])
    ran = filled.run("audit")
    assert ran.returncode == 1
    assert f"{document['count']} differences." in ran.stdout
    assert "cost_pusd is" in ran.stdout


def test_a_limit_of_the_configuration(filled: CommandLine) -> None:
    config = filled.folder / "config.yaml"
    config.write_text(config.read_text() + "limits: {cost: $0.000001}\n")
    code, document = found(filled)
    assert code == 0  # the file is younger than all rows: they were let in before there was a limit
    assert any("the limit was lowered" in note for note in document["notes"])


def test_a_copy_without_configuration(filled: CommandLine) -> None:
    filled.ok("backup", "copy.db")
    (filled.folder / "config.yaml").unlink()
    code, document = found(filled, "--database", "copy.db")
    assert (code, document["notes"]) == (0, [])


def test_a_ledger_that_cannot_be_read(filled: CommandLine) -> None:
    ran = filled.run("audit", "--database", "missing.db")
    assert (ran.returncode, "there is no ledger" in ran.stderr) == (4, True)
    (filled.folder / "tollkeeper.db").write_bytes(b"something else " * 500)
    ran = filled.run("audit")
    assert ran.returncode == 4
    assert "Traceback" not in ran.stderr


def test_texts_of_rows_cannot_move_the_cursor(filled: CommandLine) -> None:
    change(filled, "UPDATE usage_hourly SET model = char(27) || '[2J'")
    ran = filled.run("audit")
    assert ran.returncode == 1
    assert "\x1b" not in ran.stdout
