"""The answer that nearly every provider gives to a chat, read by its schema: what nobody asks for becomes no object.

It knows the plainest form alone: an id, choices without an error, a usage whose counts add up, and a cost that is one
number. For everything else it says nothing, and parsed_answer.py reads it.
"""

from typing import Annotated, Final, Literal

import msgspec

from proxy.core.money import LAST_DIGIT_PUSD
from proxy.wire.amount import NO_AMOUNT, Amount, amount_of
from proxy.wire.parsed_answer import ParsedAnswer, read_answer
from proxy.wire.usage import MAX_TOKENS, Usage

_new_tuple = tuple.__new__  # read from its class it would take longer than the call
_FIRST_OF_NUMBER: Final = frozenset(b"-0123456789")
_NOT_TOLD: Final = frozenset((b"", b"null"))
_EXACT_MAX_DIGITS: Final = len(LAST_DIGIT_PUSD) - 1


class _Behind(msgspec.Struct, gc=False):
    """What the provider behind charges."""

    upstream_inference_cost: msgspec.Raw = msgspec.Raw()


_Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_TOKENS)]
_Nothing = Literal[0] | None  # where something is counted, this reader cannot tell what it is a part of


class _InputDetails(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """What a part of the input was: cached, and nothing else."""

    cached_tokens: _Count | None = None
    cache_write_tokens: _Nothing = None
    audio_tokens: _Nothing = None
    video_tokens: _Nothing = None
    image_tokens: _Nothing = None
    text_tokens: _Nothing = None


class _OutputDetails(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """What a part of the output was: reasoning, and nothing else."""

    reasoning_tokens: _Count | None = None
    image_tokens: _Nothing = None
    audio_tokens: _Nothing = None
    accepted_prediction_tokens: _Nothing = None
    rejected_prediction_tokens: _Nothing = None
    text_tokens: _Nothing = None


class PlainUsage(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A usage of CHAT.plain_keys; amounts as they were written."""

    prompt_tokens: _Count
    completion_tokens: _Count
    total_tokens: int
    prompt_tokens_details: _InputDetails | None = None
    completion_tokens_details: _OutputDetails | None = None
    cost: msgspec.Raw = msgspec.Raw()
    is_byok: bool | None = None
    cost_details: _Behind | None = None


class _Choice(msgspec.Struct, gc=False):
    finish_reason: str | None = None
    error: None = None


class _Message(msgspec.Struct, gc=False):
    choices: list[_Choice]
    usage: PlainUsage
    id: str | None = None
    model: str | None = None
    provider: str | None = None
    error: None = None


_decode: Final = msgspec.json.Decoder(_Message).decode


def read_chat_answer(body: bytes) -> ParsedAnswer | None:
    """Read the JSON of /chat/completions or /completions, exactly as read_answer() does."""
    try:
        message = _decode(body)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        return read_answer(body)
    choices, usage = message.choices, plain_usage(message.usage)
    if usage is None or not choices:
        return read_answer(body)
    finish_reason = choices[0].finish_reason
    if not finish_reason:
        finish_reason = next((choice.finish_reason for choice in choices if choice.finish_reason), None)
    return _new_tuple(  # what ParsedAnswer(…) comes to, without the call between
        ParsedAnswer,
        (
            message.id or None,
            message.model or None,
            message.provider or None,
            finish_reason,
            usage,
            False,
            None,
            None,
            True,
        ),
    )


def plain_usage(usage: PlainUsage) -> Usage | None:
    """Return what read_usage() does of a usage that needs no closer look; None: it needs one."""
    input_tokens, output_tokens = usage.prompt_tokens, usage.completion_tokens
    if usage.total_tokens != input_tokens + output_tokens or usage.is_byok:  # the cost is the sum of two amounts
        return None
    cached_tokens = reasoning_tokens = None
    of_input, of_output = usage.prompt_tokens_details, usage.completion_tokens_details
    if of_input is not None:  # as is_plain_part() says
        cached_tokens = of_input.cached_tokens
        if cached_tokens and cached_tokens > input_tokens:
            return None
    if of_output is not None:
        reasoning_tokens = of_output.reasoning_tokens
        if reasoning_tokens and reasoning_tokens > output_tokens:
            return None
    cost, behind = usage.cost, usage.cost_details
    literal = bytes(cost)
    fraction = literal[2:]
    if literal[:2] == b"0." and fraction.isdigit() and len(fraction) <= _EXACT_MAX_DIGITS:  # nearly every cost
        cost_pusd: int | None = int(fraction) * LAST_DIGIT_PUSD[len(fraction)]
        is_exact, problem = True, None
    else:
        total = _amount(literal)
        if total is None:
            return None
        cost_pusd, is_exact, problem = total
    paid_pusd = None
    if behind is not None:
        paid = behind.upstream_inference_cost
        if paid == cost:
            paid_pusd = cost_pusd
        else:
            literal_of_paid = bytes(paid)
            amount = _amount(literal_of_paid)
            if amount is None:
                return None
            told = literal_of_paid not in _NOT_TOLD and literal not in _NOT_TOLD
            # the same double is, but for digits beyond a pico-USD, the same amount
            paid_pusd = cost_pusd if told and float(literal_of_paid) == float(literal) else amount[0]
    return _new_tuple(  # what Usage(…) comes to, without the call between
        Usage,
        (
            input_tokens,
            output_tokens,
            cached_tokens,
            reasoning_tokens,
            cost_pusd,
            is_exact,
            problem,
            usage.is_byok,
            paid_pusd,
            None,
        ),
    )


def _amount(literal: bytes) -> Amount | None:
    """Return what a value of JSON says that is a number or null; empty: it is not there. None: it is something else."""
    if literal in _NOT_TOLD:
        return NO_AMOUNT
    return amount_of(literal.decode()) if literal[0] in _FIRST_OF_NUMBER else None
