"""The compiled build: which files may be in it. What mypyc would compile into something else than Python does is not.

tests that ask the compiled program itself: scripts/test --compiled.
"""

import ast
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
_TOOLS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
COMPILED = _TOOLS["tollkeeper"]["compiled"]

# What an `async with` may name: leaving these never waits.
LEFT_AT_ONCE = {"self.past_lock": "an asyncio.Lock", "timeout": "an asyncio.Timeout"}

_WAITS = (ast.Await, ast.AsyncFor, ast.AsyncWith, ast.Yield, ast.YieldFrom)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


def _waits_in(nodes: list[ast.stmt] | list[ast.AST]) -> Iterator[int]:
    """Yield the lines that wait, but for those of functions within."""
    for node in nodes:
        if isinstance(node, _FUNCTIONS):
            continue
        if isinstance(node, _WAITS):
            yield node.lineno
        yield from _waits_in([*ast.iter_child_nodes(node)])


def _lost_exceptions(source: str) -> list[int]:
    """Return the lines that wait while an exception may be under way: a compiled coroutine forgets which."""
    found: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Try | ast.TryStar):
            for part in ([*node.finalbody], *(handler.body for handler in node.handlers)):
                found.update(_waits_in(part))
        if isinstance(node, ast.AsyncWith) and any(
            ast.unparse(item.context_expr) not in LEFT_AT_ONCE for item in node.items
        ):
            found.add(node.lineno)
    return sorted(found)


@pytest.mark.parametrize("name", COMPILED["files"])
def test_no_coroutine_waits_while_it_handles_an_exception(name: str) -> None:
    assert _lost_exceptions((ROOT / name).read_text()) == [], (
        f"{name} waits in an except, a finally or an `async with`. After the wait a coroutine of mypyc raises whatever "
        "exception its caller handles, or ends the process. Wait behind the block, or take the file out of the list."
    )


@pytest.mark.parametrize(
    ("body", "is_safe"),
    [
        ("try:\n  await f()\n except E:\n  failed = True", True),
        ("try:\n  await f()\n finally:\n  g()", True),
        ("async with timeout:\n  await f()", True),
        ("try:\n  f()\n except E:\n  def later():\n   async def g():\n    await f()", True),
        ("try:\n  f()\n except E:\n  await g()", False),
        ("try:\n  f()\n except E:\n  if x:\n   y = [await g()]\n  raise", False),
        ("try:\n  f()\n except* E:\n  await g()", False),
        ("try:\n  f()\n finally:\n  async for x in g():\n   pass", False),
        ("async with recorder:\n  f()", False),
    ],
)
def test_the_look_for_waits_sees_them(body: str, is_safe: bool) -> None:
    assert (_lost_exceptions(f"async def way():\n {body}") == []) is is_safe


def test_nothing_is_decoded_by_a_schema_of_the_compiled_files() -> None:
    # a compiled class has no annotations that msgspec could read: what fits a schema would not be found out
    assert [
        name for name in COMPILED["files"] if _imports((ROOT / name).read_text()) - {"Struct", "field", "structs"}
    ] == []


def _imports(source: str) -> set[str]:
    """Return what is imported of msgspec, but for the names of msgspec.structs."""
    nodes = [*ast.walk(ast.parse(source))]
    found = {name.name for node in nodes if isinstance(node, ast.Import) for name in node.names}
    modules = {node.module or "": node for node in nodes if isinstance(node, ast.ImportFrom)}
    names = {name.name for name in modules["msgspec"].names} if "msgspec" in modules else set()
    return names | {name for name in {*found, *modules} if name.startswith("msgspec.") and name != "msgspec.structs"}


def test_mypy_looks_for_lines_that_it_believes_are_never_reached() -> None:
    # `self.a = None`, then a call that sets it: mypy still believes None there, and the compiled file insists on it
    looked_at = [each["module"] for each in _TOOLS["mypy"]["overrides"] if each.get("warn_unreachable")]
    assert looked_at == [[name.removesuffix(".py").replace("/", ".") for name in COMPILED["files"]]]


def test_all_relays_are_compiled_or_none() -> None:
    # an interpreted class cannot derive from a compiled one
    relays = {f"proxy/pipeline/relay/{path.name}" for path in (ROOT / "proxy/pipeline/relay").glob("[!_]*.py")}
    assert relays <= {*COMPILED["files"]}


def test_what_is_removed_halfway_is_removed_the_next_time(tmp_path: Path) -> None:
    shutil.copy(ROOT / "hatch_build.py", tmp_path)
    stamp, stubborn = tmp_path / "proxy" / "compiled.json", tmp_path / "proxy" / "clock.so"
    stubborn.mkdir(parents=True)  # no file: removing it fails
    stamp.write_text("{}")
    remove = [sys.executable, "hatch_build.py", "remove"]
    assert subprocess.run(remove, cwd=tmp_path, capture_output=True, check=False).returncode != 0
    assert stamp.exists(), "scripts/setup --pure would find nothing to remove"
    stubborn.rmdir()
    stubborn.write_text("")
    subprocess.run(remove, cwd=tmp_path, check=True)
    assert (stamp.exists(), stubborn.exists()) == (False, False)


def test_the_list_is_in_order() -> None:
    files = COMPILED["files"]
    assert files == sorted(set(files))
    assert [name for name in files if not (ROOT / name).is_file()] == []


def test_it_is_built_with_the_mypy_that_checks_the_types() -> None:
    locked = [line.split(" ")[0] for line in (ROOT / "requirements-dev.lock").read_text().splitlines()]
    assert set(COMPILED["requires"]) & {*locked} == {f"mypy=={_version('mypy', locked)}"}


def _version(package: str, locked: list[str]) -> str:
    return next(line.removeprefix(f"{package}==") for line in locked if line.startswith(f"{package}=="))
