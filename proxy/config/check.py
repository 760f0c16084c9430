"""From the type of a setting to the voluptuous schema of what may be written for it, and from its errors to faults.

A type is one of Python's with marks around it: ``Annotated[int, Reader(whole)]``. Marks before it run from
the last to the first, those after it from the first to the last.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from types import UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

import voluptuous as vol

from proxy.config.diagnostic import SettingError

Path = tuple[str | int, ...]

KEY: Final = "[key]"
"""The last step of the path of a mistake in a name."""
_VALUE: Final = "[value]"  # the step to the value of an entry, which no path of a fault has
NO_BLOCK: Final = "must be a block of settings (name: value)"


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


class FaultInvalid(vol.Invalid):
    """Carries a fault through the schemas around the value that it is of."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(str(fault.error), list(fault.path))
        self.fault = fault


def fault_of(error: vol.Invalid) -> Fault:
    """Return what an error of a schema says; its path is that of the schema."""
    steps = (step if isinstance(step, int) else str(step) for step in error.path if step is not _VALUE)
    path: Path = tuple(steps)
    if isinstance(error, FaultInvalid):
        return Fault(path, error.fault.error, is_unknown=error.fault.is_unknown, is_missing=error.fault.is_missing)
    is_missing = isinstance(error, vol.RequiredFieldInvalid)
    return Fault(path, SettingError(error.msg, show=not is_missing), is_missing=is_missing)


def validator(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return a function that raises SettingError or BlockError as one that a schema can run."""

    @wraps(function)
    def run(value: Any) -> Any:
        try:
            return function(value)
        except BlockError as error:  # of a function that looked at parts of the value
            raise vol.MultipleInvalid([FaultInvalid(fault) for fault in error.faults]) from None
        except SettingError as error:
            raise FaultInvalid(Fault((), error)) from None
        except ValueError as error:
            raise FaultInvalid(Fault((), SettingError(str(error), show=False))) from None

    return run


class Reader:
    """A function that a value passes first; it raises SettingError."""

    __slots__ = ("function",)

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self.function = function

    def around(self, schema: Any) -> Any:
        """Return the schema with the function in front of it."""
        return vol.All(validator(self.function), schema)


class Rule:
    """A function that a value passes last; it raises SettingError."""

    __slots__ = ("function",)

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self.function = function

    def around(self, schema: Any) -> Any:
        """Return the schema with the function behind it."""
        return vol.All(schema, validator(self.function))


class FewestEntries:
    """The fewest entries of a list."""

    __slots__ = ("entries",)

    def __init__(self, entries: int) -> None:
        self.entries = entries

    def around(self, schema: Any) -> Any:
        """Return the schema with one of the length behind it."""
        return vol.All(schema, vol.Length(min=self.entries, msg=f"must have at least {self.entries} entry"))


class Otherwise:
    """What a value must be that fits none of several types."""

    __slots__ = ("must",)

    def __init__(self, must: str) -> None:
        self.must = must

    def around(self, schema: Any) -> Any:
        """Return the schema with the text in place of those of its parts."""
        return vol.All(schema, msg=self.must)


class EditorSchema:
    """What editors are told of the type, where that is not what Python's type says."""

    __slots__ = ("schema",)

    def __init__(self, schema: dict[str, Any]) -> None:
        self.schema = schema

    def around(self, schema: Any) -> Any:
        """Return the schema as it is."""
        return schema


class Bounds:
    """The least (ge), the most (le), and what a number must be above (gt); None bounds nothing."""

    __slots__ = ("ge", "gt", "le")

    def __init__(self, ge: float | None = None, gt: float | None = None, le: float | None = None) -> None:
        self.ge, self.gt, self.le = ge, gt, le

    def around(self, schema: Any) -> Any:
        """Return the schema with the bounds behind it."""
        ranges = []
        if self.gt is not None:
            ranges.append(vol.Range(min=self.gt, min_included=False, msg=f"must be more than {_written(self.gt)}"))
        if self.ge is not None:
            ranges.append(vol.Range(min=self.ge, msg=f"must be at least {_written(self.ge)}"))
        if self.le is not None:
            ranges.append(vol.Range(max=self.le, msg=f"must be at most {_written(self.le)}"))
        return vol.All(schema, *ranges) if ranges else schema


def _written(number: float) -> str:
    return str(int(number) if isinstance(number, float) and number.is_integer() else number)


def schema_of(annotation: Any, bounds: Bounds | None = None) -> Any:
    """Return what voluptuous makes a schema of, for a type; raises TypeError for one that no setting has.

    The bounds are of the first of several types. It is a new one each time: a schema writes into its parts.
    """
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Union or origin is UnionType:
        first, *others = parts
        return vol.Any(schema_of(first, bounds), *(schema_of(kind) for kind in others))
    if bounds is not None:
        return bounds.around(schema_of(annotation))
    if origin is Annotated:
        schema = schema_of(parts[0])
        for mark in parts[1:]:
            schema = mark.around(schema)
        return schema
    if origin is Literal:
        must, kinds = _one_of(parts), dict.fromkeys(map(type, parts))  # 3.0 equals 3, and is not written so
        return vol.All(vol.Any(*kinds, msg=must), vol.In(parts, msg=must), lambda word: parts[parts.index(word)])
    if origin is tuple:
        # As a mapping by number: a list stops at its first entry with a mistake inside.
        return vol.All(validator(_by_number), {int: schema_of(parts[0])}, lambda found: tuple(found.values()))
    if origin is dict:
        # Each entry as a block of its name and its value, so that both are looked at.
        entry = {KEY: schema_of(parts[0]), _VALUE: schema_of(parts[1])}
        return vol.All(validator(_entries), {object: entry}, _named)
    if annotation is Any:
        return object
    if annotation is type(None):
        return None
    if not isinstance(annotation, type):
        raise TypeError(f"no setting can be {annotation}")
    if annotation is str:
        return vol.All(vol.Msg(str, "must be text"), str)
    read_block = getattr(annotation, "read", None)
    return vol.Msg(annotation, f"must be a {annotation.__name__}") if read_block is None else validator(read_block)


def _one_of(words: tuple[Any, ...]) -> str:
    *first, last = (f'"{word}"' if isinstance(word, str) else str(word) for word in words)
    return f"must be {', '.join(first)} or {last}" if first else f"must be {last}"


def _by_number(value: Any) -> dict[int, Any]:
    if not isinstance(value, list | tuple):
        raise SettingError("must be a list")
    return dict(enumerate(value))


def _entries(value: Any) -> dict[Any, dict[str, Any]]:
    if not isinstance(value, Mapping):
        raise SettingError(NO_BLOCK)
    return {name: {KEY: name, _VALUE: item} for name, item in value.items()}


def _named(entries: dict[Any, dict[str, Any]]) -> dict[Any, Any]:
    return {entry[KEY]: entry[_VALUE] for entry in entries.values()}
