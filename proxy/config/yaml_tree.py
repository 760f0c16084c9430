"""YAML text as a tree of nodes that know where they stand.

The tree is built from the parser's events instead of PyYAML's composer, which recurses in C without a bound,
drops what a duplicate key held before, and expands aliases freely. Nothing in here knows what a setting is.
"""

import yaml
from msgspec import Struct, field

from proxy.config.diagnostic import Diagnostic, Mark
from proxy.config.yaml_errors import explain

try:
    from yaml import CSafeLoader as Loader  # libyaml: ten times as fast
except ImportError:  # PyYAML was built without it; the texts of some syntax mistakes are then PyYAML's own
    from yaml import SafeLoader as Loader  # type: ignore[assignment]

MAX_BYTES = 10 * 2**20  # a thousand users take 200 KiB; more than this is not a configuration
MAX_DEPTH = 40  # the deepest setting is 7 levels down; free JSON of a preset's defaults takes some more
MAX_NODES = 200_000  # with aliases written out: what is read, checked and held in memory stays bounded


class UnreadableError(ValueError):
    """The text is no tree at all; mistake says why. Nothing can be said about the settings in it."""

    def __init__(self, mistake: Diagnostic) -> None:
        super().__init__(mistake.text)
        self.mistake = mistake


class ScalarNode(Struct, frozen=True):
    text: str
    plain: bool  # stood without quotes
    mark: Mark
    size: int = 1


class SequenceNode(Struct):
    mark: Mark
    items: list["Node"] = field(default_factory=list)
    size: int = 1


class MappingNode(Struct):
    mark: Mark
    entries: dict[str, "Entry"] = field(default_factory=dict)
    size: int = 1


Node = ScalarNode | SequenceNode | MappingNode


class Entry(Struct, frozen=True):
    key_mark: Mark
    node: Node


class Tree(Struct):
    """root is None for an empty file; mistakes are those that leave a tree behind, like a duplicate key."""

    root: Node | None
    mistakes: list[Diagnostic]


def parse(text: str) -> Tree:
    """Build the tree of one document; raise Unreadable with a place and advice."""
    try:
        return _Builder(text).build()
    except yaml.YAMLError as error:
        raise UnreadableError(explain(text, error)) from None


class _Builder:
    def __init__(self, text: str) -> None:
        self._events = yaml.parse(text, Loader=Loader)
        self._anchors: dict[str, Node] = {}
        self._mistakes: list[Diagnostic] = []

    def build(self) -> Tree:
        root: Node | None = None
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                if root is not None:
                    raise UnreadableError(Diagnostic("a second document begins here. Keep one.", _mark(event)))
                root = self._node(next(self._events), 0)
        if isinstance(root, ScalarNode) and root.plain and root.text == "":
            root = None  # nothing but comments
        return Tree(root, self._mistakes)

    def _node(self, event: yaml.Event, depth: int) -> Node:
        mark = _mark(event)
        if depth > MAX_DEPTH:
            raise UnreadableError(Diagnostic(f"nested more than {MAX_DEPTH} deep.", mark))
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event.anchor, mark)
        if getattr(event, "tag", None) is not None:
            self._mistakes.append(Diagnostic("tags like !x have no meaning here. Put quotes around the text.", mark))
        node: Node
        if isinstance(event, yaml.ScalarEvent):
            node = ScalarNode(event.value, bool(event.implicit[0]), mark)
        elif isinstance(event, yaml.SequenceStartEvent):
            node = self._sequence(mark, depth)
        else:
            node = self._mapping(mark, depth)
        if node.size > MAX_NODES:
            raise UnreadableError(Diagnostic(f"more than {MAX_NODES} values; a file of settings has fewer.", mark))
        anchor = getattr(event, "anchor", None)
        if anchor:
            self._anchors[anchor] = node
        return node

    def _alias(self, name: str | None, mark: Mark) -> Node:
        if name is None or name not in self._anchors:
            text = f'"*{name}" refers to an anchor &{name} that is not defined before it. '
            raise UnreadableError(
                Diagnostic(f'{text}If the text itself is meant, put quotes around it: "*{name}".', mark)
            )
        return self._anchors[name]

    def _sequence(self, mark: Mark, depth: int) -> SequenceNode:
        node = SequenceNode(mark)
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            item = self._node(event, depth + 1)
            node.items.append(item)
            self._grow(node, item)
        return node

    def _mapping(self, mark: Mark, depth: int) -> MappingNode:
        node = MappingNode(mark)
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._node(event, depth + 1)
            value = self._node(next(self._events), depth + 1)
            self._grow(node, value)
            key_mark = _mark(event)
            if not isinstance(key, ScalarNode):
                self._mistakes.append(Diagnostic("a name must be text, not a list or block.", key_mark))
            elif key.text in node.entries:
                first = node.entries[key.text].key_mark.line + 1
                self._mistakes.append(
                    Diagnostic(f'"{key.text}" stands here a second time; the first is in line {first}.', key_mark)
                )
            else:
                node.entries[key.text] = Entry(key_mark, value)
        return node

    def _grow(self, node: SequenceNode | MappingNode, child: Node) -> None:
        node.size += child.size
        if node.size > MAX_NODES:
            raise UnreadableError(Diagnostic(f"more than {MAX_NODES} values; a file of settings has fewer.", node.mark))


def _mark(event: yaml.Event) -> Mark:
    mark = event.start_mark
    return Mark(mark.line, mark.column) if mark is not None else Mark(0, 0)
