"""The answer that nearly every provider gives to a chat, read by its schema: what nobody asks for becomes no object.

It knows the plainest form alone: an id, choices without an error, a usage whose counts add up, and a cost that is one
number. For everything else it says nothing, and parsed_answer.py reads it.
"""

from typing import Final

import msgspec

from proxy.core.money import LAST_DIGIT_PUSD
from proxy.wire.amount import NO_AMOUNT, Amount, amount_of
from proxy.wire.parsed_answer import ParsedAnswer, read_answer
from proxy.wire.usage import MAX_TOKENS, Usage

_new_tuple = tuple.__new__  # read from its class it would take longer than the call
_FIRST_OF_NUMBER: Final = frozenset("-0123456789")
_NOT_TOLD: Final = frozenset(("", "null"))
_EXACT_MAX_DIGITS: Final = len(LAST_DIGIT_PUSD) - 1


class _Behind(msgspec.Struct, gc=False):
    """What the provider behind charges."""

    upstream_inference_cost: msgspec.Raw = msgspec.Raw()


class _InputDetails(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """What a part of the input was: cached or, in a usage that needs a closer look, something else."""

    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    audio_tokens: int | None = None
    video_tokens: int | None = None
    image_tokens: int | None = None
    text_tokens: int | None = None


class _OutputDetails(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """What a part of the output was: reasoning or, in a usage that needs a closer look, something else."""

    reasoning_tokens: int | None = None
    image_tokens: int | None = None
    audio_tokens: int | None = None
    accepted_prediction_tokens: int | None = None
    rejected_prediction_tokens: int | None = None
    text_tokens: int | None = None


class _Usage(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A usage of CHAT.plain_keys; amounts as they were written."""

    prompt_tokens: int
    completion_tokens: int
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
    usage: _Usage
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
    choices, usage = message.choices, _plain_usage(message.usage)
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


def _plain_usage(usage: _Usage) -> Usage | None:
    """Return what read_usage() does of a usage that needs no closer look; None: it needs one."""
    input_tokens, output_tokens = usage.prompt_tokens, usage.completion_tokens
    if (
        usage.total_tokens != input_tokens + output_tokens
        or not 0 <= input_tokens <= MAX_TOKENS
        or not 0 <= output_tokens <= MAX_TOKENS
        or usage.is_byok  # the cost is the sum of two amounts
    ):
        return None
    cached_tokens = reasoning_tokens = None
    of_input, of_output = usage.prompt_tokens_details, usage.completion_tokens_details
    if of_input is not None:  # as is_plain_part() says
        cached_tokens = of_input.cached_tokens
        if (
            of_input.cache_write_tokens
            or of_input.audio_tokens
            or of_input.video_tokens
            or of_input.image_tokens
            or of_input.text_tokens
            or (cached_tokens and not 0 < cached_tokens <= input_tokens)
        ):
            return None
    if of_output is not None:
        reasoning_tokens = of_output.reasoning_tokens
        if (
            of_output.image_tokens
            or of_output.audio_tokens
            or of_output.accepted_prediction_tokens
            or of_output.rejected_prediction_tokens
            or of_output.text_tokens
            or (reasoning_tokens and not 0 < reasoning_tokens <= output_tokens)
        ):
            return None
    cost, behind = usage.cost, usage.cost_details
    total = _amount(str(cost, "latin-1"))
    if total is None:
        return None
    cost_pusd, is_exact, problem = total
    paid_pusd = None
    if behind is not None:
        paid = behind.upstream_inference_cost
        if paid == cost:
            paid_pusd = cost_pusd
        else:
            literal, literal_of_cost = str(paid, "latin-1"), str(cost, "latin-1")
            amount = _amount(literal)
            if amount is None:
                return None
            told = literal not in _NOT_TOLD and literal_of_cost not in _NOT_TOLD
            # the same double is, but for digits beyond a pico-USD, the same amount
            paid_pusd = cost_pusd if told and float(literal) == float(literal_of_cost) else amount[0]
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


def _amount(literal: str) -> Amount | None:
    """Return what a value of JSON says that is a number or null; empty: it is not there. None: it is something else."""
    whole, _, fraction = literal.partition(".")
    if whole == "0" and fraction.isdecimal() and len(fraction) <= _EXACT_MAX_DIGITS:  # nearly every cost
        return int(fraction) * LAST_DIGIT_PUSD[len(fraction)], True, None
    if literal in _NOT_TOLD:
        return NO_AMOUNT
    return amount_of(literal) if literal[0] in _FIRST_OF_NUMBER else None
