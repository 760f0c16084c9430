"""Usage: what a provider says that an answer took, in tokens and money.

The cost is read from the literal in the JSON, never by way of a float: with 16 digits every tenth amount
would be wrong.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, NamedTuple

from proxy.core.money import MAX_PUSD, MoneyError, usd_to_pusd

MAX_TOKENS: Final = 2**53
"""Beyond, a double skips integers: whoever wrote such a count did not count."""

CostProblem = Literal[
    "not_a_number", "string", "negative", "too_large", "too_many_digits", "unreadable", "upstream_missing"
]

_MAX_LITERAL_CHARS: Final = 64  # what core.money reads
_BACKSLASH: Final = ord("\\")
_NUMBER_AFTER_KEY: Final = re.compile(rb"\s*:\s*(-?[0-9][0-9.eE+-]*)")


class Usage(NamedTuple):
    """Counts are None where the provider gave none, or gave nonsense.

    cost_pusd is what the request cost in all; None if no cost was given, or if it is doubtful, which
    cost_problem then names. cost_exact is False where the amount was finer than a pico-USD and rounded up.
    With is_byok the account's own key was used at the provider behind the provider, whose bill comes on top
    of the fee: upstream_pusd is that bill, and is in cost_pusd. Without is_byok it is None: the cost is all.
    """

    input_tokens: int | None
    output_tokens: int | None
    cached_tokens: int | None
    reasoning_tokens: int | None
    cost_pusd: int | None
    cost_exact: bool
    cost_problem: CostProblem | None
    is_byok: bool
    upstream_pusd: int | None


NO_USAGE: Final = Usage(None, None, None, None, None, True, None, False, None)
"""What stands for a usage that nobody told."""


@dataclass(frozen=True, slots=True)
class UsageShape:
    """Where an endpoint's answers carry what: a path of keys to the usage, and the keys of its counts.

    The details are objects in the usage that hold the cached and the reasoning tokens; None: these stand in the usage
    itself. A count whose key is None is one that the shape has not.
    """

    usage: tuple[str, ...]
    input_tokens: str
    output_tokens: str | None
    cached_tokens: str
    input_details: str | None = None
    reasoning_tokens: str | None = None
    output_details: str | None = None
    beside_input: tuple[str, ...] = ()  # counts of the prompt that input_tokens leaves out
    generates: bool = True  # False: there is no output to count


CHAT: Final = UsageShape(
    usage=("usage",),
    input_tokens="prompt_tokens",
    output_tokens="completion_tokens",
    cached_tokens="cached_tokens",
    input_details="prompt_tokens_details",
    reasoning_tokens="reasoning_tokens",
    output_details="completion_tokens_details",
)
"""/chat/completions and /completions, streamed or not."""

EMBEDDINGS: Final = UsageShape(
    usage=("usage",),
    input_tokens="prompt_tokens",
    output_tokens=None,
    cached_tokens="cached_tokens",
    input_details="prompt_tokens_details",
    generates=False,
)

RESPONSES: Final = UsageShape(
    usage=("usage",),
    input_tokens="input_tokens",
    output_tokens="output_tokens",
    cached_tokens="cached_tokens",
    input_details="input_tokens_details",
    reasoning_tokens="reasoning_tokens",
    output_details="output_tokens_details",
)
"""A response; in a stream it stands in its last event, one level down: STREAMED_RESPONSES."""

STREAMED_RESPONSES: Final = replace(RESPONSES, usage=("response", "usage"))

MESSAGES: Final = UsageShape(
    usage=("usage",),
    input_tokens="input_tokens",
    output_tokens="output_tokens",
    cached_tokens="cache_read_input_tokens",
    reasoning_tokens="thinking_tokens",
    output_details="output_tokens_details",
    beside_input=("cache_read_input_tokens", "cache_creation_input_tokens"),
)
"""A message, and the end of a streamed one. Anthropic counts cached tokens beside the input, all others inside."""


class _NumberText(str):
    """A number as it was written, told apart from a JSON string."""

    __slots__ = ()


def read_exactly(raw: bytes) -> Any:
    """Parse JSON, each number that is no plain integer kept as text; None if it is none.

    Slow, and more lenient than orjson: NaN, 1e400, half surrogates and broken UTF-8 pass, so that an answer
    with a flaw in one place still tells the rest.
    """
    try:
        return json.loads(
            raw.decode("utf-8-sig", "replace"),
            parse_int=_int,
            parse_float=_NumberText,
            parse_constant=_NumberText,
        )
    except (ValueError, RecursionError):
        return None


def _int(literal: str) -> int | _NumberText:
    return int(literal) if len(literal) <= _MAX_LITERAL_CHARS else _NumberText(literal)


def read_usage(message: Mapping[str, Any], raw: bytes, shape: UsageShape = CHAT) -> Usage | None:
    """Give the usage in message, the parse of raw; None if there is none, or nothing in it makes sense."""
    usage: Any = message
    for key in shape.usage:
        usage = usage.get(key) if usage.__class__ is dict else None
    if usage.__class__ is not dict:
        return None
    # written out for each count: read for every answer, and a call takes longer than what it would do
    count = usage.get(shape.input_tokens)
    input_tokens = count if count.__class__ is int and 0 <= count <= MAX_TOKENS else None
    if shape.beside_input:
        input_tokens = _with_beside(usage, input_tokens, shape)
    count = usage.get(shape.output_tokens)
    output_tokens = count if count.__class__ is int and 0 <= count <= MAX_TOKENS else None
    cost = usage.get("cost")
    if input_tokens is None and output_tokens is None and cost is None:
        return None
    if not shape.generates:
        output_tokens = 0
    details = usage if shape.input_details is None else usage.get(shape.input_details)
    count = details.get(shape.cached_tokens) if details.__class__ is dict else None
    cached_tokens = count if count.__class__ is int and 0 <= count <= MAX_TOKENS else None
    details = usage if shape.output_details is None else usage.get(shape.output_details)
    count = details.get(shape.reasoning_tokens) if details.__class__ is dict else None
    reasoning_tokens = count if count.__class__ is int and 0 <= count <= MAX_TOKENS else None
    if cost is None:
        total = _NO_AMOUNT
    elif cost.__class__ is float and (literal := _literal(raw, b'"cost"', cost)) is not None:  # nearly every cost
        total = _amount_of(literal)
    else:
        total = _read_amount(message, raw, (*shape.usage, "cost"))
    is_byok = usage.get("is_byok") is True
    upstream_pusd = None
    if is_byok:  # otherwise it is a part of the cost, and adding it would book it twice
        upstream = _read_amount(message, raw, (*shape.usage, "cost_details", "upstream_inference_cost"))
        upstream_pusd = upstream[0]
        total = _with_upstream(total, upstream)
    pusd, exact, problem = total
    return tuple.__new__(  # what Usage(…) comes to, without the call between
        Usage,
        (input_tokens, output_tokens, cached_tokens, reasoning_tokens, pusd, exact, problem, is_byok, upstream_pusd),
    )


def _with_beside(usage: dict[str, Any], input_tokens: int | None, shape: UsageShape) -> int | None:
    found = [usage.get(key) for key in shape.beside_input]
    counts = [count for count in found if count.__class__ is int and 0 <= count <= MAX_TOKENS]
    if input_tokens is None and not any(counts):
        return None
    return min((input_tokens or 0) + sum(counts), MAX_TOKENS)


def _at(value: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value


_Amount = tuple[int | None, bool, CostProblem | None]  # cost_pusd, cost_exact and cost_problem of Usage

_NO_AMOUNT: Final[_Amount] = (None, True, None)


def _read_amount(message: Mapping[str, Any], raw: bytes, path: tuple[str, ...]) -> _Amount:
    value = _at(message, path)
    if value.__class__ is float:
        literal = _literal(raw, b'"%b"' % path[-1].encode(), value)
        if literal is not None:
            return _amount_of(literal)
        value = _at(read_exactly(raw), path)
        if not isinstance(value, int | _NumberText):
            return None, True, "unreadable"
    if value is None:
        return _NO_AMOUNT
    if type(value) is int:
        return _amount_of(str(value))
    if isinstance(value, _NumberText):
        return _amount_of(value)
    return None, True, "string" if isinstance(value, str) else "not_a_number"


def _amount_of(literal: str) -> _Amount:
    try:
        pusd, exact = usd_to_pusd(literal)
    except MoneyError:
        return None, True, _problem(literal)
    return pusd, exact, None


def _literal(raw: bytes, quoted: bytes, value: float) -> str | None:
    """Give the literal of value by looking for its key, quoted, in raw; None unless it certainly is this one."""
    at = raw.rfind(quoted)  # usage mostly comes last
    if at < 0 or raw.find(quoted) != at:
        return None
    if _BACKSLASH in raw and b"\\u00" in raw:  # an escape could hide a second such key; one byte is found sooner
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


def _with_upstream(fee: _Amount, upstream: _Amount) -> _Amount:
    """Add what the provider behind bills; an amount of which one half is missing is none."""
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
