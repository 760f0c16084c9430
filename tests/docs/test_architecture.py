"""docs/architecture.md names files and names that exist, and the floors as the import contract has them."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

from .pages import ROOT, pages

PAGE = pages()["docs/architecture.md"].text
PLACES = sorted(set(re.findall(r"`((?:proxy|tests)/[\w/.]+(?::\w+)?)`", PAGE)))
MAP = PAGE.partition("## I want to")[2].partition("\n## ")[0]
TWELVE = (  # what a newcomer looks for: each must have its row
    *("response header", "failed attempt", "endpoint", "column to the view", "kind of limit", "text of a refusal"),
    *("provider that speaks", "every request that ends", "hang-up", "command", "metric", "max_tokens"),
)


@pytest.mark.parametrize("place", PLACES)
def test_every_place_is_there(place: str) -> None:
    path, _, name = place.partition(":")
    assert (ROOT / path).exists()
    if name:
        assert name in _names(ROOT / path)


def _names(path: Path) -> set[str]:
    """Return what a module defines at its top."""
    names: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
    return names


@pytest.mark.parametrize("wish", TWELVE)
def test_what_a_newcomer_looks_for_has_a_row(wish: str) -> None:
    rows = [row for row in MAP.splitlines() if row.startswith("| ") and wish in row.split("|")[1]]
    assert rows, wish
    assert all(re.search(r"`proxy/", row.split("|")[2]) for row in rows)


def test_the_floors_are_those_of_the_contract() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    (layers,) = (one["layers"] for one in contracts if one["name"] == "Imports go down only")
    floors = [sorted(re.findall(r"proxy\.(\w+)", layer)) for layer in layers if "__main__" not in layer]
    table = PAGE.partition("## Floors")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", table, re.MULTILINE)
    assert [sorted(re.findall(r"\w+", row)) for row in rows] == floors
