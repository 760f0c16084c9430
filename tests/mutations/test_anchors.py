"""Where a patch fits, what it makes of the code, and when it is refused."""

import ast
from pathlib import Path

import pytest

from tests.mutations.mutation import Mutation, MutationError, Patch, TextPatch
from tests.mutations.source_tree import SourceTree

CODE = '''
from typing import Final

_MAX: Final = {1, 2}
SQL = """SELECT x
    WHERE a = 1 AND b = 2"""

def free(a, b):
    return a + b

class Book:
    LIMIT = 5

    def settle(self, cost, *, late=False):
        """Write it."""
        if cost > 0:  # a remark
            self.rows.append(row(cost,
                                 "x", late=late))
            return True
        elif late:
            self.rows.clear()
        try:
            self.flush()
        except OSError as error:
            raise Broken from error
        finally:
            self.close()
        return free(cost, 1)
'''


def mutated(root: Path, *patches: Patch | TextPatch) -> str:
    (changed,) = SourceTree(root).mutated(Mutation("name", "failure", patches, ())).values()
    compile(changed, "changed", "exec")
    return changed


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "proxy/policy").mkdir(parents=True)
    (tmp_path / "proxy/policy/book.py").write_text(CODE)
    (tmp_path / "proxy/other.py").write_text("def free():\n    return 1\n")
    return tmp_path


@pytest.mark.parametrize(
    ("patch", "text", "becomes"),
    [
        (Patch("Book.settle", "cost  >  0", "cost >= 0"), "if cost > 0:  # a remark", "if cost >= 0:"),
        (Patch("Book.settle", "'x'", "'y'"), '"x"', '"y"'),
        (Patch("Book.settle", "self.rows.clear()", "pass"), "self.rows.clear()", "pass"),
        (Patch("Book.settle", "return True"), "            return True\n", ""),
        (Patch("Book.settle", "row(..., late=late)", "row(..., late=True)"), "late=late", "late=True"),
        (Patch("Book.LIMIT", "5", "6"), "= 5", "= 6"),
        (Patch("_MAX", "{1, ...}", "{..., 3}"), "{1, 2}", "{2, 3}"),
        (Patch("proxy.policy.book:free", "a + ...", "..."), "a + b", "b"),
        (Patch("book:free", "a + b", "0"), "a + b", "0"),
        (Patch("Book", "cost > 0", "False"), "cost > 0", "False"),
        (TextPatch("SQL", " AND b = 2", ""), " AND b = 2", ""),
    ],
)
def test_what_a_patch_makes(patch: Patch | TextPatch, text: str, becomes: str, root: Path) -> None:
    assert CODE.count(text) == 1
    assert ast.dump(ast.parse(mutated(root, patch))) == ast.dump(ast.parse(CODE.replace(text, becomes)))


def test_blocks_that_are_not_written_out(root: Path) -> None:
    """`...` keeps what stands there: bodies under another head, in the order of the pattern."""
    old = "try: ...\nexcept OSError as error: ...\nfinally: ..."
    changed = mutated(root, Patch("Book.settle", old, "try: ...\nexcept KeyError: ...\nelse: ..."))
    assert "except KeyError:\n            raise Broken from error\n        else:\n            self.close()" in changed
    with_else = Patch("Book.settle", "if cost > 0: ...\nelse: ...", "if False: ...\nelse: ...")
    assert "if False:\n            self.rows.append(row(cost, 'x', late=late))" in mutated(root, with_else)
    assert "elif late:\n            self.rows.clear()" in mutated(root, with_else)


def test_patches_come_one_after_the_other(root: Path) -> None:
    changed = mutated(root, Patch("Book.LIMIT", "5", "6"), Patch("Book.LIMIT", "6", "7"))
    assert "LIMIT = 7" in changed


@pytest.mark.parametrize(
    ("patch", "words"),
    [
        (Patch("Book.settle", "cost", "0"), r"Book\.settle in proxy/policy/book\.py: 3 places like: cost"),
        (Patch("Book.settle", "cost < 0", "False"), "0 places like: cost < 0"),
        (Patch("Book.settle", "if cost > 0: ...", "pass"), "0 places"),  # it has an else
        (Patch("_MAX", "{True, 2}", "{}"), "0 places"),
        (Patch("free", "a + b", "0"), r"free must have one definition, and is in .*other\.py, .*book\.py"),
        (Patch("ook:free", "a + b", "0"), "is in no file"),
        (Patch("Book.gone", "a", "0"), "is in no file"),
        (Patch("Book.settle", "row(..., ..., late=late)", "0"), "more than one"),
        (Patch("_MAX", "{1, ...}", "{..., ...}"), "more `...` than"),
        (Patch("_MAX", "{1, 2, ...}", "... + 1"), "0 items where one has to stand"),
        (TextPatch("SQL", "= ", ""), "2 places with the text"),
    ],
)
def test_what_does_not_fit(patch: Patch | TextPatch, words: str, root: Path) -> None:
    with pytest.raises(MutationError, match=words):
        mutated(root, patch)
