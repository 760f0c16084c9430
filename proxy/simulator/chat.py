"""Chat completions: the JSON body and the streamed chunks, as OpenRouter and as OpenAI write them. Pure."""

from collections.abc import Iterator
from typing import Any

import orjson

from proxy.simulator.bill import Bill, chat_usage, with_usage
from proxy.simulator.faults import openai_error
from proxy.simulator.reply import Event, SimulatedReply, ToolCall, said

_FINGERPRINT = "fp_simulator"
_NO_UTF8 = b"\xff\xfe\xc3("


def body(reply: SimulatedReply) -> bytes:
    """Write the answer that is not streamed."""
    choices = [_choice(reply, index) for index in range(reply.choices)]
    whole = _envelope(reply, "chat.completion")
    if not reply.openai:
        whole["system_fingerprint"] = None
    whole["choices"] = choices
    usage = chat_usage(reply.behaviour, reply.bill(), openai=reply.openai)
    data = orjson.dumps(with_usage(whole, reply.behaviour, usage))
    return _spoilt(data, reply)


def _envelope(reply: SimulatedReply, kind: str) -> dict[str, Any]:
    envelope: dict[str, Any] = {
        "id": reply.id,
        "object": kind,
        "created": reply.created,
        "model": reply.model,
    }
    if reply.openai:
        return envelope | {"service_tier": "default", "system_fingerprint": _FINGERPRINT}
    return envelope | {"provider": reply.provider, "service_tier": None}


def _choice(reply: SimulatedReply, index: int) -> dict[str, Any]:
    content = "".join(reply.pieces)
    message: dict[str, Any] = {"role": "assistant", "content": content, "refusal": reply.refusal}
    if reply.refusal is not None or (reply.calls and reply.openai):
        message["content"] = None
    if reply.reasoning or not reply.openai:
        message["reasoning"] = "".join(reply.reasoning) or None
    if reply.reasoning and not reply.openai:
        message["reasoning_details"] = [_reasoning_detail("".join(reply.reasoning))]
    if reply.openai:
        message["annotations"] = []
    if reply.calls:
        message["tool_calls"] = [_tool_call(reply, n, call) for n, call in enumerate(reply.calls)]
    choice: dict[str, Any] = {"index": index, "logprobs": None, "finish_reason": reply.finish}
    if not reply.openai:
        choice["native_finish_reason"] = reply.native
    if reply.behaviour.choice_error:
        message["content"] = content[: len(content) // 2]
        choice |= {"finish_reason": "error", "error": {"code": 502, "message": "Provider disconnected"}}
    return choice | {"message": message}


def _tool_call(reply: SimulatedReply, index: int, call: ToolCall) -> dict[str, Any]:
    body = {
        "id": call.id,
        "type": "function",
        "function": {"name": call.name, "arguments": "".join(call.arguments)},
    }
    return body if reply.openai else {"index": index} | body


def _reasoning_detail(words: str) -> dict[str, Any]:
    return {"type": "reasoning.text", "text": words, "format": "unknown", "index": 0}


def _spoilt(data: bytes, reply: SimulatedReply) -> bytes:
    """Return the event with bytes that are not UTF-8 after its first content, if the behaviour wants them."""
    return data.replace(b'"content":"', b'"content":"' + _NO_UTF8, 1) if reply.behaviour.invalid_utf8 else data


class _Chunks:
    """Writes the chunks of one stream; everything that all chunks share is encoded once."""

    def __init__(self, reply: SimulatedReply) -> None:
        self.reply = reply
        self.behaviour = reply.behaviour
        self.open = orjson.dumps(_envelope(reply, "chat.completion.chunk"))[:-1]
        # with the option on, OpenAI writes usage null on every chunk but the last
        self.close = b',"usage":null}' if reply.openai and reply.include_usage else b"}"
        if self.behaviour.obfuscation and reply.openai:
            self.close = b',"obfuscation":"xkcd"' + self.close
        self.plain_tail = b'},"finish_reason":null,"native_finish_reason":null}]'
        if reply.openai:
            self.plain_tail = b'},"logprobs":null,"finish_reason":null}]'

    def delta(self, choice: int, delta: bytes) -> bytes:
        """Write a chunk with one choice and no usage; delta is JSON text without its braces."""
        return b'%b,"choices":[{"index":%d,"delta":{%b%b' % (self.open, choice, delta, self.plain_tail)

    def finish(self, choice: int, *, blank: bool = False) -> bytes:
        """Write a chunk with an empty delta and the finish reason (null if blank)."""
        reply = self.reply
        reason = orjson.dumps(None if blank else reply.finish)
        if reply.openai:
            return b'%b,"choices":[{"index":%d,"delta":{},"logprobs":null,"finish_reason":%b}]' % (
                self.open,
                choice,
                reason,
            )
        native = orjson.dumps(None if blank else reply.native)
        return (
            b'%b,"choices":[{"index":%d,"delta":{"content":"","role":"assistant"},"finish_reason":%b,'
            b'"native_finish_reason":%b}]' % (self.open, choice, reason, native)
        )

    def usage(self, bill: Bill) -> bytes:
        """Write the usage member with its comma in front."""
        if self.behaviour.usage == "null":
            return b',"usage":null'
        return b',"usage":' + orjson.dumps(chat_usage(self.behaviour, bill, openai=self.reply.openai))

    def usage_chunk(self, bill: Bill) -> bytes:
        shape = "C" if self.reply.openai else self.behaviour.usage_shape
        start = self.open + b',"choices":[]' if shape == "C" else self.finish(0, blank=shape == "B")
        return start + self.usage(bill) + b"}"

    def part(self, choice: int, kind: str, call: int, words: str, *, first: bool) -> bytes:
        """Write one delta of what is said."""
        text = orjson.dumps(words)
        if kind == "call":
            made = self.reply.calls[call]
            text = b'"tool_calls":[{"index":%d,"id":%b,"type":"function","function":{"name":%b,"arguments":""}}]' % (
                call,
                orjson.dumps(made.id),
                orjson.dumps(made.name),
            )
        elif kind == "arguments":
            kind_text = b"" if self.reply.openai else b'"type":"function",'
            text = b'"tool_calls":[{"index":%d,%b"function":{"arguments":%b}}]' % (call, kind_text, text)
        elif kind == "reasoning":
            details = b"" if self.reply.openai else orjson.dumps([_reasoning_detail(words)])
            text = b'"reasoning":' + text + (b',"reasoning_details":' + details if details else b"")
            if not self.reply.openai:
                text = b'"content":"",' + text
        else:
            text = b'"%b":%b' % (kind.encode(), text)
        if not self.reply.openai:
            return self.delta(choice, (b'"content":null,' if kind in ("call", "arguments") else b"") + text + _ROLE)
        return self.delta(choice, (b'"role":"assistant",' if first else b"") + text)


_ROLE = b',"role":"assistant"'


def events(reply: SimulatedReply) -> Iterator[Event]:
    """Yield the chunks of a stream, then usage as the behaviour says, then [DONE] if it says so."""
    chunks = _Chunks(reply)
    behaviour = reply.behaviour
    tokens = 0
    ends_early = behaviour.stream_error_after
    shown = behaviour.usage == "present" and reply.include_usage
    if ends_early == 0:
        yield from _error(chunks, 0)
        return
    first_chunk = True
    for choice in range(reply.choices):
        for number, (kind, call, words, count) in enumerate(said(reply)):
            tokens += count
            data = chunks.part(choice, kind, call, words, first=number == 0)
            if shown and (behaviour.usage_at == "every" or (behaviour.usage_at == "first" and first_chunk)):
                bill = reply.bill() if behaviour.usage_at == "first" else reply.bill_so_far(tokens)
                data += chunks.usage(bill) + b"}"
            else:
                data += chunks.close
            yield Event("chunk", _spoilt(data, reply) if first_chunk else data, tokens)
            first_chunk = False
            if ends_early is not None and tokens >= ends_early:
                yield from _error(chunks, tokens)
                return
        yield Event("chunk", chunks.finish(choice) + chunks.close, tokens)
    yield from _end(chunks, tokens, shown=shown)


def _end(chunks: _Chunks, tokens: int, *, shown: bool) -> Iterator[Event]:
    reply, behaviour = chunks.reply, chunks.behaviour
    usage = [Event("usage", chunks.usage_chunk(reply.bill()), tokens)]
    if behaviour.usage == "missing" or not reply.include_usage or (shown and behaviour.usage_at == "first"):
        usage = []
    done = [Event("done", b"[DONE]", tokens)] if behaviour.done else []
    if behaviour.usage_at == "twice":
        usage *= 2
    yield from done + usage if behaviour.usage_at == "after_done" else usage + done


def _error(chunks: _Chunks, tokens: int) -> Iterator[Event]:
    """End the stream with an error event in one of the forms that were seen."""
    reply, behaviour = chunks.reply, chunks.behaviour
    code, message = behaviour.stream_error_code, behaviour.stream_error_message
    if reply.openai:
        yield Event("error", orjson.dumps(openai_error(500, message, code=str(code))), tokens)
    else:
        error = {"code": code, "message": message, "metadata": {"error_type": "provider_unavailable"}}
        head = chunks.open + b',"error":' + orjson.dumps(error)
        choice = b'"choices":[{"index":0,"delta":{"content":""},"finish_reason":"error"}]'
        form = behaviour.stream_error_form
        if form == "empty_choices":
            choice = b'"choices":[]'
        if form == "with_usage":
            choice = b'"choices":[{"index":0,"delta":{"content":""},"finish_reason":null}]'
            choice += chunks.usage(reply.bill_so_far(tokens))
        yield Event("error", head + b"," + choice + b"}", tokens)
        if form == "usage_after":
            data = chunks.open + b',"choices":[]' + chunks.usage(reply.bill_so_far(tokens)) + b"}"
            yield Event("usage", data, tokens)
    if behaviour.stream_error_done:
        yield Event("done", b"[DONE]", tokens)
