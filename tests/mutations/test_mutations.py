"""The list of bugs fits the tree, and a few of them are caught; `scripts/mutations` tries them all."""

import ast
from functools import cache
from pathlib import Path

import pytest

from tests.mutations.faults import CONTROLS
from tests.mutations.list import MUTATIONS
from tests.mutations.mutation import Mutation, Patch
from tests.mutations.run import ROOT, check_clean, copy_tree, mutate, try_mutation
from tests.mutations.source_tree import SourceTree

SHORT = ("check-then-add", "hang-up-is-free", "price-of-the-requested-model", "counters-lost-on-restart")


@pytest.fixture(scope="module")
def program() -> SourceTree:
    return SourceTree(ROOT)


@cache
def functions_of(file: str) -> set[str]:
    tree = ast.parse((ROOT / file).read_bytes())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


@cache
def without_bug(path: Path) -> str:
    return ast.unparse(ast.parse(path.read_bytes())) + "\n"


@pytest.mark.parametrize("mutation", [*MUTATIONS, *CONTROLS], ids=lambda mutation: mutation.name)
def test_it_fits_the_tree(mutation: Mutation, program: SourceTree) -> None:
    """Each change has one place in the code, is a change and still Python; each test is there."""
    changed = program.mutated(mutation)
    assert changed
    for path, text in changed.items():
        compile(text, str(path), "exec")
        assert text != without_bug(path), path
    for test in mutation.tests:
        file, _, name = test.partition("::")
        assert name.partition("[")[0] in functions_of(file), test


def test_names_are_unique() -> None:
    assert len({mutation.name for mutation in MUTATIONS}) == len(MUTATIONS)
    assert len({control.name for control in CONTROLS}) == len(CONTROLS)
    assert set(SHORT) <= {mutation.name for mutation in MUTATIONS}


@pytest.mark.sampled(0.3, "long")
@pytest.mark.slow
def test_a_few_are_caught(tmp_path: Path) -> None:
    """And a change that is no bug is told as one that survived."""
    tree = copy_tree(tmp_path)
    chosen = sorted((one for one in MUTATIONS if one.name in SHORT), key=lambda one: SHORT.index(one.name))
    check_clean(tree, chosen)
    for mutation in chosen:
        result = try_mutation(tree, mutation)
        assert result.outcome == "caught", result.output
    patches = tuple(Patch(patch.at, patch.old, f"({patch.old})") for patch in chosen[-1].patches)
    assert try_mutation(tree, chosen[-1]._replace(patches=patches)).outcome == "SURVIVED"
    for mutation in chosen:
        assert mutate(tree, mutation)  # each was taken out again: it fits once more
