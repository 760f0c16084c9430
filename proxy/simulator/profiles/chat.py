"""Chat completions as a profile writes them: the JSON body, and the events of a stream. Pure."""

from collections.abc import Iterator
from typing import Any

import orjson

from proxy.simulator.bill import Bill, with_usage
from proxy.simulator.profiles.profile import Profile
from proxy.simulator.profiles.usage import usage
from proxy.simulator.reply import Event, SimulatedReply, ToolCall, said


def body(reply: SimulatedReply, profile: Profile) -> bytes:
    """Return the answer that is not streamed."""
    content = "".join(reply.pieces)
    message: dict[str, Any] = {"role": "assistant", "content": None if reply.calls else content}
    if reply.reasoning:
        message[profile.stream.thoughts] = "".join(reply.reasoning)
    if reply.calls:
        message["tool_calls"] = [_call(call) for call in reply.calls]
    choices = [{"index": n, "message": message, "finish_reason": reply.finish} for n in range(reply.choices)]
    whole = _envelope(reply, "chat.completion") | {"choices": choices}
    return orjson.dumps(
        with_usage(whole, reply.behaviour, usage(profile.told, reply.behaviour, reply.bill(), final=True))
    )


def _envelope(reply: SimulatedReply, kind: str) -> dict[str, Any]:
    return {"id": reply.id, "object": kind, "created": reply.created, "model": reply.model}


def _call(call: ToolCall) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": "".join(call.arguments)}}


def events(reply: SimulatedReply, profile: Profile, *, asked: bool) -> Iterator[Event]:
    """Yield the chunks of a stream with usage where the profile puts it; asked: stream_options wants usage."""
    writer = _Writer(reply, profile, asked=asked)
    if profile.stream.first is not None:
        yield Event("chunk", writer.chunk([], 0, dict(profile.stream.first)), 0)
    tokens, ends_early = 0, reply.behaviour.stream_error_after
    if ends_early == 0:
        yield from writer.broken(0)
        return
    for choice in range(reply.choices):
        if profile.stream.empty_first:
            empty = {"role": "assistant", "content": ""}
            yield Event("chunk", writer.chunk([writer.choice(choice, empty)], tokens), tokens)
        for part, call, words, count in said(reply):
            tokens += count
            delta = writer.delta(part, call, words)
            yield Event("chunk", writer.chunk([writer.choice(choice, delta)], tokens), tokens)
            if ends_early is not None and tokens >= ends_early:
                yield from writer.broken(tokens)
                return
    yield from writer.end(tokens)


class _Writer:
    """Writes the chunks of one stream."""

    def __init__(self, reply: SimulatedReply, profile: Profile, *, asked: bool) -> None:
        self._reply = reply
        self._profile = profile
        self._asked = asked
        told = reply.behaviour.usage == "present" and profile.told.streamed != "never"
        self._shown = told and (asked or profile.told.streamed == "always")
        self._envelope = _envelope(reply, "chat.completion.chunk")

    def chunk(self, choices: list[dict[str, Any]], tokens: int, more: dict[str, Any] | None = None) -> bytes:
        """Return one chunk; where each reports usage, with that of so many tokens."""
        chunk = {**self._envelope, "choices": choices, **(more or {})}
        if self._shown and self._profile.told.at == "every":
            chunk.setdefault("usage", self._usage(self._reply.bill_so_far(tokens), final=False))
        return orjson.dumps(chunk)

    @staticmethod
    def choice(index: int, delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        return {"index": index, "delta": delta, "finish_reason": finish}

    def delta(self, part: str, call: int, words: str) -> dict[str, Any]:
        """Return the delta for one piece of what is said."""
        if part == "reasoning":
            return {self._profile.stream.thoughts: words}
        if part == "call":
            made = self._reply.calls[call]
            function: dict[str, Any] = {"name": made.name, "arguments": ""}
            return {"tool_calls": [{"index": call, "id": made.id, "type": "function", "function": function}]}
        if part == "arguments":
            return {"tool_calls": [{"index": call, "function": {"arguments": words}}]}
        return {"content": words}

    def end(self, tokens: int) -> Iterator[Event]:
        """Yield the last chunks: the finish reason, usage where it comes, the mark of the end."""
        told, reply = self._profile.told, self._reply
        whole = self._usage(reply.bill(), final=True)
        for index in range(reply.choices):
            last = self.choice(index, {}, reply.finish)
            more: dict[str, Any] = {}
            if self._shown and index == reply.choices - 1:
                if told.at == "choice":
                    last["usage"] = whole
                elif told.at == "x_groq":
                    more = {"x_groq": {"id": f"req_{reply.id}", "usage": whole}}
                elif told.at in ("finish", "every"):
                    more = {"usage": whole}
            kind = "usage" if more or "usage" in last else "chunk"
            yield Event(kind, self.chunk([last], tokens, more), tokens)
        beside = told.at in ("choice", "x_groq") and self._asked
        if self._shown and (told.at == "own_chunk" or beside):
            yield Event("usage", self.chunk([], tokens, {"usage": whole}), tokens)
        if self._profile.stream.done and reply.behaviour.done:
            yield Event("done", b"[DONE]", tokens)

    def broken(self, tokens: int) -> Iterator[Event]:
        """Yield what comes where the model breaks off."""
        broken = self._profile.stream.broken
        text = broken.body.encode() if isinstance(broken.body, str) else orjson.dumps(broken.body)
        yield Event("error", text, tokens, broken.event)
        if self._profile.stream.done_after_broken:
            yield Event("done", b"[DONE]", tokens)

    def _usage(self, bill: Bill, *, final: bool) -> Any:
        return usage(self._profile.told, self._reply.behaviour, bill, final=final)
