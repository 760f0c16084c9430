"""The Responses API: one object, or typed events that build it. Pure."""

from collections.abc import Iterator
from typing import Any

import orjson

from proxy.simulator import text
from proxy.simulator.bill import responses_usage, with_usage
from proxy.simulator.reply import Event, Reply, said


def _id(reply: Reply, prefix: str, index: int = 0) -> str:
    return f"{prefix}_{text.alphanumerics(text.number(reply.seed, f'{prefix}{index}', reply.sequence), 32)}"


def _response(reply: Reply, status: str, output: list[Any]) -> dict[str, Any]:
    return {
        "id": reply.id,
        "object": "response",
        "created_at": reply.created,
        "completed_at": reply.created if status == "completed" else None,
        "status": status,
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
        "instructions": None,
        "metadata": {},
        "model": reply.model,
        "output": output,
        "parallel_tool_calls": True,
        "frequency_penalty": 0,
        "presence_penalty": 0,
        "temperature": 1,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1,
        "max_output_tokens": None,
        "previous_response_id": None,
        "reasoning": None,
        "store": False,
        "text": {"format": {"type": "text"}},
        "truncation": "disabled",
        "usage": None,
        "user": None,
    }


def _part(reply: Reply, words: str) -> dict[str, Any]:
    if reply.refusal is not None:
        return {"type": "refusal", "refusal": words}
    return {"type": "output_text", "text": words, "annotations": [], "logprobs": []}


def _output(reply: Reply) -> list[dict[str, Any]]:
    output: list[dict[str, Any]] = []
    if reply.reasoning:
        summary = [{"type": "summary_text", "text": "".join(reply.reasoning)}]
        output.append({"type": "reasoning", "id": _id(reply, "rs"), "summary": summary, "status": "completed"})
    for index, call in enumerate(reply.calls):
        output.append(
            {
                "type": "function_call",
                "id": _id(reply, "fc", index),
                "call_id": call.id,
                "name": call.name,
                "arguments": "".join(call.arguments),
                "status": "completed",
            }
        )
    if not reply.calls:
        message = {"type": "message", "id": _id(reply, "msg"), "role": "assistant", "status": "completed"}
        output.append(message | {"content": [_part(reply, "".join(reply.pieces))]})
    return output


def _status(reply: Reply) -> str:
    return "incomplete" if reply.finish == "length" else "completed"


def _whole(reply: Reply) -> dict[str, Any]:
    whole = _response(reply, _status(reply), _output(reply))
    del whole["usage"]
    usage = responses_usage(reply.behaviour, reply.bill(), openai=reply.openai)
    return dict(with_usage(whole, reply.behaviour, usage))


def body(reply: Reply) -> bytes:
    return orjson.dumps(_whole(reply))


def events(reply: Reply) -> Iterator[Event]:
    """Give the typed events; OpenAI names each on an event: line, OpenRouter does not.

    [DONE] only at OpenRouter.
    """
    for number, (kind, name, fields, tokens) in enumerate(_typed(reply)):
        data = orjson.dumps({"type": name, "sequence_number": number} | fields)
        yield Event(kind, data, tokens, name if reply.openai else None)
    failed = reply.behaviour.stream_error_after is not None
    told = reply.behaviour.stream_error_done if failed else reply.behaviour.done
    if told and not reply.openai:
        yield Event("done", b"[DONE]", reply.whole_tokens)


def _typed(reply: Reply) -> Iterator[tuple[str, str, dict[str, Any], int]]:
    begun = _response(reply, "in_progress", [])
    yield "chunk", "response.created", {"response": begun}, 0
    yield "chunk", "response.in_progress", {"response": begun}, 0
    tokens = 0
    for index, item in enumerate(_output(reply)):
        if item["type"] == "reasoning":
            tokens = len(reply.reasoning)
        started = item | {"status": "in_progress"}
        started |= {"content": []} if "content" in item else {}
        started |= {"arguments": ""} if "arguments" in item else {}
        where = {"output_index": index}
        yield "chunk", "response.output_item.added", where | {"item": started}, tokens
        if item["type"] == "message":
            for event in _message(reply, item, where, tokens):
                yield event
                tokens = event[3]
                if event[0] == "error":
                    return
        elif item["type"] == "function_call":
            where |= {"item_id": item["id"]}
            call = reply.calls[index - (1 if reply.reasoning else 0)]
            for words in call.arguments:
                tokens += 1
                yield "chunk", "response.function_call_arguments.delta", where | {"delta": words}, tokens
            done = where | {"arguments": item["arguments"], "name": call.name}
            yield "chunk", "response.function_call_arguments.done", done, tokens
        yield "chunk", "response.output_item.done", {"output_index": index, "item": item}, tokens
    yield "usage", f"response.{_status(reply)}", {"response": _whole(reply)}, reply.whole_tokens


def _message(
    reply: Reply, item: dict[str, Any], where: dict[str, Any], tokens: int
) -> Iterator[tuple[str, str, dict[str, Any], int]]:
    where = where | {"item_id": item["id"], "content_index": 0}
    kind = "refusal" if reply.refusal is not None else "output_text"
    more: dict[str, Any] = {} if kind == "refusal" else {"logprobs": []}
    yield "chunk", "response.content_part.added", where | {"part": _part(reply, "")}, tokens
    for part, _, words, count in said(reply):
        if reply.behaviour.stream_error_after is not None and tokens >= reply.behaviour.stream_error_after:
            yield "error", "response.failed", {"response": _failed(reply)}, tokens
            return
        if part != "reasoning":
            tokens += count
            yield "chunk", f"response.{kind}.delta", where | {"delta": words} | more, tokens
    words = "".join(reply.pieces)
    field = "refusal" if kind == "refusal" else "text"
    yield "chunk", f"response.{kind}.done", where | {field: words} | more, tokens
    yield "chunk", "response.content_part.done", where | {"part": _part(reply, words)}, tokens


def _failed(reply: Reply) -> dict[str, Any]:
    failed = _response(reply, "failed", [])
    return failed | {"error": {"code": "server_error", "message": reply.behaviour.stream_error_message}}
