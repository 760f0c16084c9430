"""A disk that is full or read-only, a pipe that nobody reads: a sentence and an exit code, from every command."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.command_line import CommandLine
from tests.support.sampling import drawn

COMMANDS = (
    ("--help",),
    ("users", "list"),
    ("users", "list", "--json"),
    ("users", "show", "anna"),
    ("tokens", "list"),
    ("usage", "--json"),
    ("export",),
    ("audit",),
    ("check", "--offline"),
    ("config", "show"),
    ("config", "schema"),
    ("config", "example"),
    ("explain", "openai/gpt-4o-mini"),
    ("users", "add", "eve"),
)


def into(cli: CommandLine, command: tuple[str, ...], target: str) -> "subprocess.CompletedProcess[str]":
    """Run a command whose stdout is a file; closed: a pipe without a reader."""
    line = f'"$@" > {target}' if target != "closed" else 'set -o pipefail; "$@" | true'
    return subprocess.run(
        ["bash", "-c", line, "run", sys.executable, "-m", "proxy", *command],
        cwd=cli.folder,
        env=cli.environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_behind_stdout(configured: CommandLine) -> None:
    configured.ok("users", "add", "bo")  # so that there is a ledger
    for command in drawn(COMMANDS, 0.4, "refused writes"):
        ran = into(configured, command, "/dev/full")
        assert ran.returncode == 1, (command, ran.stderr)
        assert "Standard output cannot be written: No space left on device." in ran.stderr, command
        assert "Traceback" not in ran.stderr, command
        assert "Exception ignored" not in ran.stderr, command


def test_a_pipe_that_nobody_reads(configured: CommandLine) -> None:
    configured.ok("users", "add", "bo")
    for command in drawn(COMMANDS, 0.4, "refused writes"):
        ran = into(configured, command, "closed")
        assert ran.returncode in (0, 1), (command, ran.stderr)
        assert "Traceback" not in ran.stderr, command
        assert "Exception ignored" not in ran.stderr, command
        assert "cannot be written" not in ran.stderr, command


def test_a_ledger_that_another_program_holds(configured: CommandLine) -> None:
    """The running proxy cannot write: the command says so, and nothing of the proxy's log is a traceback."""
    config = configured.folder / "config.yaml"
    config.write_text(config.read_text() + "ledger: {busy_timeout_s: 0}\n")
    with configured.serving():
        other = sqlite3.connect(configured.folder / "tollkeeper.db", isolation_level=None)
        try:
            other.execute("BEGIN IMMEDIATE")
            ran = configured.run("users", "add", "eve")
        finally:
            other.close()
        assert ran.returncode == 4, ran.stderr
        assert "The ledger cannot be written" in ran.stderr
        assert "nothing was changed" in ran.stderr
        assert "Traceback" not in configured.said()
        configured.ok("users", "add", "eve")


def test_a_folder_that_cannot_be_made(cli: CommandLine) -> None:
    (cli.folder / "config.yaml").write_text("database: /dev/full/x/t.db\n")
    ran = cli.run("users", "add", "eve", OPENROUTER_API_KEY="sk-or-v1-x")
    assert ran.returncode == 4, ran.stderr
    assert "Traceback" not in ran.stderr
    assert "/dev/full" in ran.stderr
