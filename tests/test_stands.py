"""Stands run on the shipped defaults: a setting of a test stand is no promise to a user."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.installation import settings
from tests.support.one_try import LISTED, ONE_TRY, OWN_RULES, rules

ROOT = Path(__file__).parents[1]
_WORDS = frozenset({"retry", "breaker"})
_NO_STANDS = ("tests/config/", "tests/policy/", "tests/mutations/", "tests/support/one_try.py", "tests/test_stands.py")


def _rules_written(path: Path) -> Iterator[int]:
    """Give the lines in which a file writes a block of rules for a provider: a key of a dict or of an index."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        keys: list[ast.expr | None] = []
        if isinstance(node, ast.Dict):
            keys = [
                key for key, value in zip(node.keys, node.values, strict=True) if isinstance(value, ast.Dict | ast.Name)
            ]
        elif isinstance(node, ast.Call):  # replace(row, retry=...), however it is wrapped
            yield from (one.value.lineno for one in node.keywords if one.arg in _WORDS)
        elif isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store):
            keys = [node.slice]
        yield from (key.lineno for key in keys if isinstance(key, ast.Constant) and key.value in _WORDS)


def _files() -> Iterator[tuple[str, Path]]:
    for path in sorted((ROOT / "tests").rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        if not name.startswith(_NO_STANDS):
            yield name, path


def test_no_stand_touches_retries_or_breakers() -> None:
    """But for those whose subject they are, each with its reason in tests/support/one_try.py."""
    written = {name: lines for name, path in _files() if (lines := list(_rules_written(path)))}
    assert set(written) == set(OWN_RULES), written
    assert all(len(reason) > 10 for reason in (*LISTED.values(), *OWN_RULES.values()))


def test_every_file_of_the_list_is_there() -> None:
    for name in (*LISTED, *OWN_RULES):
        assert (ROOT / name).exists(), name
        assert (ROOT / name).is_dir() == name.endswith("/"), name


def test_rules_are_only_for_the_list(monkeypatch: pytest.MonkeyPatch) -> None:
    def written(test: str) -> set[str]:
        monkeypatch.setenv("PYTEST_CURRENT_TEST", test)
        found = settings("http://127.0.0.1:9")["providers"].values()
        return {word for provider in found for word in provider if word in _WORDS}

    assert written("tests/web/test_fast_path.py::test_whole (call)") == set()
    assert written("tests/faults/test_errors.py::test_x (call)") == _WORDS
    assert written("") == set()
    monkeypatch.setenv("PYTEST_CURRENT_TEST", "tests/test_stands.py::x (call)")
    assert rules() == {} != ONE_TRY


def test_the_search_finds_what_it_looks_for(tmp_path: Path) -> None:
    path = tmp_path / "x.py"
    path.write_text(
        'a = {"providers": {"x": {"retry": {"attempts": 1}}}}\nb["breaker"] = 5\nc["breaker"]\n"retry"\nd(retry=5)\n'
    )
    assert sorted(_rules_written(path)) == [1, 2, 5]
