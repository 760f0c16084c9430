"""What a provider tells in one answer, in the shape that OpenRouter's answers were recorded in, as bytes."""

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

MODEL: Final = "openai/gpt-4o-mini"
SERVED_MODEL: Final = "openai/gpt-4o-mini-2024-07-18"
WORDS: Final = ("Once", " upon", " a time …", " it rained.")
INPUT_TOKENS: Final = 9
OUTPUT_TOKENS: Final = 11
DONE: Final = b"data: [DONE]\n\n"
COMMENT: Final = b": OPENROUTER PROCESSING\n\n"
END: Final = b"0\r\n\r\n"
_CREATED: Final = 1_793_539_200


def head(status: int = 200, *lines: str, reason: str = "Whatever") -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status} {reason}", *lines, "", ""]).encode("latin-1")


def plain(
    body: bytes | Mapping[str, Any], *lines: str, status: int = 200, type_: str | None = "application/json"
) -> bytes:
    """Write an answer with Content-Length; a mapping is sent as JSON."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = [] if type_ is None else [f"Content-Type: {type_}"]
    return head(status, *named, f"Content-Length: {len(data)}", *lines) + data


def chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def stream_head(*lines: str, type_: str = "text/event-stream") -> bytes:
    return head(200, f"Content-Type: {type_}", "Transfer-Encoding: chunked", *lines)


def event(fields: Mapping[str, Any] | str) -> bytes:
    """Write one event; a text is sent as it is."""
    data = fields if isinstance(fields, str) else json.dumps(fields, ensure_ascii=False)
    return f"data: {data}\n\n".encode()


def usd(pusd: int) -> str:
    """Write an amount as a JSON number, exact to the pico-USD."""
    return f"{pusd // 10**12}.{pusd % 10**12:012}"


def error(code: int | str = 502, message: str = "Provider returned error", **more: Any) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, **more}}


class Told:
    """One good answer: id, cost, and the bytes of its parts. cost: the literal in usage.cost; None leaves it out."""

    def __init__(
        self, id_: str, charged_pusd: int, cost: str | None = "", *, output_tokens: int = OUTPUT_TOKENS
    ) -> None:
        self.output_tokens = output_tokens
        self.id = id_
        self.charged_pusd = charged_pusd
        self.cost = usd(charged_pusd) if cost == "" else cost

    def usage_text(self) -> str:
        cost = "" if self.cost is None else f', "cost": {self.cost}'
        return (
            f'{{"prompt_tokens": {INPUT_TOKENS}, "completion_tokens": {self.output_tokens}, '
            f'"total_tokens": {INPUT_TOKENS + self.output_tokens}{cost}}}'
        )

    def body(self, usage: str | None = "", **more: Any) -> bytes:
        """Give the JSON of an answer that is not streamed. usage: text of its field, None to leave it out."""
        fields: dict[str, Any] = {
            "id": self.id,
            "provider": "OpenAI",
            "model": SERVED_MODEL,
            "object": "chat.completion",
            "created": _CREATED,
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": "".join(WORDS), "refusal": None},
                    "finish_reason": "stop",
                    "native_finish_reason": "stop",
                    "logprobs": None,
                }
            ],
            **more,
        }
        text = json.dumps(fields, ensure_ascii=False)
        usage = self.usage_text() if usage == "" else usage
        return (text if usage is None else f'{text[:-1]}, "usage": {usage}}}').encode()

    def piece(self, content: str = "", finish: str | None = None, usage: str | None = None, **more: Any) -> bytes:
        """Give one event of the stream."""
        fields: dict[str, Any] = {
            "id": self.id,
            "provider": "OpenAI",
            "model": SERVED_MODEL,
            "object": "chat.completion.chunk",
            "created": _CREATED,
            "choices": [
                {
                    "index": 0,
                    "delta": {"role": "assistant", "content": content},
                    "finish_reason": finish,
                    "native_finish_reason": finish,
                    "logprobs": None,
                }
            ],
            **more,
        }
        text = json.dumps(fields, ensure_ascii=False)
        return event(text if usage is None else f'{text[:-1]}, "usage": {usage}}}')

    def content(self) -> list[bytes]:
        return [self.piece(word) for word in WORDS]

    def finish(self) -> bytes:
        return self.piece(finish="stop")

    def bill(self) -> bytes:
        return self.piece(usage=self.usage_text())

    def events(self) -> list[bytes]:
        """Give the whole stream, event by event."""
        return [COMMENT, *self.content(), self.finish(), self.bill(), DONE]

    def answer(self, *lines: str) -> bytes:
        return plain(self.body(), f"X-Generation-Id: {self.id}", *lines)

    def stream(self, events: Iterable[bytes] | None = None, *lines: str) -> bytes:
        """Give a head and events in chunks, the last chunk missing."""
        given = self.events() if events is None else events
        return stream_head(f"X-Generation-Id: {self.id}", *lines) + b"".join(chunk(part) for part in given)

    def record(self) -> dict[str, Any]:
        """Give what GET /generation tells of it, under "data"."""
        return {
            "id": self.id,
            "total_cost": self.charged_pusd / 10**12,
            "model": SERVED_MODEL,
            "provider_name": "OpenAI",
            "native_tokens_prompt": INPUT_TOKENS,
            "native_tokens_completion": OUTPUT_TOKENS,
            "native_tokens_cached": 0,
            "native_tokens_reasoning": 0,
            "finish_reason": "stop",
            "is_byok": False,
        }
