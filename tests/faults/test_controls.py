"""Each row of docs/trust/faults.md has tests and a bug that they catch; `scripts/mutations --faults` tries them."""

import re
from pathlib import Path

import pytest

from tests.mutations.faults import CONTROLS
from tests.mutations.run import ROOT, check_clean, copy_tree, try_mutation

ROWS = [f"U{n}" for n in range(1, 29)]
SHORT = ("U1-not-sent-is-charged", "U7-half-a-JSON", "U11-a-failure-is-free", "U20-zero-is-believed")


def test_every_row_is_described() -> None:
    text = (ROOT / "docs/trust/faults.md").read_text()
    assert re.findall(r"^\| (U\d+) \|", text, re.MULTILINE) == ROWS


@pytest.mark.parametrize("row", ROWS)
def test_every_row_has_tests_and_a_bug(row: str) -> None:
    tests = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    assert f"def test_{row.lower()}_" in tests
    tried = [test for control in CONTROLS if control.name.startswith(row + "-") for test in control.tests]
    assert any(f"::test_{row.lower()}_" in test for test in tried)


@pytest.mark.sampled(0.3, "long")
@pytest.mark.slow
def test_a_few_are_caught(tmp_path: Path) -> None:
    tree = copy_tree(tmp_path)
    chosen = [control for control in CONTROLS if control.name in SHORT]
    assert len(chosen) == len(SHORT)
    check_clean(tree, chosen)
    for control in chosen:
        result = try_mutation(tree, control)
        assert result.outcome == "caught", result.output
