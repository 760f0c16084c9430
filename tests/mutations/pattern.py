"""Search for a piece of syntax in a tree, and its replacement. Positions, formatting and comments are not compared."""

import ast
from collections.abc import Iterator
from typing import NamedTuple

from tests.mutations.mutation import MutationError

_NOT_COMPARED = frozenset({"kind", "type_comment"})

Run = list[ast.AST]
Holes = list[Run]  # what each `...` of a pattern stands for, in order


class Place(NamedTuple):
    """Where a pattern occurs: the items [start:stop] of a list field of `parent`, or a whole field (start is None)."""

    parent: ast.AST
    field: str
    start: int | None
    stop: int
    holes: Holes


def replace_once(scope: ast.AST, old: str, new: str) -> None:
    """Replace the one occurrence of `old` below a node. Raises MutationError where there is none, or several."""
    pattern, template = parse_pair(old, new)
    found = list(_places(scope, pattern))
    if len(found) != 1:
        raise MutationError(f"{len(found)} places like: {old}")
    place = found[0]
    filled = _fill_list(template, iter(place.holes))
    if place.start is None:
        setattr(place.parent, place.field, _only(filled))
    else:
        getattr(place.parent, place.field)[place.start : place.stop] = filled


def parse_pair(old: str, new: str) -> tuple[Run, Run]:
    """Return both texts as syntax: one expression each, or statements where one of them is no expression."""
    try:
        return [ast.parse(old, mode="eval").body], [ast.parse(new, mode="eval").body]
    except SyntaxError:
        return list(ast.parse(old).body), list(ast.parse(new).body)


def _places(scope: ast.AST, pattern: Run) -> Iterator[Place]:
    for parent in ast.walk(scope):
        for field, value in ast.iter_fields(parent):
            if isinstance(value, list):
                for start in range(len(value) - len(pattern) + 1):
                    stop = start + len(pattern)
                    holes: Holes = []
                    if all(map(_matches, pattern, value[start:stop], [holes] * len(pattern))):
                        yield Place(parent, field, start, stop, holes)
            elif isinstance(value, ast.expr) and _matches(pattern[0], value, holes := []):
                yield Place(parent, field, None, 0, holes)


def _matches(pattern: object, value: object, holes: Holes) -> bool:
    if _is_hole(pattern) and isinstance(value, ast.expr):
        holes.append([value])
        return True
    if type(pattern) is not type(value):
        return False
    if isinstance(pattern, list) and isinstance(value, list):
        return _matches_list(pattern, value, holes)
    if isinstance(pattern, ast.AST):
        return all(
            _matches(part, getattr(value, name), holes)
            for name, part in ast.iter_fields(pattern)
            if name not in _NOT_COMPARED
        )
    return pattern == value


def _matches_list(pattern: list[object], value: list[object], holes: Holes) -> bool:
    at = [place for place, item in enumerate(pattern) if _is_hole(item)]
    if not at:
        return len(pattern) == len(value) and all(map(_matches, pattern, value, [holes] * len(pattern)))
    if len(at) > 1:
        raise MutationError("a list of a pattern has more than one `...`")
    head, tail = pattern[: at[0]], pattern[at[0] + 1 :]
    stop = len(value) - len(tail)
    if stop < len(head) or not _matches_list(head, value[: len(head)], holes):
        return False
    holes.append([item for item in value[len(head) : stop] if isinstance(item, ast.AST)])
    return _matches_list(tail, value[stop:], holes)


def _is_hole(node: object) -> bool:
    inner = node.value if isinstance(node, ast.Expr) else node
    return isinstance(inner, ast.Constant) and inner.value is ...


def _fill(template: ast.AST, holes: Iterator[Run]) -> ast.AST:
    for field, value in ast.iter_fields(template):
        if isinstance(value, list):
            setattr(template, field, _fill_list(value, holes))
        elif isinstance(value, ast.AST):
            setattr(template, field, _only(_fill_list([value], holes)))
    return template


def _fill_list(templates: list[ast.AST], holes: Iterator[Run]) -> list[ast.AST]:
    """Return the items with each `...` replaced by the next run; raises MutationError where there is none left."""
    filled: list[ast.AST] = []
    for item in templates:
        if not _is_hole(item):
            filled.append(_fill(item, holes) if isinstance(item, ast.AST) else item)
            continue
        run = next(holes, None)
        if run is None:
            raise MutationError("`new` has more `...` than `old`")
        filled += run
    return filled


def _only(nodes: list[ast.AST]) -> ast.AST:
    if len(nodes) != 1:
        raise MutationError(f"{len(nodes)} items where one has to stand")
    return nodes[0]
