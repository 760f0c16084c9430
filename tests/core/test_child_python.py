"""A process of our own imports nothing from the folder that people happen to be in."""

import subprocess
from pathlib import Path

import pytest

from proxy.core.child_python import bare_environ, child_command, child_environ


def test_files_of_the_current_folder_are_not_imported(tmp_path: Path) -> None:
    for name in ("struct.py", "proxy.py", "click.py"):
        (tmp_path / name).write_text("raise SystemExit('imported from the folder')\n")
    command = child_command("proxy", "--version")
    told = subprocess.run(command, cwd=tmp_path, env=child_environ(), check=True, capture_output=True, text=True)
    assert "tollkeeper" in told.stdout


def test_a_bare_environment_has_what_python_needs_and_no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENROUTER_API_KEY", "TOLLKEEPER_ADMIN_TOKEN", "PYTHONHASHSEED", "LC_ALL"):
        monkeypatch.setenv(name, "0")
    found = bare_environ()
    assert {"PATH", "PYTHONPATH", "PYTHONHASHSEED", "LC_ALL"} <= found.keys()
    assert not {"OPENROUTER_API_KEY", "TOLLKEEPER_ADMIN_TOKEN"} & found.keys()
