"""The sources of the program in a folder: where each name is defined, and what they are with a mutation."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from tests.mutations.mutation import Mutation, MutationError, Patch, TextPatch
from tests.mutations.pattern import replace_once

_PACKAGE = "proxy"


class SourceTree:
    """The Python files below a root. They are read for names once: a name may not move to another file meanwhile."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._files_of: dict[str, list[Path]] = defaultdict(list)  # by qualified name, one entry a definition
        for path in sorted((root / _PACKAGE).rglob("*.py")):
            for name, _ in _definitions(ast.parse(path.read_bytes())):
                self._files_of[name].append(path)

    def mutated(self, mutation: Mutation) -> dict[Path, str]:
        """Return the texts of the files that a mutation changes. Raises MutationError where a patch does not fit."""
        modules: dict[Path, ast.Module] = {}
        for patch in mutation.patches:
            path = self.file_of(patch.at)
            if path not in modules:
                modules[path] = ast.parse(path.read_bytes())
            try:
                _change(_definition(modules[path], patch.at.rpartition(":")[2]), patch)
            except MutationError as error:
                raise MutationError(f"{patch.at} in {path.relative_to(self.root)}: {error}") from None
        return {path: ast.unparse(ast.fix_missing_locations(module)) + "\n" for path, module in modules.items()}

    def file_of(self, at: str) -> Path:
        """Return the one file that defines a name; raises MutationError where there is none, or several."""
        module, _, name = at.rpartition(":")
        files = [path for path in self._files_of.get(name, ()) if not module or self._is_module(path, module)]
        if len(files) != 1:
            where = ", ".join(str(path.relative_to(self.root)) for path in files) or "no file"
            raise MutationError(f"{at} must have one definition, and is in {where}")
        return files[0]

    def _is_module(self, path: Path, module: str) -> bool:
        full = ".".join(path.relative_to(self.root).with_suffix("").parts).removesuffix(".__init__")
        return f".{full}".endswith(f".{module}")


def _definition(module: ast.Module, name: str) -> ast.stmt:
    return next(node for found, node in _definitions(module) if found == name)


def _definitions(parent: ast.AST, prefix: str = "") -> Iterator[tuple[str, ast.stmt]]:
    """Yield functions and classes at any depth and the names that modules and classes assign, all by qualified name."""
    for node in _statements(parent):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield prefix + node.name, node
            yield from _definitions(node, f"{prefix}{node.name}.")
        elif isinstance(parent, ast.Module | ast.ClassDef):
            yield from ((prefix + name, node) for name in _assigned(node))


def _statements(parent: ast.AST) -> Iterator[ast.stmt]:
    """Yield the statements of a module, class or function, also those inside others such as `if` and `try`."""
    for node in ast.iter_child_nodes(parent):
        if isinstance(node, ast.stmt):
            yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.expr):
            yield from _statements(node)


def _assigned(node: ast.stmt) -> Iterator[str]:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    yield from (target.id for target in targets if isinstance(target, ast.Name))


def _change(scope: ast.stmt, patch: Patch | TextPatch) -> None:
    if isinstance(patch, Patch):
        replace_once(scope, patch.old, patch.new)
        return
    constants = [node for node in ast.walk(scope) if isinstance(node, ast.Constant)]
    texts = [node.value if isinstance(node.value, str) else "" for node in constants]
    count = sum(text.count(patch.old) for text in texts)
    if count != 1:
        raise MutationError(f"{count} places with the text: {patch.old}")
    for node, text in zip(constants, texts, strict=True):
        if patch.old in text:
            node.value = text.replace(patch.old, patch.new)
