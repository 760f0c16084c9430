"""The list of bugs fits the tree, and a few of them are caught; `scripts/mutations` tries them all."""

import ast
from pathlib import Path

import pytest

from tests.faults.controls import CONTROLS
from tests.mutations.list import MUTATIONS, Mutation
from tests.mutations.run import ROOT, check_clean, copy_tree, mutate, patched, try_mutation

SHORT = ("check-then-add", "hang-up-is-free", "price-of-the-requested-model", "counters-lost-on-restart")


def names(folder: Path, file: str) -> set[str]:
    tree = ast.parse((folder / file).read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


@pytest.mark.parametrize("mutation", [*MUTATIONS, *CONTROLS], ids=lambda mutation: mutation.name)
def test_it_fits_the_tree(mutation: Mutation) -> None:
    """Each change stands in the code exactly once and is still Python; each test is there."""
    texts: dict[str, str] = {}
    for patch in mutation.patches:
        texts[patch.file] = patched(texts.get(patch.file) or (ROOT / patch.file).read_text(), patch)
        ast.parse(texts[patch.file])
    assert texts
    for test in mutation.tests:
        file, _, name = test.partition("::")
        assert name.partition("[")[0] in names(ROOT, file), test


def test_names_are_unique() -> None:
    assert len({mutation.name for mutation in MUTATIONS}) == len(MUTATIONS)
    assert len({control.name for control in CONTROLS}) == len(CONTROLS)
    assert set(SHORT) <= {mutation.name for mutation in MUTATIONS}


@pytest.mark.slow
def test_a_few_are_caught(tmp_path: Path) -> None:
    """And a change that is no bug is told as one that survived."""
    copy_tree(tmp_path)
    chosen = sorted((one for one in MUTATIONS if one.name in SHORT), key=lambda one: SHORT.index(one.name))
    check_clean(tmp_path, chosen)
    for mutation in chosen:
        result = try_mutation(tmp_path, mutation)
        assert result.outcome == "caught", result.said
    patches = tuple(patch._replace(new=f"({patch.old})") for patch in chosen[-1].patches)
    assert try_mutation(tmp_path, chosen[-1]._replace(patches=patches)).outcome == "SURVIVED"
    for mutation in chosen:
        assert mutate(tmp_path, mutation)  # each was taken out again: it fits once more
