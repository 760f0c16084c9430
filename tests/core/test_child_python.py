"""A process of our own imports nothing from the folder that people happen to be in."""

import subprocess
from pathlib import Path

from proxy.core.child_python import child_command, child_environ


def test_files_of_the_current_folder_are_not_imported(tmp_path: Path) -> None:
    for name in ("struct.py", "proxy.py", "click.py"):
        (tmp_path / name).write_text("raise SystemExit('imported from the folder')\n")
    command = child_command("proxy", "--version")
    told = subprocess.run(command, cwd=tmp_path, env=child_environ(), check=True, capture_output=True, text=True)
    assert "tollkeeper" in told.stdout
