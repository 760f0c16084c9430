"""The rules of the house: names, imports and sizes that keep the program easy to find one's way in."""

import ast
import re
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[1]
PACKAGE: Final = ROOT / "proxy"

# Class names that stand in more than one file, each with its reason.
TWICE: Final[dict[str, str]] = {}
# Pure files whose tests have another name, and where they are: this list may only shrink.
TESTED_ELSEWHERE: Final[dict[str, str]] = {
    "policy/book": "tests/policy/test_quota.py",
    "policy/limit_windows": "tests/policy/test_quota.py",
    "policy/scope_totals": "tests/policy/test_quota.py",
    "wire/usage_shape": "tests/wire/test_usage.py",
}
_DECIDES: Final = ast.FunctionDef | ast.ClassDef
# The longest there are: these two figures may only fall.
LINES_OF_A_FUNCTION: Final = 83
LINES_OF_A_FILE: Final = 640


@cache
def modules() -> dict[str, tuple[Path, ast.Module]]:
    """Return each module of the package by its dotted name: its file and its syntax."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        found[name] = path, ast.parse(path.read_text())
    return found


def imports_of(name: str) -> set[str]:
    """Return the modules of the package that one imports, those for type checkers and inside functions included."""
    found = set()
    for node in ast.walk(modules()[name][1]):
        if isinstance(node, ast.ImportFrom) and node.module:
            submodules = {f"{node.module}.{alias.name}" for alias in node.names} & modules().keys()
            found |= submodules or ({node.module} & modules().keys())
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names} & modules().keys()
    return found - {name}


def circles(imports: dict[str, set[str]]) -> Iterator[frozenset[str]]:
    """Yield the sets of modules that can reach one another (strongly connected components of two or more)."""
    reach = {name: _reached(name, imports) for name in imports}
    done: set[str] = set()
    for name in imports:
        circle = frozenset(other for other in reach[name] if name in reach[other])
        if len(circle) > 1 and name not in done:
            done |= circle
            yield circle


def _reached(start: str, imports: dict[str, set[str]]) -> set[str]:
    """Return what can be reached from a module by one import or more; itself only where it stands in a circle."""
    found: set[str] = set()
    left = list(imports[start])
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            left.extend(imports.get(name, ()))
    return found


def test_a_class_name_stands_once() -> None:
    places = defaultdict(list)
    for name, (_, tree) in modules().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(name)
    twice = {name: found for name, found in places.items() if len(found) > 1}
    assert twice.keys() == TWICE.keys(), twice


def test_no_module_stands_in_a_circle() -> None:
    found = [*circles({name: imports_of(name) for name in modules()})]
    assert not found, [sorted(circle) for circle in found]


def test_circles_are_found() -> None:
    assert {*circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}})} == {frozenset("abc")}
    assert not {*circles({"a": {"b"}, "b": set(), "d": {"a", "b"}})}


def test_functions_and_files_grow_no_longer() -> None:
    functions = {}
    for name, (_, tree) in modules().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                functions[f"{name}.{node.name}"] = (node.end_lineno or node.lineno) - node.lineno + 1
    files = {name: len(path.read_text().splitlines()) for name, (path, _) in modules().items()}
    assert max(functions.values()) <= LINES_OF_A_FUNCTION, max(functions, key=lambda name: functions[name])
    assert max(files.values()) <= LINES_OF_A_FILE, max(files, key=lambda name: files[name])


def pure_files() -> Iterator[tuple[str, str]]:
    """Yield the part and the name of each file that decides something and that the import contracts call pure."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (pure,) = (each["source_modules"] for each in contracts if each["name"] == "Pure parts know no I/O")
    for name, (path, tree) in modules().items():
        is_pure = any(name == part or name.startswith(f"{part}.") for part in pure)
        if is_pure and path.stem != "__init__" and any(isinstance(node, _DECIDES) for node in tree.body):
            yield name.split(".")[1], path.stem


def test_a_pure_file_has_a_test_of_its_name() -> None:
    """tests/<part>/…/test_<name>.py: so that who changes the file finds what holds it."""
    without = [
        f"{part}/{stem}" for part, stem in pure_files() if not list((ROOT / "tests" / part).rglob(f"test_{stem}.py"))
    ]
    assert without == sorted(TESTED_ELSEWHERE)
    assert all((ROOT / place).exists() for place in TESTED_ELSEWHERE.values())


def test_records_are_structs() -> None:
    """docs/architecture.md says why; a row that is unpacked, or compared as a tuple, is a named tuple."""
    decorated = [
        f"{name}.{node.name}"
        for name, (_, tree) in modules().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and any("dataclass" in ast.unparse(each) for each in node.decorator_list)
    ]
    assert not decorated, "write them as msgspec.Struct"


def test_no_file_is_a_drawer() -> None:
    drawers = re.compile(r"(^|_)(utils?|helpers?|managers?|misc|common)($|_)")
    assert not [name for name in modules() if drawers.search(name.rsplit(".", 1)[-1])]


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock"])
def test_no_locked_package_is_skipped_for(lock: str) -> None:
    """Packages that every checkout has are imported: a test that skips without them would check nothing."""
    locked = {line.split("==")[0].strip().lower() for line in (ROOT / lock).read_text().splitlines() if "==" in line}
    others_only = {"uvloop"}  # locked, but not to be had on every system
    for path in (ROOT / "tests").rglob("*.py"):
        asked = re.findall(r"importorskip\(\s*[\"']([\w.]+)", path.read_text())
        assert not (names := {*asked} & (locked - others_only)), (path.name, names)


def test_each_module_of_the_pipeline_has_a_floor() -> None:
    """The contract names modules, for state stands in rooms of steps: a new one must not be left out."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(one["layers"] for one in contracts if one.get("containers") == ["proxy.pipeline"])
    named = [name for layer in layers for name in re.split(r"\s*[:|]\s*", layer)]
    rooms = {name.rsplit(".", 1)[0] for name in modules() if name.count(".") > 2}
    steps = {name.removeprefix("proxy.pipeline.") for name in modules() if name.startswith("proxy.pipeline.")}
    steps = {name for name in steps if f"proxy.pipeline.{name}" not in rooms and not name.startswith("values.")}
    assert {*named} - {"values"} == steps, {*named} ^ steps
    assert len(named) == len({*named})


# The first word of a function's docstring says what it does; these say nothing, or something else than is meant.
NO_VERBS: Final = {"Give", "Gives", "Tell", "Tells", "Take", "Takes", "Note", "Notes"} | {
    "A", "All", "An", "Files", "In", "It", "Its", "Never", "No", "None", "Nothing", "The", "This", "What", "Without",
}  # fmt: skip
TITLES: Final = {"proxy.cli.tollkeeper"}  # the first line of --help names the program


def docstrings() -> Iterator[tuple[str, str]]:
    """Yield the docstring of each function by its dotted name."""
    for name, (_, tree) in modules().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (text := ast.get_docstring(node)):
                yield f"{name}.{node.name}", text


def test_docstrings_begin_with_a_verb() -> None:
    found = {name: text for name, text in docstrings() if name not in TITLES}
    words = {name: text.split()[0].rstrip(",;.:") for name, text in found.items()}
    assert {name: word for name, word in words.items() if not re.fullmatch("[A-Z][a-z-]+", word)} == {}
    assert {name: found[name] for name, word in words.items() if word in NO_VERBS} == {}
    assert len(found) > 500  # they are found at all


def texts() -> Iterator[tuple[str, str]]:
    """Yield each string of the package that is not a docstring, its parts joined, with the place where it begins."""
    for name, (_, tree) in modules().items():
        skipped = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr):
                skipped.update(id(part) for part in node.values)
                parts = [part.value if isinstance(part, ast.Constant) else "" for part in node.values]
                yield f"{name}:{node.lineno}", "".join(str(part) for part in parts)
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in skipped:
                yield f"{name}:{node.lineno}", node.value


def test_texts_negate_with_not() -> None:
    """English says "is not valid JSON"; "there is no such file" is fine, and so is "is no longer"."""
    wrong = re.compile(r"(?<![Tt]here )\b(?:is|are) no (?!longer\b)")
    assert [(place, text) for place, text in texts() if wrong.search(text)] == []
    assert wrong.search("The body is no JSON.")
    assert not wrong.search("There is no ledger yet; the token is no longer valid.")
