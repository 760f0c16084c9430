"""What each dialect is held against: bodies that its provider may send for one chat completion, and what they say."""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import orjson

from proxy.providers.dialect import Dialect
from proxy.providers.openai import OpenAIDialect
from proxy.providers.openrouter import OpenRouterDialect
from proxy.providers.static import StaticDialect
from tests.contracts.toy import STREAM_TYPE, WHOLE_TYPE, ToyDialect

TEXT: Final = 'Grüße, "welt"\nund {mehr}'
INPUT, OUTPUT = 7, 12
COST_PUSD: Final = 12_345_678


class DialectCase(NamedTuple):
    """cost_pusd None: the provider tells none. error is the body of a refusal, whose text is "Too busy."."""

    make: Callable[[], Dialect]
    whole: bytes
    stream: bytes
    error: bytes
    failed_stream: bytes
    cost_pusd: int | None
    whole_type: str = "application/json"
    stream_type: str = "text/event-stream"


def _usage(*, with_cost: bool) -> dict[str, Any]:
    usage: dict[str, Any] = {"prompt_tokens": INPUT, "completion_tokens": OUTPUT, "total_tokens": INPUT + OUTPUT}
    return {**usage, "cost": 0.000012345678} if with_cost else usage


def _whole(*, with_cost: bool) -> bytes:
    message = {"role": "assistant", "content": TEXT}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    head = {"id": "gen-1", "object": "chat.completion", "model": "m"}
    return orjson.dumps({**head, "choices": [choice], "usage": _usage(with_cost=with_cost)})


def _event(**more: Any) -> bytes:
    head = {"id": "gen-1", "object": "chat.completion.chunk", "model": "m"}
    return b"data: " + orjson.dumps({**head, **more}) + b"\n\n"


def _choice(text: str, reason: str | None = None) -> list[dict[str, Any]]:
    return [{"index": 0, "delta": {"content": text} if text else {}, "finish_reason": reason}]


def _stream(*, with_cost: bool) -> bytes:
    said = b"".join(_event(choices=_choice(text)) for text in (TEXT[:5], TEXT[5:]))
    usage = _event(choices=[], usage=_usage(with_cost=with_cost))
    return b": alive\n\n" + said + _event(choices=_choice("", "stop")) + usage + b"data: [DONE]\n\n"


_ERROR: Final = orjson.dumps({"error": {"message": "Too busy.", "code": "busy", "type": "busy"}})
_FAILED: Final = _event(choices=_choice(TEXT[:5])) + b"data: " + _ERROR + b"\n\n"


def _lines(text: str) -> bytes:
    return b"".join(b"T:" + orjson.dumps(part) + b"\n" for part in (text[:5], text[5:]))


_TOLD: Final = b"I:toy-1\n" + _lines(TEXT) + b"E:done\nU:7,12,0.000012345678\n"

CASES: Final = {
    "openai": DialectCase(
        OpenAIDialect, _whole(with_cost=False), _stream(with_cost=False), _ERROR, _FAILED, cost_pusd=None
    ),
    "openai that tells a cost": DialectCase(
        lambda: OpenAIDialect("usage.cost"), _whole(with_cost=True), _stream(with_cost=True), _ERROR, _FAILED, COST_PUSD
    ),
    "openrouter": DialectCase(
        lambda: OpenRouterDialect("https://me.example", "me"),
        _whole(with_cost=True),
        _stream(with_cost=True),
        _ERROR,
        _FAILED,
        COST_PUSD,
    ),
    "static": DialectCase(
        StaticDialect, _whole(with_cost=False), _stream(with_cost=False), _ERROR, _FAILED, cost_pusd=None
    ),
    "toy": DialectCase(
        ToyDialect,
        _TOLD,
        b"-\n" + _TOLD,
        b"X:busy:Too busy.\n",
        b"I:toy-1\nT:" + orjson.dumps(TEXT[:5]) + b"\nX:busy:Too busy.\n",
        COST_PUSD,
        WHOLE_TYPE,
        STREAM_TYPE,
    ),
}
