"""The Responses API: one object, or typed events that build it. Pure."""

from collections.abc import Iterator
from typing import Any

import orjson

from proxy.simulator import text
from proxy.simulator.bill import responses_usage, with_usage
from proxy.simulator.reply import Event, SimulatedReply, ToolCall, said

_Typed = tuple[str, str, dict[str, Any], int]  # kind of Event, type, fields, tokens out by then
_BLANK: dict[str, Any] = {"content": [], "arguments": "", "summary": []}  # of an item that has only begun


def _id(reply: SimulatedReply, prefix: str, index: int = 0) -> str:
    return f"{prefix}_{text.alphanumerics(text.number(reply.seed, f'{prefix}{index}', reply.sequence), 32)}"


def _response(reply: SimulatedReply, status: str, output: list[Any]) -> dict[str, Any]:
    return {
        "id": reply.id,
        "object": "response",
        "created_at": reply.created,
        "completed_at": reply.created if status == "completed" else None,
        "status": status,
        "error": None,
        "incomplete_details": {"reason": _reason(reply)} if status == "incomplete" else None,
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


def _part(reply: SimulatedReply, words: str) -> dict[str, Any]:
    if reply.refusal is not None:
        return {"type": "refusal", "refusal": words}
    return {"type": "output_text", "text": words, "annotations": [], "logprobs": []}


def _output(reply: SimulatedReply) -> list[dict[str, Any]]:
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


def _status(reply: SimulatedReply) -> str:
    if reply.behaviour.choice_error:
        return "failed"
    stopped = reply.finish == "content_filter" and reply.refusal is None  # a refusal is a whole answer here
    return "incomplete" if stopped or reply.finish == "length" else "completed"


def _reason(reply: SimulatedReply) -> str:
    return "content_filter" if reply.finish == "content_filter" else "max_output_tokens"


def _whole(reply: SimulatedReply) -> dict[str, Any]:
    whole = _response(reply, _status(reply), _output(reply))
    if reply.behaviour.choice_error:
        whole["error"] = _told_error(reply)
    del whole["usage"]
    usage = responses_usage(reply.behaviour, reply.bill(), openai=reply.openai)
    return dict(with_usage(whole, reply.behaviour, usage))


def body(reply: SimulatedReply) -> bytes:
    return orjson.dumps(_whole(reply))


def events(reply: SimulatedReply) -> Iterator[Event]:
    """Yield the typed events; OpenAI names each on an event: line, OpenRouter does not.

    [DONE] only at OpenRouter.
    """
    for number, (kind, name, fields, tokens) in enumerate(_until_error(reply)):
        data = orjson.dumps({"type": name, "sequence_number": number} | fields)
        yield Event(kind, data, tokens, name if reply.openai else None)
    failed = reply.behaviour.stream_error_after is not None
    told = reply.behaviour.stream_error_done if failed else reply.behaviour.done
    if told and not reply.openai:
        yield Event("done", b"[DONE]", reply.whole_tokens)


def _until_error(reply: SimulatedReply) -> Iterator[_Typed]:
    """Yield the events, cut short by an error after so many tokens; a shorter answer reaches its end."""
    after = reply.behaviour.stream_error_after
    if after == 0:
        yield from _error(reply, 0)
        return
    for event in _typed(reply):
        yield event
        if after is not None and event[3] >= after and event[1].endswith(".delta"):
            yield from _error(reply, event[3])
            return


def _typed(reply: SimulatedReply) -> Iterator[_Typed]:
    begun = _response(reply, "in_progress", [])
    yield "chunk", "response.created", {"response": begun}, 0
    yield "chunk", "response.in_progress", {"response": begun}, 0
    tokens = 0
    for index, item in enumerate(_output(reply)):
        started = item | {"status": "in_progress"}
        started |= {name: blank for name, blank in _BLANK.items() if name in item}
        where = {"output_index": index}
        yield "chunk", "response.output_item.added", where | {"item": started}, tokens
        where |= {"item_id": item["id"]}
        if item["type"] == "reasoning":
            inner = _reasoning(reply, where)
        elif item["type"] == "message":
            inner = _message(reply, where, tokens)
        else:
            inner = _call(item, reply.calls[index - (1 if reply.reasoning else 0)], where, tokens)
        for event in inner:
            yield event
            tokens = event[3]
        yield "chunk", "response.output_item.done", {"output_index": index, "item": item}, tokens
    yield "usage", f"response.{_status(reply)}", {"response": _whole(reply)}, reply.whole_tokens


def _reasoning(reply: SimulatedReply, where: dict[str, Any]) -> Iterator[_Typed]:
    where = where | {"summary_index": 0}
    name = "response.reasoning_summary"
    tokens = 0
    yield "chunk", f"{name}_part.added", where | {"part": {"type": "summary_text", "text": ""}}, tokens
    for part, _, words, count in said(reply):
        if part == "reasoning":
            tokens += count
            yield "chunk", f"{name}_text.delta", where | {"delta": words}, tokens
    words = "".join(reply.reasoning)
    yield "chunk", f"{name}_text.done", where | {"text": words}, tokens
    yield "chunk", f"{name}_part.done", where | {"part": {"type": "summary_text", "text": words}}, tokens


def _call(item: dict[str, Any], call: ToolCall, where: dict[str, Any], tokens: int) -> Iterator[_Typed]:
    for words in call.arguments:
        tokens += 1
        yield "chunk", "response.function_call_arguments.delta", where | {"delta": words}, tokens
    done = where | {"arguments": item["arguments"], "name": call.name}
    yield "chunk", "response.function_call_arguments.done", done, tokens


def _message(reply: SimulatedReply, where: dict[str, Any], tokens: int) -> Iterator[_Typed]:
    where = where | {"content_index": 0}
    kind = "refusal" if reply.refusal is not None else "output_text"
    more: dict[str, Any] = {} if kind == "refusal" else {"logprobs": []}
    yield "chunk", "response.content_part.added", where | {"part": _part(reply, "")}, tokens
    for part, _, words, count in said(reply):
        if part != "reasoning":
            tokens += count
            yield "chunk", f"response.{kind}.delta", where | {"delta": words} | more, tokens
    words = "".join(reply.pieces)
    field = "refusal" if kind == "refusal" else "text"
    yield "chunk", f"response.{kind}.done", where | {field: words} | more, tokens
    yield "chunk", "response.content_part.done", where | {"part": _part(reply, words)}, tokens


def _error(reply: SimulatedReply, tokens: int) -> Iterator[_Typed]:
    """End the stream as the behaviour says: by response.failed, by a bare error, with usage or with both."""
    form = reply.behaviour.stream_error_form
    if form in ("empty_choices", "usage_after"):
        told = _told_error(reply)
        yield "error", "error", {"code": told["code"], "message": told["message"], "param": None}, tokens
        if form == "empty_choices":
            return
    failed = _response(reply, "failed", []) | {"error": _told_error(reply)}
    if form in ("with_usage", "usage_after"):
        failed["usage"] = responses_usage(reply.behaviour, reply.bill_so_far(tokens), openai=reply.openai)
    yield "usage" if form == "usage_after" else "error", "response.failed", {"response": failed}, tokens


def _told_error(reply: SimulatedReply) -> dict[str, str]:
    code = reply.behaviour.stream_error_code
    word = code if isinstance(code, str) else "server_error"  # the codes of this API are words
    return {"code": word, "message": reply.behaviour.stream_error_message}
