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
    """Where an endpoint's answers carry what: each a path of keys; those of counts have two keys at most."""

    usage: tuple[str, ...]
    input_tokens: tuple[str, ...]
    output_tokens: tuple[str, ...]
    cached_tokens: tuple[str, ...]
    reasoning_tokens: tuple[str, ...]
    beside_input: tuple[tuple[str, ...], ...] = ()  # counts of the prompt that input_tokens leaves out
    generates: bool = True  # False: there is no output to count


CHAT: Final = UsageShape(
    usage=("usage",),
    input_tokens=("prompt_tokens",),
    output_tokens=("completion_tokens",),
    cached_tokens=("prompt_tokens_details", "cached_tokens"),
    reasoning_tokens=("completion_tokens_details", "reasoning_tokens"),
)
"""/chat/completions and /completions, streamed or not."""

EMBEDDINGS: Final = UsageShape(
    usage=("usage",),
    input_tokens=("prompt_tokens",),
    output_tokens=(),
    cached_tokens=("prompt_tokens_details", "cached_tokens"),
    reasoning_tokens=(),
    generates=False,
)

RESPONSES: Final = UsageShape(
    usage=("usage",),
    input_tokens=("input_tokens",),
    output_tokens=("output_tokens",),
    cached_tokens=("input_tokens_details", "cached_tokens"),
    reasoning_tokens=("output_tokens_details", "reasoning_tokens"),
)
"""A response; in a stream it stands in its last event, one level down: STREAMED_RESPONSES."""

STREAMED_RESPONSES: Final = replace(RESPONSES, usage=("response", "usage"))

MESSAGES: Final = UsageShape(
    usage=("usage",),
    input_tokens=("input_tokens",),
    output_tokens=("output_tokens",),
    cached_tokens=("cache_read_input_tokens",),
    reasoning_tokens=("output_tokens_details", "thinking_tokens"),
    beside_input=(("cache_read_input_tokens",), ("cache_creation_input_tokens",)),
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
    usage = _at(message, shape.usage)
    if usage.__class__ is not dict:
        return None
    input_tokens = _count_at(usage, shape.input_tokens)
    if shape.beside_input:
        input_tokens = _with_beside(usage, input_tokens, shape)
    output_tokens = _count_at(usage, shape.output_tokens)
    cost = usage.get("cost")
    if input_tokens is None and output_tokens is None and cost is None:
        return None
    if not shape.generates:
        output_tokens = 0
    is_byok = usage.get("is_byok") is True
    if cost is None:
        total = _NO_AMOUNT
    elif cost.__class__ is float and (literal := _literal(raw, "cost", cost)) is not None:  # nearly every cost
        total = _Amount.of_literal(literal)
    else:
        total = _Amount.read(message, raw, (*shape.usage, "cost"))
    upstream = _NO_AMOUNT
    if is_byok:  # otherwise it is a part of the cost, and adding it would book it twice
        upstream = _Amount.read(message, raw, (*shape.usage, "cost_details", "upstream_inference_cost"))
        total = _with_upstream(total, upstream)
    return Usage(
        input_tokens,
        output_tokens,
        _count_at(usage, shape.cached_tokens),
        _count_at(usage, shape.reasoning_tokens),
        total.pusd,
        total.exact,
        total.problem,
        is_byok,
        upstream.pusd,
    )


def _count_at(usage: dict[str, Any], path: tuple[str, ...]) -> int | None:
    if not path:  # the shape has no such count
        return None
    count = usage.get(path[0])
    if len(path) == 2:
        count = count.get(path[1]) if count.__class__ is dict else None
    return count if count.__class__ is int and 0 <= count <= MAX_TOKENS else None


def _with_beside(usage: Any, input_tokens: int | None, shape: UsageShape) -> int | None:
    counts = [count for path in shape.beside_input if (count := _count_at(usage, path)) is not None]
    if input_tokens is None and not any(counts):
        return None
    return min((input_tokens or 0) + sum(counts), MAX_TOKENS)


def _at(value: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value


class _Amount(NamedTuple):
    pusd: int | None
    exact: bool = True
    problem: CostProblem | None = None

    @classmethod
    def read(cls, message: Mapping[str, Any], raw: bytes, path: tuple[str, ...]) -> "_Amount":
        value = _at(message, path)
        if value.__class__ is float:
            value = _literal(raw, path[-1], value) or _at(read_exactly(raw), path)
            if not isinstance(value, int | _NumberText):
                return cls(None, problem="unreadable")
        if value is None:
            return cls(None)
        if type(value) is int:
            return cls.of_literal(str(value))
        if isinstance(value, _NumberText):
            return cls.of_literal(value)
        return cls(None, problem="string" if isinstance(value, str) else "not_a_number")

    @classmethod
    def of_literal(cls, literal: str) -> "_Amount":
        try:
            pusd, exact = usd_to_pusd(literal)
            return cls(pusd, exact)
        except MoneyError:
            return cls(None, problem=_problem(literal))


_NO_AMOUNT: Final = _Amount(None)


_QUOTED: Final = {"cost": b'"cost"'}


def _literal(raw: bytes, key: str, value: float) -> _NumberText | None:
    """Give the literal of value by looking for its key in raw; None unless it certainly is this one."""
    quoted = _QUOTED.get(key) or b'"%b"' % key.encode()
    at = raw.find(quoted)
    if at < 0 or raw.find(quoted, at + 1) >= 0 or b"\\u00" in raw:  # an escape could hide a second such key
        return None
    match = _NUMBER_AFTER_KEY.match(raw, at + len(quoted))
    if match is None:
        return None
    literal = match[1]
    return _NumberText(literal, "ascii") if float(literal) == value else None


def _problem(literal: str) -> CostProblem:
    if literal.endswith(("NaN", "Infinity")):
        return "not_a_number"
    if literal.startswith("-"):
        return "negative"
    return "too_many_digits" if len(literal) > _MAX_LITERAL_CHARS else "too_large"


def _with_upstream(fee: _Amount, upstream: _Amount) -> _Amount:
    """Add what the provider behind bills; an amount of which one half is missing is none."""
    if fee.pusd is None:
        return fee
    if upstream.pusd is None:
        return _Amount(None, problem=upstream.problem or "upstream_missing")
    total = fee.pusd + upstream.pusd
    if total > MAX_PUSD:
        return _Amount(None, problem="too_large")
    return _Amount(total, fee.exact and upstream.exact)
