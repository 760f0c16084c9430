"""The answer that nearly every provider gives to a chat, read by its schema: what nobody asks for becomes no object.

It knows the plainest form alone: an id, choices without an error, a usage whose counts add up, and a cost that is one
number. For everything else it says nothing, and parsed_answer.py reads it.
"""

import re
from typing import Final

import msgspec

from proxy.core.money import MoneyError, usd_to_pusd
from proxy.wire.amount import NO_AMOUNT, amount_of
from proxy.wire.parsed_answer import ParsedAnswer, read_answer
from proxy.wire.usage import MAX_TOKENS, Usage, is_plain_part

_new_tuple = tuple.__new__  # read from its class it would take longer than the call
_NUMBER: Final = re.compile(rb"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_NOT_TOLD: Final = (b"", b"null")
_CACHED, _REASONING = "cached_tokens", "reasoning_tokens"  # as in usage_shape.CHAT


class _Behind(msgspec.Struct):
    """What the provider behind charges."""

    upstream_inference_cost: msgspec.Raw = msgspec.Raw()


class _Usage(msgspec.Struct, forbid_unknown_fields=True):
    """A usage of CHAT.plain_keys; amounts as they were written."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: dict[str, int | None] | None = None
    completion_tokens_details: dict[str, int | None] | None = None
    cost: msgspec.Raw = msgspec.Raw()
    is_byok: bool | None = None
    cost_details: _Behind | None = None


class _Choice(msgspec.Struct):
    finish_reason: str | None = None
    error: None = None


class _Message(msgspec.Struct):
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
    details, output_details = usage.prompt_tokens_details, usage.completion_tokens_details
    if (
        usage.total_tokens != input_tokens + output_tokens
        or not 0 <= input_tokens <= MAX_TOKENS
        or not 0 <= output_tokens <= MAX_TOKENS
    ):
        return None
    if usage.is_byok:  # the cost is the sum of two amounts
        return None
    cached_tokens = reasoning_tokens = None
    if details is not None:
        cached_tokens = details.get(_CACHED)
        if (cached_tokens is None or any(details.values())) and not is_plain_part(details, _CACHED, input_tokens):
            return None
    if output_details is not None:
        reasoning_tokens = output_details.get(_REASONING)
        if (reasoning_tokens is None or any(output_details.values())) and not is_plain_part(
            output_details, _REASONING, output_tokens
        ):
            return None
    cost, total, paid_pusd = bytes(usage.cost), NO_AMOUNT, None
    if cost not in _NOT_TOLD:
        if _NUMBER.fullmatch(cost) is None:
            return None
        try:
            total = *usd_to_pusd(cost.decode()), None
        except MoneyError:
            total = amount_of(cost.decode())  # which says what is wrong with it
    if usage.cost_details is not None:
        behind = bytes(usage.cost_details.upstream_inference_cost)
        if behind not in _NOT_TOLD:
            if _NUMBER.fullmatch(behind) is None:
                return None
            is_same = behind == cost or (cost not in _NOT_TOLD and float(behind) == float(cost))
            paid_pusd = total[0] if is_same else amount_of(behind.decode())[0]
    fields = (
        input_tokens, output_tokens, cached_tokens, reasoning_tokens, *total, usage.is_byok, paid_pusd, None
    )  # fmt: skip
    return _new_tuple(Usage, fields)  # what Usage(…) comes to, without the call between
