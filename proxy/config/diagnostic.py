"""What is wrong with a setting, in the two shapes it takes on its way to the person who wrote it."""

from collections.abc import Sequence

from msgspec import Struct

from proxy.core.errors import ConfigError


class SettingError(ValueError):
    """A check of one value failed: what the value must be, without the value itself.

    Whoever prints it knows whether the value may be shown. must reads on after the setting's name ("must be a
    whole number"); advice is a sentence of its own that tells what to write; key names the entry at fault
    inside a block that is checked as a whole; show is False if the text itself says what was found.
    """

    def __init__(self, must: str, advice: str = "", *, key: str | None = None, show: bool = True) -> None:
        super().__init__(f"{must}. {advice}" if advice else must)
        self.must = must
        self.advice = advice
        self.key = key
        self.show = show


class Mark(Struct, frozen=True):
    """A place in the file, counted from 0."""

    line: int
    column: int


class Diagnostic(Struct, frozen=True):
    """One mistake of a file: where (None: nowhere in the file), and whole sentences about what to do.

    origin names the flag or variable that the value came from, where it was not the file.
    """

    text: str
    mark: Mark | None = None
    path: str = ""
    origin: str = ""
    above: int | None = None  # an earlier line that the text refers to, to be shown too


class MistakesError(ConfigError):
    """A configuration with mistakes: its text has them all, diagnostics one by one, with secrets masked in both."""

    def __init__(self, text: str, diagnostics: Sequence[Diagnostic]) -> None:
        super().__init__(text)
        self.diagnostics = tuple(diagnostics)
