"""From a setting's path to its place in the file, and to the block that it belongs to."""

from collections.abc import Sequence as SequenceOf
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from msgspec import Struct

from proxy.config.block import Block
from proxy.config.check import KEY, Path
from proxy.config.diagnostic import Mark
from proxy.config.older_names import older_names
from proxy.config.schema import Settings
from proxy.config.yaml_tree import MappingNode, Node, ScalarNode, SequenceNode


class SettingPlace(Struct, frozen=True):
    """Where a setting stands: its path as written, its marks, and its node if it is there.

    Where the setting is missing, the marks are those of the nearest block around it.
    """

    path: Path
    mark: Mark
    key_mark: Mark
    node: Node | None


def locate(root: Node | None, path: SequenceOf[str | int]) -> SettingPlace:
    """Find the place of a path of the schema in the tree, skipping the steps that short forms omit."""
    top = Mark(0, 0)
    node: Node | None = root
    mark = key_mark = root.mark if root is not None else top
    walked: list[str | int] = []
    for position, step in enumerate(path):
        if step == KEY:
            break
        entry = _entry(node, tuple(path[:position]), step)
        if entry is not None:
            name, key_mark, node = entry
            mark = node.mark
            walked.append(name)
        elif isinstance(node, SequenceNode) and isinstance(step, int) and step < len(node.items):
            node = node.items[step]
            mark = key_mark = node.mark
            walked.append(step)
        elif not _is_left_out(node, step):
            rest = [step for step in path[position:] if step != KEY]
            return SettingPlace((*walked, *rest), key_mark, key_mark, None)
    return SettingPlace(tuple(walked), mark, key_mark, node)


def _entry(node: Node | None, block: Path, step: str | int) -> tuple[str, Mark, Node] | None:
    if not isinstance(node, MappingNode) or not isinstance(step, str):
        return None
    for name in (step, *older_names(block, step)):
        if name in node.entries:
            return name, node.entries[name].key_mark, node.entries[name].node
    return None


def _is_left_out(node: Node | None, step: str | int) -> bool:
    """Return whether a short form omits this step: a preset's targets, or a list of one value."""
    if isinstance(step, int):
        return isinstance(node, ScalarNode | MappingNode)
    return step == "targets" and isinstance(node, ScalarNode | SequenceNode)


def written(path: Path) -> str:
    """Return the path as people write it: presets.fast[1]."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def block_at(path: SequenceOf[str | int]) -> type[Block] | None:
    """Return the model of the block at the path, or None if there is none."""
    kind: Any = Settings
    for step in path:
        kind = _inside(kind, step)
        if kind is None:
            return None
    return kind if isinstance(kind, type) and issubclass(kind, Block) else None


def _inside(kind: Any, step: str | int) -> Any:
    if isinstance(kind, type) and issubclass(kind, Block):
        field = kind.fields.get(str(step))
        return _bare(field.annotation) if field is not None else None
    if get_origin(kind) is dict and isinstance(step, str):
        return _bare(get_args(kind)[1])
    if get_origin(kind) is tuple and isinstance(step, int):
        return _bare(get_args(kind)[0])
    return None


def _bare(kind: Any) -> Any:
    if get_origin(kind) is Annotated:
        return _bare(get_args(kind)[0])
    if get_origin(kind) in (Union, UnionType):
        return _bare(next(arg for arg in get_args(kind) if arg is not type(None)))
    return kind
