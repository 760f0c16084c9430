"""The older completions: text in, text out, plain and streamed. Pure."""

from collections.abc import Iterator
from typing import Any

import orjson

from proxy.simulator.bill import chat_usage, with_usage
from proxy.simulator.faults import openai_error, openrouter_error
from proxy.simulator.reply import Event, Reply, said


def _envelope(reply: Reply) -> dict[str, Any]:
    envelope: dict[str, Any] = {
        "id": reply.id,
        "object": "text_completion",
        "created": reply.created,
        "model": reply.model,
    }
    return envelope if reply.openai else envelope | {"provider": reply.provider}


def _choice(reply: Reply, index: int, words: str, finish: str | None) -> dict[str, Any]:
    choice: dict[str, Any] = {"index": index, "text": words, "logprobs": None, "finish_reason": finish}
    return choice if reply.openai else choice | {"native_finish_reason": reply.native if finish else None}


def body(reply: Reply) -> bytes:
    whole = _envelope(reply)
    whole["choices"] = [_choice(reply, i, "".join(reply.pieces), reply.finish) for i in range(reply.choices)]
    return orjson.dumps(
        with_usage(whole, reply.behaviour, chat_usage(reply.behaviour, reply.bill(), openai=reply.openai))
    )


def events(reply: Reply) -> Iterator[Event]:
    behaviour = reply.behaviour
    tokens = 0
    for index in range(reply.choices):
        for _, _, words, count in said(reply):
            if behaviour.stream_error_after is not None and tokens >= behaviour.stream_error_after:
                yield _error(reply, tokens)
                return
            tokens += count
            yield Event(
                "chunk",
                orjson.dumps(_envelope(reply) | {"choices": [_choice(reply, index, words, None)]}),
                tokens,
            )
        last = _envelope(reply) | {"choices": [_choice(reply, index, "", reply.finish)]}
        yield Event("chunk", orjson.dumps(last), tokens)
    if reply.include_usage and behaviour.usage != "missing":
        usage = chat_usage(behaviour, reply.bill(), openai=reply.openai)
        whole = with_usage(_envelope(reply) | {"choices": []}, behaviour, usage)
        yield Event("usage", orjson.dumps(whole), tokens)
    if behaviour.done:
        yield Event("done", b"[DONE]", tokens)


def _error(reply: Reply, tokens: int) -> Event:
    code, message = reply.behaviour.stream_error_code, reply.behaviour.stream_error_message
    if reply.openai:
        return Event("error", orjson.dumps(openai_error(500, message, code=str(code))), tokens)
    return Event("error", orjson.dumps(_envelope(reply) | openrouter_error(code, message) | {"choices": []}), tokens)
