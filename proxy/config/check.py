"""From the type of a setting to the check of its value: what may be written becomes what the program reads.

A type is one of Python's with marks around it: ``Annotated[int, BeforeValidator(whole)]``. The marks have the names
that pydantic gives to the same, and their order means the same: validators before it run from the last to the first,
those after it from the first to the last. A start that loads pydantic itself takes 13 MB and a fifth more time.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from types import UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from proxy.config.diagnostic import SettingError

Path = tuple[str | int, ...]

KEY: Final = "[key]"
"""The last step of the path of a mistake in a name."""
NO_BLOCK: Final = "must be a block of settings (name: value)"
WRONG: Final = object()
"""What a check returns that has found a fault."""


class Fault:
    """One thing that is wrong with a setting: where, and what; is_unknown and is_missing are about its name."""

    __slots__ = ("error", "is_missing", "is_unknown", "path")

    def __init__(self, path: Path, error: SettingError, *, is_unknown: bool = False, is_missing: bool = False) -> None:
        self.path = path
        self.error = error
        self.is_unknown = is_unknown
        self.is_missing = is_missing

    @property
    def place(self) -> str:
        """Return the path with dots."""
        return ".".join(map(str, self.path))

    def below(self, path: Path) -> "Fault":
        """Return the fault as one of a block that stands at path."""
        return Fault((*path, *self.path), self.error, is_unknown=self.is_unknown, is_missing=self.is_missing)


class BlockError(ValueError):
    """A block of settings with faults, in the order of its settings. No value is in its text."""

    def __init__(self, name: str, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join([f"{name}:", *(f"{one.place}: {one.error}" for one in self.faults)]))


Check = Callable[[Any, Path, list[Fault]], Any]
"""Returns what a value means, or WRONG with the faults added to the list; the path is the value's."""


class BeforeValidator:
    """A function that a value passes first; it raises SettingError."""

    __slots__ = ("function",)

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self.function = function

    def around(self, check: Check) -> Check:
        """Return the check with the function in front of it."""
        function = self.function

        def checked(value: Any, path: Path, faults: list[Fault]) -> Any:
            found = passed(function, value, path, faults)
            return found if found is WRONG else check(found, path, faults)

        return checked


class AfterValidator:
    """A function that a value passes last; it raises SettingError."""

    __slots__ = ("function",)

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self.function = function

    def around(self, check: Check) -> Check:
        """Return the check with the function behind it."""
        function = self.function

        def checked(value: Any, path: Path, faults: list[Fault]) -> Any:
            found = check(value, path, faults)
            return found if found is WRONG else passed(function, found, path, faults)

        return checked


class PlainValidator:
    """A function that is all there is to check; it raises SettingError."""

    __slots__ = ("function",)

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self.function = function

    def around(self, check: Check) -> Check:  # noqa: ARG002 - in its place
        """Return the function as a check."""
        function = self.function
        return lambda value, path, faults: passed(function, value, path, faults)


class MinLength:
    """The fewest entries of a list."""

    __slots__ = ("entries",)

    def __init__(self, entries: int) -> None:
        self.entries = entries

    def around(self, check: Check) -> Check:
        """Return the check with one of the length behind it."""

        def long_enough(found: Any) -> Any:
            if len(found) < self.entries:
                raise SettingError(f"must have at least {self.entries} entry")
            return found

        return AfterValidator(long_enough).around(check)


class WithJsonSchema:
    """What editors are told of the type, where that is not what Python's type says."""

    __slots__ = ("schema",)

    def __init__(self, schema: dict[str, Any]) -> None:
        self.schema = schema

    def around(self, check: Check) -> Check:
        """Return the check as it is."""
        return check


class Bounds:
    """The least (ge), the most (le), and what a number must be above (gt); None bounds nothing."""

    __slots__ = ("ge", "gt", "le")

    def __init__(self, ge: float | None = None, gt: float | None = None, le: float | None = None) -> None:
        self.ge, self.gt, self.le = ge, gt, le

    def around(self, check: Check) -> Check:
        """Return the check with the bounds behind it."""
        if self.ge is self.gt is self.le is None:
            return check
        return AfterValidator(self._within).around(check)

    def _within(self, number: Any) -> Any:
        if number is None:
            return None
        if self.gt is not None and not number > self.gt:
            raise SettingError(f"must be more than {_written(self.gt)}")
        if self.ge is not None and not number >= self.ge:
            raise SettingError(f"must be at least {_written(self.ge)}")
        if self.le is not None and not number <= self.le:
            raise SettingError(f"must be at most {_written(self.le)}")
        return number


def _written(number: float) -> str:
    return str(int(number) if isinstance(number, float) and number.is_integer() else number)


def passed(function: Callable[[Any], Any], value: Any, path: Path, faults: list[Fault]) -> Any:
    """Return what a function makes of a value; WRONG where it raises, with what it raised among the faults."""
    try:
        return function(value)
    except BlockError as error:  # of a function that looked at parts of the value
        faults += [fault.below(path) for fault in error.faults]
    except SettingError as error:
        faults.append(Fault(path, error))
    except ValueError as error:
        faults.append(Fault(path, SettingError(str(error), show=False)))
    return WRONG


@cache
def check_of(annotation: Any) -> Check:
    """Return the check of a type; raises TypeError for one that no setting has."""
    origin = get_origin(annotation)
    if origin is Annotated:
        inner, *marks = get_args(annotation)
        check = check_of(inner)
        for mark in marks:
            check = mark.around(check)
        return check
    if origin is Union or origin is UnionType:
        return _one_of(get_args(annotation))
    if origin is Literal:
        return _word_of(get_args(annotation))
    if origin is tuple:
        return _list_of(check_of(get_args(annotation)[0]))
    if origin is dict:
        return _mapping_of(*map(check_of, get_args(annotation)))
    if annotation is Any:
        return lambda value, path, faults: value  # noqa: ARG005 - what a check is asked with
    if not isinstance(annotation, type):
        raise TypeError(f"no setting can be {annotation}")
    block_check: Check | None = getattr(annotation, "read", None)
    return _instance_of(annotation) if block_check is None else block_check


def _one_of(kinds: tuple[Any, ...]) -> Check:
    """Check for the first of several types that a value fits."""
    checks = [check_of(kind) for kind in kinds if kind is not type(None)]
    takes_none = len(checks) < len(kinds)

    def checked(value: Any, path: Path, faults: list[Fault]) -> Any:
        if value is None and takes_none:
            return None
        if len(checks) == 1:
            return checks[0](value, path, faults)
        of_each: list[Fault] = []
        for check in checks:
            found = check(value, path, of_each)
            if found is not WRONG:
                return found
        first, *others = (fault.error.must for fault in of_each)
        must = ", or ".join([first, *(other.removeprefix("must be ") for other in others)])
        faults.append(Fault(path, SettingError(must)))
        return WRONG

    return checked


def _word_of(words: tuple[Any, ...]) -> Check:
    *first, last = (f'"{word}"' if isinstance(word, str) else str(word) for word in words)
    must = f"must be {', '.join(first)} or {last}" if first else f"must be {last}"

    def checked(value: Any, path: Path, faults: list[Fault]) -> Any:
        for word in words:
            if value == word and isinstance(value, type(word)):
                return word
        faults.append(Fault(path, SettingError(must)))
        return WRONG

    return checked


def _list_of(check: Check) -> Check:
    def checked(value: Any, path: Path, faults: list[Fault]) -> Any:
        if not isinstance(value, list | tuple):
            faults.append(Fault(path, SettingError("must be a list")))
            return WRONG
        found = tuple(check(item, (*path, number), faults) for number, item in enumerate(value))
        return WRONG if WRONG in found else found

    return checked


def _mapping_of(check_name: Check, check: Check) -> Check:
    def checked(value: Any, path: Path, faults: list[Fault]) -> Any:
        if not isinstance(value, Mapping):
            faults.append(Fault(path, SettingError(NO_BLOCK)))
            return WRONG
        found = {
            check_name(name, (*path, name, KEY), faults): check(item, (*path, name), faults)
            for name, item in value.items()
        }
        return WRONG if WRONG in found or any(item is WRONG for item in found.values()) else found

    return checked


def _instance_of(kind: type) -> Check:
    def checked(value: Any, path: Path, faults: list[Fault]) -> Any:
        if isinstance(value, kind):
            return str(value) if kind is str else value
        faults.append(Fault(path, SettingError("must be text" if kind is str else f"must be a {kind.__name__}")))
        return WRONG

    return checked
