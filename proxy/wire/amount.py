"""An amount of money in a provider's JSON, read from its literal, never through a float.

With 16 digits every tenth amount would be wrong.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, Final, Literal

from proxy.core.money import MAX_PUSD, MoneyError, usd_to_pusd

CostProblem = Literal[
    "not_a_number", "string", "negative", "too_large", "too_many_digits", "unreadable", "upstream_missing"
]

_MAX_LITERAL_CHARS: Final = 64  # what core.money reads
_BACKSLASH: Final = ord("\\")
_NUMBER_AFTER_KEY: Final = re.compile(rb"\s*:\s*(-?[0-9][0-9.eE+-]*)")


class NumberText(str):
    """A number as it was written, distinct from a JSON string."""

    __slots__ = ()


def read_exactly(raw: bytes) -> Any:
    """Parse JSON, each number that is no plain integer kept as text; None if it is none.

    Slow, and more lenient than orjson: NaN, 1e400, half surrogates and broken UTF-8 pass, so that an answer with one
    flaw can still be read.
    """
    try:
        return json.loads(
            raw.decode("utf-8-sig", "replace"),
            parse_int=whole_number,
            parse_float=NumberText,
            parse_constant=NumberText,
        )
    except (ValueError, RecursionError):
        return None


def whole_number(literal: str) -> int | NumberText:
    """Return an integer; one that is longer than money can be as it was written."""
    return int(literal) if len(literal) <= _MAX_LITERAL_CHARS else NumberText(literal)


def value_at(value: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        if isinstance(value, list) and key.isdecimal():
            value = value[int(key)] if int(key) < len(value) else None
        else:
            value = value.get(key) if isinstance(value, dict) else None
    return value


Amount = tuple[int | None, bool, CostProblem | None]  # cost_pusd, cost_exact and cost_problem of Usage

NO_AMOUNT: Final[Amount] = (None, True, None)


def read_amount(message: Mapping[str, Any], raw: bytes, path: tuple[str, ...], *, quoted: bool = False) -> Amount:
    """Return the amount at a path of message, the parse of raw; with quoted a decimal in quotes counts, too."""
    value = value_at(message, path)
    if value.__class__ is float:
        literal = literal_of(raw, b'"%b"' % path[-1].encode(), value)
        if literal is not None:
            return amount_of(literal)
        value = value_at(read_exactly(raw), path)
        if not isinstance(value, int | NumberText):
            return None, True, "unreadable"
    if value is None:
        return NO_AMOUNT
    if type(value) is int:
        return amount_of(str(value))
    if isinstance(value, NumberText) or (quoted and isinstance(value, str)):
        return amount_of(value)
    return None, True, "string" if isinstance(value, str) else "not_a_number"


def amount_of(literal: str) -> Amount:
    try:
        pusd, exact = usd_to_pusd(literal)
    except MoneyError:
        return None, True, _problem(literal)
    return pusd, exact, None


def literal_of(raw: bytes, quoted: bytes, value: float) -> str | None:
    """Return the literal of value, found by its quoted key in raw; None unless it is certainly this one."""
    at = raw.rfind(quoted)  # usage mostly comes last
    if at < 0 or raw.find(quoted) != at:
        return None
    if _BACKSLASH in raw and b"\\u00" in raw:  # an escape could hide a second such key; searching one byte is faster
        return None
    match = _NUMBER_AFTER_KEY.match(raw, at + len(quoted))
    if match is None:
        return None
    literal = match[1].decode()
    return literal if float(literal) == value else None


def _problem(literal: str) -> CostProblem:
    if literal.endswith(("NaN", "Infinity")):
        return "not_a_number"
    if literal.startswith("-"):
        return "negative"
    return "too_many_digits" if len(literal) > _MAX_LITERAL_CHARS else "too_large"


def with_upstream(fee: Amount, upstream: Amount) -> Amount:
    """Return the sum with what the provider behind bills; None if either half is missing."""
    fee_pusd, fee_exact, _ = fee
    upstream_pusd, upstream_exact, problem = upstream
    if fee_pusd is None:
        return fee
    if upstream_pusd is None:
        return None, True, problem or "upstream_missing"
    total_pusd = fee_pusd + upstream_pusd
    if total_pusd > MAX_PUSD:
        return None, True, "too_large"
    return total_pusd, fee_exact and upstream_exact, None
