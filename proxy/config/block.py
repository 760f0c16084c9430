"""How settings are described: a field with its default, what it does and why the default is what it is.

A block speaks as pydantic's models do where both have a word for something; what its fields check is in check.py.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ClassVar, Literal, Self, TypeVar

from proxy.config.check import (
    NO_BLOCK,
    WRONG,
    AfterValidator,
    BeforeValidator,
    BlockError,
    Bounds,
    Check,
    Fault,
    Path,
    check_of,
    passed,
)
from proxy.config.diagnostic import SettingError

DAY_S = 86_400
_NO_DEFAULT: Any = object()
F = TypeVar("F")


class Field:
    """One setting of a block: its type as written, its default, its texts, its bounds."""

    __slots__ = ("_made", "annotation", "bounds", "default", "default_factory", "description", "restart", "why")

    def __init__(self, default: Any, description: str, why: str, *, restart: bool, bounds: Bounds) -> None:
        """Keep what describes it; a default that is a block's class stands for a block with all defaults."""
        self.annotation: Any = None  # until its block is there
        self.default_factory: type[Block] | None = default if isinstance(default, type) else None
        self.default = default
        self.description = description
        self.why = why
        self.restart = restart  # a running proxy cannot take a new value
        self.bounds = bounds
        self._made: Block | None = None

    def is_required(self) -> bool:
        return self.default is _NO_DEFAULT

    def get_default(self) -> Any:
        """Return the default; a block is made once, when it is needed first."""
        if self.default_factory is None:
            return self.default
        if self._made is None:
            self._made = self.default_factory()
        return self._made


def setting(
    default: Any,
    help_: str,
    why: str = "",
    *,
    restart: bool = False,
    ge: float | None = None,
    gt: float | None = None,
    le: float | None = None,
) -> Any:
    """Describe a setting; restart tells that a running proxy cannot take a new value.

    A block's default is given as its class: it is made with the first block that needs it.
    """
    return Field(default, help_, why, restart=restart, bounds=Bounds(ge, gt, le))


def required(help_: str, *, ge: float | None = None, le: float | None = None) -> Any:
    return Field(_NO_DEFAULT, help_, "", restart=False, bounds=Bounds(ge, None, le))


def field_validator(*names: str, mode: Literal["before", "after", "beside"] = "after") -> Callable[[F], F]:
    """Mark a class method that checks fields before or after their types do, and may raise SettingError.

    beside: after, and its first argument is a mapping of the fields in front of it that are right.
    """

    def marked(method: F) -> F:
        vars(_function_of(method))["checks_fields"] = (names, mode)
        return method

    return marked


def model_validator(*, mode: Literal["before", "after"]) -> Callable[[F], F]:
    """Mark what checks a block as a whole: before, a class method of what is written; after, a method of the block."""

    def marked(method: F) -> F:
        vars(_function_of(method))["checks_block"] = mode
        return method

    return marked


def _function_of(method: Any) -> Any:
    return getattr(method, "__func__", method)


class Block:
    """A frozen block of settings, which refuses unknown names. A name without a value takes its default."""

    __slots__ = ("__dict__", "model_fields_set")

    model_fields: ClassVar[dict[str, Field]] = {}
    _before: ClassVar[tuple[str, ...]] = ()  # names of methods that see what is written, in their order
    _after: ClassVar[tuple[str, ...]] = ()  # likewise, of those that see the block
    _of_fields: ClassVar[tuple[tuple[tuple[str, ...], str, str], ...]] = ()  # names of fields, mode, method
    _checks: ClassVar[dict[str, Check]]  # of fields, each made when it is needed first

    model_fields_set: frozenset[str]  # the names that were given a value

    def __init_subclass__(cls) -> None:
        cls.model_fields = dict(cls.model_fields)
        cls._checks = {}
        for name, annotation in cls.__annotations__.items():
            field = cls.__dict__.get(name)
            if isinstance(field, Field):
                field.annotation = annotation
                cls.model_fields[name] = field
                delattr(cls, name)
        for name, member in tuple(cls.__dict__.items()):
            marks = getattr(_function_of(member), "__dict__", {})
            if "checks_fields" in marks:
                cls._of_fields = (*cls._of_fields, (*marks["checks_fields"], name))
            if marks.get("checks_block") == "before":
                cls._before = (name, *cls._before)  # a short form is read before what its longer form needs
            elif "checks_block" in marks:
                cls._after = (*cls._after, name)

    def __init__(self, **values: Any) -> None:
        """Make a block of what is written; raises BlockError."""
        faults: list[Fault] = []
        if not self._take(values, (), faults):
            raise BlockError(type(self).__name__, faults)

    @classmethod
    def model_validate(cls, data: object) -> Self:
        """Return the block that is written, or that is one already; raises BlockError with all that is wrong."""
        faults: list[Fault] = []
        block: Self = cls.read(data, (), faults)
        if faults:
            raise BlockError(cls.__name__, faults)
        return block

    @classmethod
    def read(cls, data: Any, path: Path, faults: list[Fault]) -> Any:
        """Return the block that is written at a path, or WRONG; a Check."""
        if isinstance(data, cls):
            return data
        block = cls.__new__(cls)
        return block if block._take(data, path, faults) else WRONG  # noqa: SLF001 - of the same class

    def _take(self, data: Any, path: Path, faults: list[Fault]) -> bool:
        """Read what is written into it; return whether that could be done."""
        cls = type(self)
        for name in cls._before:
            data = passed(getattr(cls, name), data, path, faults)
            if data is WRONG:
                return False
        if data is None:
            data = {}
        if not isinstance(data, Mapping):
            faults.append(Fault(path, SettingError(NO_BLOCK)))
            return False
        had = len(faults)
        values = _values(cls, data, path, faults)
        if len(faults) > had:
            return False
        given = frozenset(name for name in cls.model_fields if data.get(name) is not None)
        _fill(self, values, given)
        return all(passed(getattr(cls, name), self, path, faults) is not WRONG for name in cls._after)

    @classmethod
    def check(cls, name: str) -> Check:
        """Return the check of one of its fields."""
        check = cls._checks.get(name)
        if check is None:
            check = cls._checks[name] = _check_field(cls, name)
        return check

    @classmethod
    def field_checks(cls, name: str, mode: str) -> list[Callable[..., Any]]:
        """Return the methods of a mode that check a field, in their order."""
        return [
            getattr(cls, method) for names, its_mode, method in cls._of_fields if its_mode == mode and name in names
        ]

    @classmethod
    def model_construct(cls, **values: Any) -> Self:
        """Return a block of values that are known to be right."""
        block = cls.__new__(cls)
        defaults = {
            name: field.get_default()
            for name, field in cls.model_fields.items()
            if name not in values and not field.is_required()
        }
        _fill(block, {**defaults, **values}, frozenset(values))
        return block

    def model_copy(self, *, update: Mapping[str, Any] | None = None) -> Self:
        """Return the block with other values, which are known to be right."""
        block = type(self).__new__(type(self))
        new = update or {}
        _fill(block, {**self.__dict__, **new}, self.model_fields_set | new.keys())
        return block

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen: {name} cannot be set")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen: {name} cannot be removed")

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.__dict__ == other.__dict__

    def __hash__(self) -> int:
        return hash((type(self), *(getattr(self, name) for name in type(self).model_fields)))

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={getattr(self, name)!r}" for name in type(self).model_fields)
        return f"{type(self).__name__}({fields})"


def _fill(block: Block, values: Mapping[str, Any], given: frozenset[str]) -> None:
    block.__dict__.update(values)
    object.__setattr__(block, "model_fields_set", given)


def _values(cls: type[Block], data: Mapping[Any, Any], path: Path, faults: list[Fault]) -> dict[str, Any]:
    """Return the fields of a block that is written; what is wrong with them is added to the faults."""
    values: dict[str, Any] = {}
    for name, field in cls.model_fields.items():
        value = data.get(name)
        if value is not None:
            found = cls.check(name)(value, (*path, name), faults)
            for method in () if found is WRONG else cls.field_checks(name, "beside"):
                found = passed(partial(method, values), found, (*path, name), faults)
            if found is not WRONG:
                values[name] = found
        elif field.is_required():
            faults.append(Fault((*path, name), SettingError("is missing", show=False), is_missing=True))
        else:
            values[name] = field.get_default()
    faults += [
        Fault((*path, name), SettingError(f'unknown key "{name}"', show=False), is_unknown=True)
        for name in data
        if name not in cls.model_fields
    ]
    return values


def _check_field(cls: type[Block], name: str) -> Check:
    """Return the check of a field alone: its type, its bounds, then the block's methods for it."""
    field = cls.model_fields[name]
    check = field.bounds.around(check_of(field.annotation))
    for method in cls.field_checks(name, "before"):
        check = BeforeValidator(method).around(check)
    for method in cls.field_checks(name, "after"):
        check = AfterValidator(method).around(check)
    return check
