"""Put a bug into a copy of the tree, run the tests that must fail with it, and tell whether they did."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Literal, NamedTuple

from tests.mutations.list import Mutation, Patch

ROOT = Path(__file__).parents[2]
_PARTS = ("proxy", "tests", "docs", "pyproject.toml", "config.example.yaml", "README.md", "CHANGELOG.md")
_LONGEST_S = 180.0  # a bug may make a test wait for what never comes; each wait of theirs ends after 30 s
_TESTS_FAILED = 1  # pytest's exit code; others mean that no test ran to its end

Outcome = Literal["caught", "SURVIVED", "BROKEN"]


class Result(NamedTuple):
    """said: what pytest said, the last of the tests where there are several."""

    mutation: Mutation
    outcome: Outcome
    said: str


class MutationError(Exception):
    """A patch that does not fit the tree, or tests that fail without any bug."""


def copy_tree(to: Path) -> None:
    """Copy what tests need. Nothing compiled comes along: it could hide a change of the same second and size."""
    for part in _PARTS:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, to / part, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.exists():
            shutil.copy2(source, to / part)


def patched(text: str, patch: Patch) -> str:
    """Give a file's text with the change; raises MutationError unless `old` stands in it exactly once."""
    count = text.count(patch.old)
    if count != 1:
        raise MutationError(f"{patch.file} has {count} places like: {patch.old.strip()}")
    return text.replace(patch.old, patch.new)


def mutate(tree: Path, mutation: Mutation) -> dict[Path, str]:
    """Change the files of a tree; give what they were."""
    before: dict[Path, str] = {}
    for patch in mutation.patches:
        path = tree / patch.file
        text = path.read_text()
        before.setdefault(path, text)
        changed = patched(text, patch)
        compile(changed, str(path), "exec")
        path.write_text(changed)
    return before


def run_tests(tree: Path, tests: tuple[str, ...]) -> tuple[int, str]:
    """Run tests on a tree; give pytest's exit code and the end of what it printed."""
    environment = {**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-x", "--tb=short", "-p", "no:cacheprovider", *tests]
    try:
        done = subprocess.run(
            command, cwd=tree, env=environment, capture_output=True, text=True, timeout=_LONGEST_S, check=False
        )
    except subprocess.TimeoutExpired:
        return _TESTS_FAILED, f"no end after {_LONGEST_S:g} s"
    return done.returncode, "\n".join((done.stdout + done.stderr).splitlines()[-25:])


def check_clean(tree: Path, mutations: list[Mutation]) -> None:
    """Raise MutationError unless all their tests pass without a bug."""
    tests = tuple(dict.fromkeys(test for mutation in mutations for test in mutation.tests))
    code, said = run_tests(tree, tests)
    if code != 0:
        raise MutationError(f"without any bug pytest ends with {code}:\n{said}")


def try_mutation(tree: Path, mutation: Mutation) -> Result:
    """Put the bug in, run its tests one by one, take it out. Each of them has to fail."""
    before = mutate(tree, mutation)
    said = ""
    try:
        for test in mutation.tests:
            code, said = run_tests(tree, (test,))
            if code == 0:
                return Result(mutation, "SURVIVED", f"{test} passes with it:\n{said}")
            if code != _TESTS_FAILED:
                return Result(mutation, "BROKEN", said)
    finally:
        for path, text in before.items():
            path.write_text(text)
    return Result(mutation, "caught", said)
