"""The older completions: text in, text out, plain and streamed. Pure."""

from collections.abc import Iterator
from typing import Any

import orjson

from proxy.simulator.bill import chat_usage, with_usage
from proxy.simulator.faults import openai_error, openrouter_error
from proxy.simulator.reply import Event, SimulatedReply, said


def _envelope(reply: SimulatedReply) -> dict[str, Any]:
    envelope: dict[str, Any] = {
        "id": reply.id,
        "object": "text_completion",
        "created": reply.created,
        "model": reply.model,
    }
    return envelope if reply.openai else envelope | {"provider": reply.provider}


def _choice(reply: SimulatedReply, index: int, words: str, finish: str | None) -> dict[str, Any]:
    choice: dict[str, Any] = {"index": index, "text": words, "logprobs": None, "finish_reason": finish}
    return choice if reply.openai else choice | {"native_finish_reason": reply.native if finish else None}


def body(reply: SimulatedReply) -> bytes:
    whole = _envelope(reply)
    whole["choices"] = [_choice(reply, i, "".join(reply.pieces), reply.finish) for i in range(reply.choices)]
    if reply.behaviour.choice_error:
        error = openrouter_error(reply.behaviour.stream_error_code, reply.behaviour.stream_error_message)
        whole["choices"][0] |= error | {"finish_reason": "error"}
    return orjson.dumps(
        with_usage(whole, reply.behaviour, chat_usage(reply.behaviour, reply.bill(), openai=reply.openai))
    )


def events(reply: SimulatedReply) -> Iterator[Event]:
    behaviour = reply.behaviour
    ends_early = behaviour.stream_error_after
    tokens = 0
    if ends_early == 0:
        yield from _error(reply, 0)
        return
    for index in range(reply.choices):
        for _, _, words, count in said(reply):
            tokens += count
            yield Event(
                "chunk",
                orjson.dumps(_envelope(reply) | {"choices": [_choice(reply, index, words, None)]}),
                tokens,
            )
            if ends_early is not None and tokens >= ends_early:
                yield from _error(reply, tokens)
                return
        last = _envelope(reply) | {"choices": [_choice(reply, index, "", reply.finish)]}
        yield Event("chunk", orjson.dumps(last), tokens)
    if reply.include_usage and behaviour.usage != "missing":
        usage = chat_usage(behaviour, reply.bill(), openai=reply.openai)
        whole = with_usage(_envelope(reply) | {"choices": []}, behaviour, usage)
        yield Event("usage", orjson.dumps(whole), tokens)
    if behaviour.done:
        yield Event("done", b"[DONE]", tokens)


def _error(reply: SimulatedReply, tokens: int) -> Iterator[Event]:
    """End the stream with an error event in one of the forms that chat completions have."""
    behaviour = reply.behaviour
    code, message = behaviour.stream_error_code, behaviour.stream_error_message
    if reply.openai:
        yield Event("error", orjson.dumps(openai_error(500, message, code=str(code))), tokens)
    else:
        form = behaviour.stream_error_form
        choice = _choice(reply, 0, "", "error" if form == "choice" else None)
        body = _envelope(reply) | openrouter_error(code, message)
        body["choices"] = [] if form == "empty_choices" else [choice]
        counted = chat_usage(behaviour, reply.bill_so_far(tokens), openai=False)
        yield Event("error", orjson.dumps(body | {"usage": counted} if form == "with_usage" else body), tokens)
        if form == "usage_after":
            yield Event("usage", orjson.dumps(_envelope(reply) | {"choices": [], "usage": counted}), tokens)
    if behaviour.stream_error_done:
        yield Event("done", b"[DONE]", tokens)
