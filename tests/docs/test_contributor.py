"""What a contributor is promised: hooks that fetch nothing, rules that the hooks hold, types in the wheel."""

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from .pages import ROOT, pages

REPOS: list[dict[str, Any]] = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
HOOKS: dict[str, dict[str, Any]] = {hook["id"]: hook for repo in REPOS for hook in repo["hooks"]}
CHECK = (ROOT / "scripts" / "check").read_text(encoding="utf-8")


def test_no_hook_comes_from_elsewhere() -> None:
    assert {repo["repo"] for repo in REPOS} == {"local"}
    assert {hook["language"] for hook in HOOKS.values()} == {"system", "pygrep"}


@pytest.mark.parametrize("name", [name for name, hook in HOOKS.items() if hook["language"] == "system"])
def test_a_hook_calls_a_locked_tool(name: str) -> None:
    command, *arguments = HOOKS[name]["entry"].split()
    assert command.startswith(".venv/bin/")
    assert os.access(ROOT / command, os.X_OK)
    assert command in CHECK, f"scripts/check does not run {command}"
    assert all((ROOT / argument).exists() for argument in arguments if argument.startswith("tests/"))


@pytest.mark.parametrize(
    ("subject", "fits"),
    [
        ("storage: skip adapter lookup when binding None", True),
        ("web, cli: name the file that is missing\n\nBody.", True),
        ("storage: " + "x" * 50, True),
        ("storage: " + "x" * 51, False),
        ("Skip adapter lookup", False),
        ("storage:", False),
        ("\nstorage: second line", False),
    ],
)
def test_the_hook_reads_subjects(subject: str, *, fits: bool) -> None:
    hook = HOOKS["commit-subject"]
    assert hook["args"] == ["--multiline", "--negate"]  # pygrep fails the commit where the pattern is not found
    assert hook["stages"] == ["commit-msg"]
    assert bool(re.search(hook["entry"].encode(), subject.encode(), re.MULTILINE)) is fits


def test_the_wheel_says_that_it_has_types(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    assert "proxy/py.typed" in zipfile.ZipFile(wheel).namelist()


def test_the_first_pages_lead_to_each_other() -> None:
    assert {"CONTRIBUTING.md", "SECURITY.md", "docs/architecture.md"} <= {
        path for path, _ in pages()["README.md"].links
    }
    assert "SECURITY.md" in {path for path, _ in pages()["CONTRIBUTING.md"].links}
