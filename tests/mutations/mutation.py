"""A planted bug: what it stands for, the changes of the program that make it, the tests that must fail with it."""

from typing import NamedTuple


class MutationError(Exception):
    """A patch that does not fit the tree, or tests that fail without any bug."""


class Patch(NamedTuple):
    """A change of code inside one definition of `proxy`, compared as syntax: formatting and comments do not matter.

    at: the qualified name of a function, class or constant, such as "QuotaBook.release" or "_KINDS"; where several
    files define it, after the end of its module's name: "pipeline.settle:_unknown".
    old: an expression, or statements that follow one another; must occur exactly once there. In a list of statements,
    arguments or items `...` stands for any run of them, elsewhere for any one expression.
    new: what takes its place; nothing deletes statements. Its `...` are what those of `old` stood for, in order.
    """

    at: str
    old: str
    new: str = ""


class TextPatch(NamedTuple):
    """A change inside a string of one definition, such as SQL; `old` must occur there exactly once, as it is written.

    at: as in Patch.
    """

    at: str
    old: str
    new: str


class Mutation(NamedTuple):
    """failure: what went wrong elsewhere, or would go wrong here. tests: pytest's names of those that must fail."""

    name: str
    failure: str
    patches: tuple[Patch | TextPatch, ...]
    tests: tuple[str, ...]
