"""A pattern means the same wherever a name is held against one: in the proxy, and in SQL."""

import re
import sqlite3
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from proxy.core.glob import fits, sql_glob

ROOT = Path(__file__).parents[2]
SIGNS = st.text(st.sampled_from("ab/-]["), max_size=4)
PATTERNS = st.text(st.sampled_from("ab_/*?[]^!-Z"), max_size=9)


@pytest.fixture(scope="module")
def database() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:")
    yield connection
    connection.close()


@settings(max_examples=1500)
@given(pattern=PATTERNS, name=st.text(st.sampled_from("ab_/[]^!-Z"), max_size=5))
@example(pattern="[]-a]", name="^")
@example(pattern="[^^]", name="^")
@example(pattern="[!!]", name="!")
@example(pattern="[a^-]", name="-")
@example(pattern="[b-a]", name="b")
@example(pattern="[!b-a]", name="b")
@example(pattern="[--a]b", name="_b")
@example(pattern="x[", name="x[")
@example(pattern="[^]", name="[^]")
@example(pattern="[[]", name="[")
def test_sql_finds_the_same_names(database: sqlite3.Connection, pattern: str, name: str) -> None:
    (found,) = database.execute("SELECT ? GLOB ?", (name, sql_glob(pattern))).fetchone()
    assert bool(found) is fits(name, pattern)


@settings(max_examples=600)
@given(pattern=PATTERNS.filter(lambda pattern: "[^" not in pattern), name=st.text("ab_/[]^!-Z", max_size=5))
def test_what_was_written_before_means_what_it_meant(pattern: str, name: str) -> None:
    assert fits(name, pattern) is fnmatchcase(name, pattern)


@pytest.mark.parametrize(
    ("pattern", "names", "others"),
    [
        ("openai/*", ["openai/gpt-5", "openai/"], ["xopenai/gpt-5", "OpenAI/gpt-5"]),
        ("gpt-[^4]*", ["gpt-5", "gpt-^"], ["gpt-4", "gpt-4o", "gpt-"]),
        ("gpt-[!4]*", ["gpt-5", "gpt-^"], ["gpt-4", "gpt-4o", "gpt-"]),
        ("[^x", ["[^x"], ["a"]),
        ("[[^x]", ["[", "^", "x"], ["a"]),  # within a set it is no sign
        ("a?c", ["abc", "a\nc"], ["ac"]),
    ],
)
def test_what_signs_mean(pattern: str, names: list[str], others: list[str]) -> None:
    assert [name for name in (*names, *others) if fits(name, pattern)] == names


def test_nobody_matches_in_another_way() -> None:
    """Fnmatch knows no [^x], and GLOB no [!x]: who calls them has patterns of another meaning."""
    found = {
        str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
        for path in (ROOT / "proxy").rglob("*.py")
        if path.name != "glob.py"
    }
    assert [path for path, text in found.items() if re.search(r"\bimport fnmatch|from fnmatch", text)] == []
    globs = {path for path, text in found.items() if re.search(r" GLOB (?!')", text)}
    assert [path for path in globs if "sql_glob" not in found[path]] == []
