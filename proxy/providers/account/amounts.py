"""Fields of a management answer: money and counts as their literals, moments as text, unknown fields passed over."""

from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from proxy.core.money import MoneyError, usd_to_pusd
from proxy.core.text import fit_text
from proxy.providers.account.source import AnswerError
from proxy.wire.amount import NumberText

_CENTS_PLACES = 2
_COUNT_END = 2**53  # beyond it JSON's own numbers are not exact; sums of a thousand such counts still fit a column
_TEXT_MAX_CHARS = 512


class AnswerPart(BaseModel):
    """A part of an answer as read_exactly() gives it. Whatever else a provider writes beside is not looked at."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    @classmethod
    def read(cls, found: Any) -> Self:
        """Return the part that an answer holds; raises AnswerError."""
        try:
            return cls.model_validate(found)
        except ValidationError as error:
            raise AnswerError(_places_of(error)) from None


def _places_of(error: ValidationError) -> str:
    """Return where an answer is not as it should be: no value of it is shown."""
    found = error.errors(include_url=False, include_input=False, include_context=False)
    places = [".".join(map(str, one["loc"])) + f" {one['msg']}" for one in found]
    more = f" and {len(places) - 1} more" if len(places) > 1 else ""
    return f"{places[0]}{more}" if places else "nothing is as it should be"


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


def _text(value: Any) -> Any:
    return None if isinstance(value, NumberText) or not isinstance(value, str) else fit_text(value, _TEXT_MAX_CHARS)


def name_of(value: Any) -> str:
    """Return a text made safe to store; "" for what is none."""
    return _text(value) or ""


def _day(value: Any) -> date:
    """Read a day, with or without a time behind it."""
    if not isinstance(value, str):
        raise ValueError("not a date")  # noqa: TRY004 - pydantic reports a ValueError with its place
    return date.fromisoformat(value[:10])


def _moment(value: Any) -> datetime | None:
    """Read an instant; one without a zone is in UTC, and one that cannot be read is none: nothing rests on it."""
    if not isinstance(value, str):
        return None
    try:
        found = datetime.fromisoformat(value)
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):  # the latter: the last day of the year 9999, west of Greenwich
        return None


Pusd = Annotated[int, BeforeValidator(money_of)]  # from USD
CentsPusd = Annotated[int, BeforeValidator(_cents)]  # from cents
Count = Annotated[int, BeforeValidator(_count)]
Name = Annotated[str, BeforeValidator(name_of)]
OptionalName = Annotated[str | None, BeforeValidator(_text)]
Flag = Annotated[bool, BeforeValidator(lambda value: value is True)]
Day = Annotated[date, BeforeValidator(_day)]
Moment = Annotated[datetime | None, BeforeValidator(_moment)]
