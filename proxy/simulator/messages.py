"""The Messages API in Anthropic's shape: one message, or the events that build it. Pure."""

from collections.abc import Iterator
from typing import Any

import orjson

from proxy.simulator.bill import messages_usage, with_usage
from proxy.simulator.faults import anthropic_error
from proxy.simulator.reply import Event, SimulatedReply, said

_STOP_REASONS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
}


def _message(reply: SimulatedReply) -> dict[str, Any]:
    return {
        "id": reply.id,
        "type": "message",
        "role": "assistant",
        "model": reply.model,
        **({} if reply.openai else {"provider": reply.provider}),
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
    }


def _blocks(reply: SimulatedReply) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    if reply.reasoning:
        blocks.append({"type": "thinking", "thinking": "".join(reply.reasoning), "signature": "c2ltdWxhdG9y"})
    if reply.pieces:
        blocks.append({"type": "text", "text": "".join(reply.pieces), "citations": None})
    for call in reply.calls:
        # a call that was cut short by max_tokens has no whole arguments
        whole = "".join(call.arguments) if reply.finish != "length" else "{}"
        given = orjson.Fragment((whole or "{}").encode())
        blocks.append({"type": "tool_use", "id": call.id, "name": call.name, "input": given})
    return blocks


def _stop_reason(reply: SimulatedReply) -> str | None:
    return None if reply.finish is None else _STOP_REASONS.get(reply.finish, reply.finish)


def body(reply: SimulatedReply) -> bytes:
    if reply.behaviour.choice_error:
        return orjson.dumps(anthropic_error(500, reply.behaviour.stream_error_message))
    message = _message(reply) | {"content": _blocks(reply), "stop_reason": _stop_reason(reply)}
    return orjson.dumps(
        with_usage(message, reply.behaviour, messages_usage(reply.behaviour, reply.bill(), direct=reply.openai))
    )


def count_tokens_body(tokens: int) -> dict[str, int]:
    return {"input_tokens": tokens}


def events(reply: SimulatedReply) -> Iterator[Event]:
    for kind, fields, tokens in _typed(reply):
        yield Event(kind, orjson.dumps(fields), tokens, fields["type"])


def _typed(reply: SimulatedReply) -> Iterator[tuple[str, dict[str, Any], int]]:
    behaviour = reply.behaviour
    ends_early = behaviour.stream_error_after
    if ends_early == 0:
        yield from _error(reply, 0)
        return
    begun = with_usage(_message(reply), behaviour, messages_usage(behaviour, reply.bill_so_far(0), direct=reply.openai))
    yield "chunk", {"type": "message_start", "message": begun}, 0
    yield "chunk", {"type": "ping"}, 0
    tokens, index, open_part = 0, -1, ""
    for part, call, words, count in said(reply):
        tokens += count
        block = f"call{call}" if part in ("call", "arguments") else part
        if block != open_part:
            if open_part:
                yield "chunk", {"type": "content_block_stop", "index": index}, tokens
            index, open_part = index + 1, block
            yield "chunk", _block_start(reply, part, call, index), tokens
        if part != "call":
            delta = {"type": "content_block_delta", "index": index, "delta": _delta(part, words)}
            yield "chunk", delta, tokens
        if ends_early is not None and tokens >= ends_early:
            yield from _error(reply, tokens)
            return
    if open_part:
        yield "chunk", {"type": "content_block_stop", "index": index}, tokens
    last: dict[str, Any] = {
        "type": "message_delta",
        "delta": {"stop_reason": _stop_reason(reply), "stop_sequence": None},
    }
    yield (
        "usage",
        dict(with_usage(last, behaviour, messages_usage(behaviour, reply.bill(), direct=reply.openai))),
        tokens,
    )
    if behaviour.done:
        yield "done", {"type": "message_stop"}, tokens


def _error(reply: SimulatedReply, tokens: int) -> Iterator[tuple[str, dict[str, Any], int]]:
    """End the stream by an error; usage before or after it where the behaviour says so."""
    behaviour = reply.behaviour
    counted = {
        "type": "message_delta",
        "delta": {"stop_reason": None, "stop_sequence": None},
        "usage": messages_usage(behaviour, reply.bill_so_far(tokens), direct=reply.openai),
    }
    if behaviour.stream_error_form == "with_usage":
        yield "chunk", counted, tokens
    yield "error", anthropic_error(500, behaviour.stream_error_message), tokens
    if behaviour.stream_error_form == "usage_after":
        yield "usage", counted, tokens


def _block_start(reply: SimulatedReply, part: str, call: int, index: int) -> dict[str, Any]:
    blocks: dict[str, dict[str, Any]] = {
        "reasoning": {"type": "thinking", "thinking": "", "signature": ""},
        "call": {"type": "tool_use", "input": {}},
    }
    block = blocks.get(part, {"type": "text", "text": "", "citations": None})
    if part == "call":
        block |= {"id": reply.calls[call].id, "name": reply.calls[call].name}
    return {"type": "content_block_start", "index": index, "content_block": block}


def _delta(part: str, words: str) -> dict[str, str]:
    if part == "reasoning":
        return {"type": "thinking_delta", "thinking": words}
    if part == "arguments":
        return {"type": "input_json_delta", "partial_json": words}
    return {"type": "text_delta", "text": words}
