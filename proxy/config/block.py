"""How settings are described: a field with its default, what it does and why the default is what it is.

What may be written for a type is in check.py.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ClassVar, Literal, Self, TypeVar

import voluptuous as vol

from proxy.config.check import (
    NO_BLOCK,
    BlockError,
    Bounds,
    Fault,
    FaultInvalid,
    Reader,
    Rule,
    fault_of,
    schema_of,
    validator,
)
from proxy.config.diagnostic import SettingError

DAY_S = 86_400
_NO_DEFAULT: Any = object()
F = TypeVar("F")


class BlockField:
    """One setting of a block: its type as written, its default, its texts, its bounds."""

    __slots__ = ("_made", "annotation", "bounds", "default", "default_block", "description", "restart", "why")

    def __init__(self, default: Any, description: str, why: str, *, restart: bool, bounds: Bounds) -> None:
        """Keep what describes it; a default that is a block's class stands for a block with all defaults."""
        self.annotation: Any = None  # until its block is there
        self.default_block: type[Block] | None = default if isinstance(default, type) else None
        self.default = default
        self.description = description
        self.why = why
        self.restart = restart  # a running proxy cannot take a new value
        self.bounds = bounds
        self._made: Block | None = None

    def is_required(self) -> bool:
        return self.default is _NO_DEFAULT

    def made_default(self) -> Any:
        """Return the default; a block is made once, when it is needed first."""
        if self.default_block is None:
            return self.default
        if self._made is None:
            self._made = self.default_block.unchecked()
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
    return BlockField(default, help_, why, restart=restart, bounds=Bounds(ge, gt, le))


def required(help_: str, *, ge: float | None = None, le: float | None = None) -> Any:
    return BlockField(_NO_DEFAULT, help_, "", restart=False, bounds=Bounds(ge, None, le))


def check_field(*names: str, mode: Literal["before", "after", "beside"] = "after") -> Callable[[F], F]:
    """Mark a class method that checks fields before or after their types do, and may raise SettingError.

    beside: after, and its first argument is a mapping of the fields in front of it that are right.
    """

    def marked(method: F) -> F:
        vars(_function_of(method))["checks_fields"] = (names, mode)
        return method

    return marked


def check_block(*, mode: Literal["before", "after"]) -> Callable[[F], F]:
    """Mark what checks a block as a whole: before, a class method of what is written; after, a method of the block."""

    def marked(method: F) -> F:
        vars(_function_of(method))["checks_block"] = mode
        return method

    return marked


def _function_of(method: Any) -> Any:
    return getattr(method, "__func__", method)


class Block:
    """A frozen block of settings, which refuses unknown names. A name without a value takes its default."""

    __slots__ = ("__dict__", "given")

    fields: ClassVar[dict[str, BlockField]] = {}
    _before: ClassVar[tuple[str, ...]] = ()  # names of methods that see what is written, in their order
    _after: ClassVar[tuple[str, ...]] = ()  # likewise, of those that see the block
    _of_fields: ClassVar[tuple[tuple[tuple[str, ...], str, str], ...]] = ()  # names of fields, mode, method
    _schema: ClassVar[vol.Schema | None]  # of what is written; this and the next are made when they are needed first
    _field_schemas: ClassVar[dict[str, vol.Schema]]

    given: frozenset[str]  # the names that were given a value

    def __init_subclass__(cls) -> None:
        cls.fields = dict(cls.fields)
        cls._schema = None
        cls._field_schemas = {}
        for name, annotation in cls.__annotations__.items():
            field = cls.__dict__.get(name)
            if isinstance(field, BlockField):
                field.annotation = annotation
                cls.fields[name] = field
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
        self._take(values)

    @classmethod
    def read(cls, data: object) -> Self:
        """Return the block that is written, or that is one already; raises BlockError with all that is wrong."""
        if isinstance(data, cls):
            return data
        block = cls.__new__(cls)
        block._take(data)  # noqa: SLF001 - of the same class
        return block

    def _take(self, data: Any) -> None:
        """Read what is written into it; raises BlockError."""
        cls = type(self)
        try:
            for name in cls._before:
                data = validator(getattr(cls, name))(data)
            if data is None:
                data = {}
            if not isinstance(data, Mapping):
                raise FaultInvalid(Fault((), SettingError(NO_BLOCK)))
            given = {name: data[name] for name in cls.fields if data.get(name) is not None}
            _fill(self, _values(cls, given, data), frozenset(given))
            for name in cls._after:
                validator(getattr(cls, name))(self)
        except vol.Invalid as error:
            errors = error.errors if isinstance(error, vol.MultipleInvalid) else [error]
            raise BlockError(cls.__name__, map(fault_of, errors)) from None

    @classmethod
    def schema(cls) -> vol.Schema:
        """Return the schema of what is written. Two threads may make one each: a schema writes into its parts."""
        if cls._schema is None:
            names = {_marker(name, field): partial(cls.read_field, name) for name, field in cls.fields.items()}
            cls._schema = vol.Schema({**names, _refuse_name: object})
        return cls._schema

    @classmethod
    def read_field(cls, name: str, value: Any) -> Any:
        """Return what is written for one of its fields; raises MultipleInvalid. Most files use few fields."""
        schema = cls._field_schemas.get(name)
        if schema is None:
            schema = cls._field_schemas[name] = vol.Schema(_field_schema(cls, name))
        return schema(value)

    @classmethod
    def field_checks(cls, name: str, mode: str) -> list[Callable[..., Any]]:
        """Return the methods of a mode that check a field, in their order."""
        return [
            getattr(cls, method) for names, its_mode, method in cls._of_fields if its_mode == mode and name in names
        ]

    @classmethod
    def unchecked(cls, **values: Any) -> Self:
        """Return a block of values that are known to be right."""
        block = cls.__new__(cls)
        defaults = {
            name: field.made_default()
            for name, field in cls.fields.items()
            if name not in values and not field.is_required()
        }
        _fill(block, {**defaults, **values}, frozenset(values))
        return block

    def replaced(self, values: Mapping[str, Any]) -> Self:
        """Return the block with other values, which are known to be right."""
        block = type(self).__new__(type(self))
        _fill(block, {**self.__dict__, **values}, self.given | values.keys())
        return block

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen: {name} cannot be set")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen: {name} cannot be removed")

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.__dict__ == other.__dict__

    def __hash__(self) -> int:
        return hash((type(self), *(getattr(self, name) for name in type(self).fields)))

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={getattr(self, name)!r}" for name in type(self).fields)
        return f"{type(self).__name__}({fields})"


def _fill(block: Block, values: Mapping[str, Any], given: frozenset[str]) -> None:
    block.__dict__.update(values)
    object.__setattr__(block, "given", given)


def _values(cls: type[Block], given: Mapping[str, Any], data: Mapping[Any, Any]) -> dict[str, Any]:
    """Return the fields of a block by what is given for them; raises MultipleInvalid with all that is wrong in data."""
    unknown = {name: value for name, value in data.items() if name not in cls.fields}
    errors: list[vol.Invalid] = []
    try:
        found = cls.schema()({**given, **unknown})
    except vol.MultipleInvalid as error:
        errors += error.errors
        wrong = {str(one.path[0]) for one in errors}
        found = {name: cls.read_field(name, given[name]) for name in given if name not in wrong}
    for name, field in cls.fields.items():
        if name not in given and not field.is_required():
            found[name] = field.made_default()
    for name in given.keys() & found.keys() if cls._of_fields else ():
        for method in cls.field_checks(name, "beside"):
            try:
                validator(partial(method, found))(found[name])
            except vol.Invalid as error:
                error.prepend([name])
                errors.append(error)
    if errors:
        order = {name: number for number, name in enumerate(cls.fields)}
        raise vol.MultipleInvalid(sorted(errors, key=lambda one: order.get(str(one.path[0]), len(order))))
    return {name: found[name] for name in cls.fields}


def _marker(name: str, field: BlockField) -> Any:
    return vol.Required(name, msg="is missing") if field.is_required() else name


def _refuse_name(name: object) -> object:
    """Refuse a name that no field has."""
    raise FaultInvalid(Fault((), SettingError(f'unknown key "{name}"', show=False), is_unknown=True))


def _field_schema(cls: type[Block], name: str) -> Any:
    """Return the schema of a field alone: its type, its bounds, then the block's methods for it."""
    field = cls.fields[name]
    schema = schema_of(field.annotation, field.bounds)
    for method in cls.field_checks(name, "before"):
        schema = Reader(method).around(schema)
    for method in cls.field_checks(name, "after"):
        schema = Rule(method).around(schema)
    return schema
