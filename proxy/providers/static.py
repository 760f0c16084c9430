"""The static provider: answers from the configuration, as if a server had sent them. Nothing leaves the proxy."""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

import orjson

from proxy.policy.backoff import RetryRules
from proxy.policy.breaker import BreakerRules
from proxy.policy.static_text import static_text
from proxy.providers.deadlines import Deadlines
from proxy.providers.dialect import PreparedBody
from proxy.providers.key import NO_KEY
from proxy.providers.openai import OpenAIDialect
from proxy.providers.provider import ProviderRow
from proxy.providers.transport.base import ChunkPassage, ConnectionCounts, MayEnd, Take, TransportError, read_to
from proxy.wire.body import wants_usage
from proxy.wire.endpoint import Endpoint
from proxy.wire.headers import header_lines, pick_response_headers

NAME = "static"
_USAGE = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
_FOREVER_S = 86_400.0


class StaticDialect(OpenAIDialect):
    """As OpenAI's, but with the body unchanged: nothing is counted."""

    def prepare(self, body: dict[str, Any], model: str, endpoint: Endpoint) -> PreparedBody:  # noqa: ARG002 - the protocol's signature
        return {**body, "model": model}, False


class StaticResponse:
    """An answer whose body is complete from the start."""

    __slots__ = ("_body", "awaits_content", "headers", "status")

    def __init__(self, status: int, content_type: str, body: bytes) -> None:
        self.status = status
        self.headers: Sequence[tuple[str, str]] = (("content-type", content_type),)
        self.awaits_content = False
        self._body = body

    def header(self, name: str) -> str | None:
        return dict(self.headers).get(name)

    def passed(self, secret: str) -> dict[str, str]:
        return dict(pick_response_headers(self.headers, secret))

    def passed_lines(self, secret: str) -> str:
        return header_lines(self.passed(secret))

    @property
    def is_read(self) -> bool:
        return False

    @property
    def is_at_hand(self) -> bool:
        return True

    def whole(self) -> bytes:
        body, self._body = self._body, b""
        return body

    async def read(self) -> bytes:
        body, self._body = self._body, b""
        return body

    def pump(self, take: Take, passage: ChunkPassage | None = None) -> Coroutine[Any, Any, bool]:  # noqa: ARG002 - no chunks
        return read_to(self, take)

    def abort(self) -> None:
        self._body = b""


class StaticTransport:
    """Transport that answers by the keywords of one preset. now_s: seconds since 1970."""

    def __init__(self, texts: Mapping[str, str], now_s: Callable[[], int]) -> None:
        self._texts = texts
        self._now_s = now_s

    async def send(
        self,
        method: str,  # noqa: ARG002 - the signature of a transport
        url: str,  # noqa: ARG002 - as above
        headers: Mapping[str, str],  # noqa: ARG002 - as above
        body: bytes | None,
        deadlines: Deadlines,  # noqa: ARG002 - as above
        may_end: MayEnd | None = None,
    ) -> StaticResponse:
        if may_end is not None:
            await may_end()
        request = orjson.loads(body or b"{}")
        found = static_text(self._texts, request.get("messages") or ())
        if found is None:
            text = "no keyword of the static target matches, and it has no default"
            raise TransportError("unreachable", text, dispatched=False)
        created = self._now_s()
        if request.get("stream") is True:
            return StaticResponse(
                200, "text/event-stream", _events(found.text, created, with_usage=wants_usage(request))
            )
        return StaticResponse(200, "application/json", orjson.dumps(_whole(found.text, created)))

    def connections(self) -> ConnectionCounts:
        return ConnectionCounts()

    async def close(self) -> None:
        """Do nothing: nothing is open."""


def static_row(texts: Mapping[str, str], now_s: Callable[[], int]) -> ProviderRow:
    """Return the provider row of one preset's static target."""
    return ProviderRow(
        name=NAME,
        kind=NAME,
        base_url="static:",
        keys=(NO_KEY,),
        deadlines=Deadlines(_FOREVER_S, _FOREVER_S, _FOREVER_S, _FOREVER_S),
        on_disconnect="drain",
        extra_headers={},
        own_prices=(),
        dialect=StaticDialect(),
        transport=StaticTransport(texts, now_s),
        retry=RetryRules(1, 1.0, 1.0, 0.0),
        breaker=BreakerRules(1_000_000_000, 101.0, 1_000_000_000, 60.0, 1.0, 1.0, 1),
    )


def _whole(text: str, created: int) -> dict[str, Any]:
    message = {"role": "assistant", "content": text, "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    return {
        "id": f"static-{created}",
        "object": "chat.completion",
        "created": created,
        "model": NAME,
        "choices": [choice],
        "usage": _USAGE,
    }


def _events(text: str, created: int, *, with_usage: bool) -> bytes:
    """Return a stream of one piece of text, its end, and the usage if it was asked for."""
    head = {"id": f"static-{created}", "object": "chat.completion.chunk", "created": created, "model": NAME}
    deltas: list[tuple[dict[str, str], str | None]] = [({"role": "assistant", "content": text}, None), ({}, "stop")]
    chunks: list[dict[str, Any]] = [
        {**head, "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}]}
        for delta, reason in deltas
    ]
    if with_usage:
        chunks.append({**head, "choices": [], "usage": _USAGE})
    return b"".join(b"data: " + orjson.dumps(chunk) + b"\n\n" for chunk in chunks) + b"data: [DONE]\n\n"
