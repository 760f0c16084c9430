"""Fields of a management answer: money and counts as their literals, moments as text, unknown fields passed over.

Loose is for what nothing is booked by: where it cannot be read it is None, and the part says so, instead of all that
stands beside it being lost. What money depends on is never loose: without it there is no answer.
The account of a key is asked for in a plain proxy too, so nothing large is loaded here: a field's type names the
function that reads it, and AnswerPart calls that.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Self, TypeVar, Union, get_args, get_origin

from msgspec import Struct
from msgspec.structs import fields

from proxy.core.money import MoneyError, usd_to_pusd
from proxy.core.text import fit_text
from proxy.providers.account.source import AnswerError
from proxy.wire.amount import NumberText

_CENTS_PLACES = 2
_COUNT_END = 2**53  # beyond it JSON's own numbers are not exact; sums of a thousand such counts still fit a column
_TEXT_MAX_CHARS = 512
_Read = Callable[[Any], Any]
_Part = TypeVar("_Part", bound="AnswerPart")
_T = TypeVar("_T")
_LOOSE: Final = "loose"
_OWN: Final = "unread"  # the field of AnswerPart, which is in no answer


class AnswerPart(Struct, frozen=True, kw_only=True):
    """A part of an answer as read_exactly() gives it. Whatever else a provider writes beside is not looked at.

    unread: the fields that are there, may be missing, and make no sense; they are None.
    """

    unread: tuple[str, ...] = ()

    @classmethod
    def read(cls, found: Any) -> Self:
        """Return the part that an answer holds; raises AnswerError."""
        try:
            return _part_of(cls, found)
        except _FlawError as flaw:
            raise AnswerError(f"{'.'.join(flaw.names)}: {flaw.what}") from None
        except ValueError as error:  # of the whole
            raise AnswerError(str(error)) from None


class _FlawError(ValueError):
    """What is not as it should be, and the names that lead there. No value of an answer is shown."""

    def __init__(self, names: tuple[str, ...], what: str) -> None:
        super().__init__(what)
        self.names: Final = names
        self.what: Final = what


def _part_of(part: type[_Part], found: Any) -> _Part:
    if not isinstance(found, Mapping):
        raise ValueError("not an object")  # noqa: TRY004 - all that is wrong with an answer is a ValueError
    values: dict[str, Any] = {}
    unread = []
    for name, is_required, read in _readers(part):
        if name in found:
            values[name] = value = _read_at(name, read, found[name])
            if value is None and found[name] is not None:
                unread.append(name)
        elif is_required:
            raise _FlawError((name,), "missing")
    return part(**values, unread=tuple(unread)) if unread else part(**values)


def _read_at(name: str, read: _Read, value: Any) -> Any:
    try:
        return read(value)
    except _FlawError as flaw:
        raise _FlawError((name, *flaw.names), flaw.what) from None
    except ValueError as error:
        raise _FlawError((name,), str(error)) from None


@cache
def _readers(part: type[AnswerPart]) -> tuple[tuple[str, bool, _Read], ...]:
    """Return name, whether it must be there, and what reads it, of each field."""
    return tuple((each.name, each.required, _reader(each.type)) for each in fields(part) if each.name != _OWN)


def _reader(kind: Any) -> _Read:
    """Return what reads a value of a field's type; raises TypeError for a type that no answer has."""
    origin, of = get_origin(kind), get_args(kind)
    if origin is Annotated and of[1] is _LOOSE:
        return _loose(_reader(of[0]))
    if origin is Annotated:
        read: _Read = of[1]
        return read
    if origin in (Union, UnionType) and len(of) == 2 and NoneType in of:
        return _optional(_reader(next(each for each in of if each is not NoneType)))
    if origin is tuple and of[1:] == (...,):
        return _list_of(_reader(of[0]))
    if origin is Mapping and of[0] is str:
        return _table_of(_reader(of[1]))
    if isinstance(kind, type) and issubclass(kind, AnswerPart):
        return lambda value: _part_of(kind, value)
    if kind is Any:
        return lambda value: value
    if kind is bool:
        return _bool
    raise TypeError(f"nothing reads {kind}")


def _optional(read: _Read) -> _Read:
    return lambda value: None if value is None else read(value)


def _loose(read: _Read) -> _Read:
    def read_loosely(value: Any) -> Any:
        try:
            return read(value)
        except ValueError:
            return None

    return read_loosely


def _list_of(read: _Read) -> _Read:
    def read_list(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise ValueError("not a list")  # noqa: TRY004 - as above
        return tuple(_read_at(str(n), read, each) for n, each in enumerate(value))

    return read_list


def _table_of(read: _Read) -> _Read:
    def read_table(value: Any) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise ValueError("not an object")  # noqa: TRY004 - as above
        return {name: _read_at(name, read, each) for name, each in value.items()}

    return read_table


def _bool(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("neither true nor false")  # noqa: TRY004 - as above
    return value


def signed_pusd(literal: str) -> int:
    """Return an amount in USD, which may be negative, rounded up to a pico-USD; raises MoneyError."""
    if not literal.startswith("-"):
        return usd_to_pusd(literal)[0]
    pusd, is_exact = usd_to_pusd(literal[1:])
    return -pusd if is_exact else 1 - pusd


def cents_to_usd(literal: str) -> str:
    """Return an amount in cents as the same in USD; raises MoneyError for what is no number."""
    try:
        return str(Decimal(literal).scaleb(-_CENTS_PLACES))
    except InvalidOperation:
        raise MoneyError("not a decimal number") from None


def money_of(value: Any) -> int:
    """Return an amount in USD in pico-USD; raises MoneyError."""
    return signed_pusd(_literal(value))


def _cents(value: Any) -> int:
    return signed_pusd(cents_to_usd(_literal(value)))


def _literal(value: Any) -> str:
    if type(value) is int:
        return str(value)
    if isinstance(value, str):  # NumberText, or a decimal in quotes
        return value
    raise MoneyError("not a number")


def _count(value: Any) -> int:
    literal = _literal(value)
    try:
        number = Decimal(literal)
    except InvalidOperation:
        raise ValueError("not a number") from None
    if not number.is_finite() or number != number.to_integral_value() or abs(number) >= _COUNT_END:
        raise ValueError("not a whole number")
    return int(number)


def _text(value: Any) -> str:
    if isinstance(value, NumberText) or not isinstance(value, str):
        raise ValueError("not a text")  # noqa: TRY004 - as above
    return fit_text(value, _TEXT_MAX_CHARS)


def name_of(value: Any) -> str:
    """Return a text made safe to store; "" for what is none."""
    return "" if isinstance(value, NumberText) or not isinstance(value, str) else fit_text(value, _TEXT_MAX_CHARS)


def _filled_name(value: Any) -> str:
    name = name_of(value)
    if not name:
        raise ValueError("empty")
    return name


def _day(value: Any) -> date:
    """Read a day, with or without a time behind it."""
    try:
        return date.fromisoformat(value[:10])
    except (TypeError, ValueError):  # its own text shows the value
        raise ValueError("not a date") from None


def _moment(value: Any) -> datetime:
    """Read an instant; one without a zone is in UTC."""
    try:
        found = datetime.fromisoformat(value)
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (TypeError, ValueError, OverflowError):  # the last: the last day of the year 9999, west of Greenwich
        raise ValueError("not a moment") from None


Pusd = Annotated[int, money_of]  # from USD
CentsPusd = Annotated[int, _cents]  # from cents
Count = Annotated[int, _count]
Name = Annotated[str, name_of]
Loose = Annotated[_T | None, _LOOSE]
OptionalName = Loose[Annotated[str, _text]]
Flag = Annotated[bool, lambda value: value is True]
FilledName = Annotated[str, _filled_name]
Day = Annotated[date, _day]
Moment = Loose[Annotated[datetime, _moment]]
