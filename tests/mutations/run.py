"""Put a bug into a copy of the tree, run the tests that must fail with it, and report whether they did."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Literal, NamedTuple

from tests.mutations.mutation import Mutation, MutationError
from tests.mutations.source_tree import SourceTree
from tests.support.sampling import VARIABLE

ROOT = Path(__file__).parents[2]
_PARTS = ("proxy", "tests", "docs", "pyproject.toml", "config.example.yaml", "README.md", "CHANGELOG.md")
_LONGEST_S = 180.0  # a bug may make a test wait for what never comes; each wait of theirs ends after 30 s
_TESTS_FAILED = 1  # pytest's exit code; others mean that no test ran to its end

Outcome = Literal["caught", "SURVIVED", "BROKEN"]


class Result(NamedTuple):
    """output: the end of what pytest printed, of the last of the tests where there are several."""

    mutation: Mutation
    outcome: Outcome
    output: str


def copy_tree(to: Path) -> SourceTree:
    """Copy what tests need. Nothing compiled comes along: it could hide a change of the same second and size."""
    for part in _PARTS:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, to / part, ignore=shutil.ignore_patterns("__pycache__", "*.so", "*.pyd"))
        elif source.exists():
            shutil.copy2(source, to / part)
    return SourceTree(to)


def mutate(tree: SourceTree, mutation: Mutation) -> dict[Path, str]:
    """Change the files of a tree; return what they were. Raises MutationError where a patch does not fit."""
    changed = tree.mutated(mutation)
    for path, text in changed.items():
        compile(text, str(path), "exec")
    before = {path: path.read_text() for path in changed}
    for path, text in changed.items():
        path.write_text(text)
    return before


def run_tests(root: Path, tests: tuple[str, ...]) -> tuple[int, str]:
    """Run tests on the tree below a root; return pytest's exit code and the end of what it printed."""
    environment = {name: value for name, value in os.environ.items() if name != VARIABLE}  # what catches it must run
    environment |= {"PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-x", "--tb=short", "-p", "no:cacheprovider", *tests]
    try:
        done = subprocess.run(
            command, cwd=root, env=environment, capture_output=True, text=True, timeout=_LONGEST_S, check=False
        )
    except subprocess.TimeoutExpired:
        return _TESTS_FAILED, f"no end after {_LONGEST_S:g} s"
    return done.returncode, "\n".join((done.stdout + done.stderr).splitlines()[-25:])


def check_clean(tree: SourceTree, mutations: list[Mutation]) -> None:
    """Raise MutationError unless all their tests pass without a bug."""
    tests = tuple(dict.fromkeys(test for mutation in mutations for test in mutation.tests))
    code, output = run_tests(tree.root, tests)
    if code != 0:
        raise MutationError(f"without any bug pytest ends with {code}:\n{output}")


def try_mutation(tree: SourceTree, mutation: Mutation) -> Result:
    """Put the bug in, run its tests one by one, take it out. Each of them has to fail."""
    before = mutate(tree, mutation)
    output = ""
    try:
        for test in mutation.tests:
            code, output = run_tests(tree.root, (test,))
            if code == 0:
                return Result(mutation, "SURVIVED", f"{test} passes with it:\n{output}")
            if code != _TESTS_FAILED:
                return Result(mutation, "BROKEN", output)
    finally:
        for path, text in before.items():
            path.write_text(text)
    return Result(mutation, "caught", output)
