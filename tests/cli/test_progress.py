"""What takes long says how far it is: a bar on a terminal, lines elsewhere, and nothing where it is quick."""

import os
import pty
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from proxy.cli import progress
from proxy.cli.progress import Progress
from tests.cli.command_line import ROOT, CommandLine

SLOW = """
import time
from proxy.cli import progress
progress._EVERY_S = 0.1
with progress.Progress("audit") as told:
    told.at(0.25, "rows")
    time.sleep(0.5)
print("done")
"""


def test_a_line_now_and_then_elsewhere(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", SLOW],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout == "done\n"
    lines = ran.stderr.splitlines()
    assert lines
    assert all(re.fullmatch(r"audit: rows, 25% after \d+ s", line) for line in lines)


def test_a_bar_on_a_terminal(tmp_path: Path) -> None:
    master, slave = pty.openpty()
    ran = subprocess.run(
        [sys.executable, "-c", SLOW],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "80"},
        stdin=slave,
        stdout=subprocess.PIPE,
        stderr=slave,
        check=True,
    )
    os.close(slave)
    shown = os.read(master, 65536).decode()
    os.close(master)
    assert ran.stdout == b"done\n"
    assert "audit rows" in shown
    assert "━" in shown
    assert "25%" in shown


def test_what_is_quick_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("export") as told:
        told.at(1.0)
    assert capsys.readouterr().err == ""


def test_its_thread_ends_with_a_failure() -> None:
    with pytest.raises(ZeroDivisionError), Progress("audit"):
        raise ZeroDivisionError
    assert "progress" not in [thread.name for thread in threading.enumerate()]


def test_the_commands_use_it(configured: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every one of the long commands, each step of the audit by name."""
    configured.ok("users", "add", "bo")
    told: list[tuple[str, str]] = []

    class Noted(Progress):
        def at(self, done: float | None, step: str = "") -> None:
            super().at(done, step)
            told.append((self._what, step))

    monkeypatch.setattr(progress, "Progress", Noted)
    monkeypatch.chdir(configured.folder)
    from proxy.cli import tollkeeper

    for command in ("audit", "export"):
        with pytest.raises(SystemExit):
            tollkeeper.main([command], prog_name="tollkeeper")
    assert [step for what, step in told if what == "audit"][:3] == ["integrity", "rows", "attempts"]
