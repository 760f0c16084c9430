"""docs/reference/errors.md lists every code that an answer can carry, with its status and whose fault it is."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

from proxy.wire.body import Code

_ROOT = Path(__file__).parents[2]
_CLASSES = {"CallerError", "ProviderError", "OwnError", "ApiError"}
# functions that take status, code and text like the class they make
_WRAPPERS = {"refused_token": "CallerError"}
_SECTIONS = {"Your request": "CallerError", "The provider": "ProviderError", "The proxy": "OwnError"}
_ROW = re.compile(r"^\| `(\w+)` \| (\d{3}(?:, \d{3})*) \| .+ \| .+ \|$", re.MULTILINE)


def on_the_page() -> dict[str, tuple[str, list[int]]]:
    """Give code -> (class, statuses)."""
    found: dict[str, tuple[str, list[int]]] = {}
    for section in (_ROOT / "docs" / "reference" / "errors.md").read_text().split("\n## ")[1:]:
        title, _, text = section.partition("\n")
        for code, statuses in _ROW.findall(text):
            assert code not in found, f"{code} is listed twice"
            found[code] = (_SECTIONS.get(title, "ApiError"), [int(status) for status in statuses.split(", ")])
    return found


def in_the_code() -> Iterator[tuple[str, str, int | None, str]]:
    """Give (class, code, status or None where it is no constant, place) of every error that is made."""
    for path in sorted((_ROOT / "proxy").rglob("*.py")):
        if "simulator" in path.parts:
            continue
        tree = ast.parse(path.read_text())
        bases = _bases(tree)
        for function in [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]:
            for call in [node for node in ast.walk(function) if isinstance(node, ast.Call)]:
                name = getattr(call.func, "id", "") or bases.get(id(call), "")
                if name not in _CLASSES | set(_WRAPPERS) or len(call.args) < 2:
                    continue
                if function.name in _WRAPPERS:  # what it is called with is what counts
                    continue
                literal = call.args[0].value if isinstance(call.args[0], ast.Constant) else None
                status = literal if isinstance(literal, int) else None
                place = f"{path.relative_to(_ROOT)}:{call.lineno}"
                for code in _codes(call.args[1], function, tree):
                    yield _WRAPPERS.get(name, name), code, status, place


def _bases(tree: ast.Module) -> dict[int, str]:
    """Give the class of error that each call of super().__init__ makes, by the call's identity."""
    return {
        id(call): base.id
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        for base in node.bases
        if isinstance(base, ast.Name) and base.id in _CLASSES
        for call in ast.walk(node)
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "super().__init__"
    }


def _assigned(name: str, scope: ast.AST) -> Iterator[ast.expr]:
    """Give what a name stands for in a scope, also where several are given theirs at once."""
    for assign in ast.walk(scope):
        if not isinstance(assign, ast.Assign):
            continue
        for target in assign.targets:
            if isinstance(target, ast.Tuple) and isinstance(assign.value, ast.Tuple):
                pairs = zip(target.elts, assign.value.elts, strict=True)
                yield from (value for one, value in pairs if getattr(one, "id", "") == name)
            elif getattr(target, "id", "") == name:
                yield assign.value


def _codes(node: ast.expr, function: ast.AST, tree: ast.Module) -> list[str]:
    """Give what a code can be: a literal, one of two, a name that was given one, or what the check of a body says."""
    if isinstance(node, ast.Constant):
        return [str(node.value)]
    if isinstance(node, ast.IfExp):
        return _codes(node.body, function, tree) + _codes(node.orelse, function, tree)
    if isinstance(node, ast.Name):
        values = [*_assigned(node.id, function)] or [*_assigned(node.id, tree)]
        return [code for value in values for code in _codes(value, function, tree)]
    assert ast.unparse(node) == "error.code", f"write the code out: {ast.unparse(node)}"
    return list(get_args(Code))


def test_every_code_is_on_the_page() -> None:
    page = on_the_page()
    for class_, code, status, place in in_the_code():
        assert code in page, f"docs/reference/errors.md lacks {code} ({place})"
        assert page[code][0] == class_, (
            f"docs/reference/errors.md has {code} under another class than {class_} ({place})"
        )
        if status is not None:
            assert status in page[code][1], (
                f"docs/reference/errors.md has {code} with {page[code][1]}, not {status} ({place})"
            )


def test_the_page_lists_nothing_else() -> None:
    assert set(on_the_page()) - {code for _, code, _, _ in in_the_code()} == {"crash", "cut"}


def test_the_search_sees_them_all() -> None:
    """As many errors are found as the text of the code makes, so that a new way to make one is not overlooked."""
    found = {(place, class_) for class_, _, _, place in in_the_code()}
    assert len(found) > 50
    raised = re.compile(rf"\b({'|'.join(_CLASSES | set(_WRAPPERS))})\(\n?\s*[\w.]+,")
    count = sum(
        len(raised.findall(path.read_text()))
        for path in (_ROOT / "proxy").rglob("*.py")
        if "simulator" not in path.parts
    )
    assert len(found) >= count - 2  # the wrapper's own call and its definition
