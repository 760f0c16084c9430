"""A provider for the bench: OpenRouter's shape, answers built beforehand, so that it costs next to nothing.

One process, one uvloop, no framework. Answers have the same price, each has its own generation id.

    python upstream.py PORT EVENTS INTERVAL_MS

    POST …/chat/completions        1 KB of JSON, or with "stream": true EVENTS paced events of about 250 bytes;
                                   a model paced_model(EVENTS, TOGETHER) sends so many, TOGETHER of them at a time,
                                   and paced_model(EVENTS, TOGETHER, MS) waits MS between two times
    GET  …/models, …/generation?id=, …/key, …/credits
    GET  /_bench/count             {"answers": N, "events": M} since the start
"""

import asyncio
import json
import os
import re
import sys
import time
from typing import cast

import uvloop
from plan import FULL, SHORT

JSON_MODEL = "bench/json"
STREAM_MODEL = "bench/stream"
MORE_MODELS = tuple(f"bench/model-{n}" for n in range(int(os.environ.get("BENCH_MODELS", "0"))))
_BENCH_PACES = tuple((one.events, one.together, one.interval_ms) for of in (SHORT, FULL) for one in of.stream_plans)
# Events of a stream, how many of them come at once, and milliseconds between two times.
PACES: tuple[tuple[int, ...], ...] = (
    (20, 20),
    (10, 1, 4),
    (20, 1, 4),
    (200, 1, 4),
    (400, 1, 4),
    (1000, 20, 16),
    (2000, 20, 16),
    *_BENCH_PACES,
)
COST_USD = "0.000168"
_USAGE = (
    '{"prompt_tokens":1200,"completion_tokens":80,"total_tokens":1280,"cost":' + COST_USD + ',"is_byok":false,'
    '"prompt_tokens_details":{"cached_tokens":0,"cache_write_tokens":0,"audio_tokens":0,"video_tokens":0},'
    '"cost_details":{"upstream_inference_cost":' + COST_USD + ',"upstream_inference_prompt_cost":0.00012,'
    '"upstream_inference_completions_cost":0.000048},'
    '"completion_tokens_details":{"reasoning_tokens":0,"image_tokens":0,"audio_tokens":0}}'
)
_ID_CHARS = 35  # gen-<10 digits of seconds>-<20 characters>
_EPOCH_S = 1793539200  # ids only have to look like the provider's and differ from one another


def _json_answer() -> tuple[bytes, bytes, bytes]:
    """Give the whole HTTP answer of about 1 KB in three parts; the generation id goes between them, twice."""
    before = '{"id":"'
    after = (
        '","object":"chat.completion","created":1793539200,"model":"' + JSON_MODEL + '","provider":"Bench",'
        '"system_fingerprint":null,"choices":[{"index":0,"logprobs":null,"finish_reason":"stop",'
        '"native_finish_reason":"stop","message":{"role":"assistant","content":"'
        + "An answer of some length. " * 14
        + '","refusal":null,"reasoning":null}}],"usage":'
        + _USAGE
        + "}"
    )
    length = len(before) + _ID_CHARS + len(after)
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nX-Generation-Id: "
    return head.encode(), f"\r\n\r\n{before}".encode(), after.encode()


_JSON_HEAD, _JSON_MIDDLE, _JSON_END = _json_answer()
_STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
    b"Transfer-Encoding: chunked\r\nX-Generation-Id: "
)
_EVENT_BEFORE_NS = (
    '","object":"chat.completion.chunk","created":1793539200,"model":"bench/stream","provider":"Bench",'
    '"choices":[{"index":0,"delta":{"role":"assistant","content":" words"},"finish_reason":null}],"sent_ns":"'
)
_NS_CHARS = 19
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)", re.IGNORECASE)
_IS_STREAM = re.compile(rb'"stream" ?: ?true')
_PACED = re.compile(rb'"bench/stream-(\d+)x(\d+)(?:x(\d+))?"')
_MODEL = re.compile(rb'"model" ?: ?"(bench/stream[^"]*)"')


def paced_model(events: int, together: int, interval_ms: int | None = None) -> str:
    """Name the model whose streams are paced so; without an interval they keep to that of the process."""
    return f"bench/stream-{events}x{together}" + ("" if interval_ms is None else f"x{interval_ms}")


def _chunk(payload: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(payload), payload)


class Counts:
    """What was sent since the start: answers begun (JSON and streams) and events of streams."""

    def __init__(self) -> None:
        self.answers = 0
        self.events = 0

    def next_id(self) -> bytes:
        self.answers += 1
        return b"gen-%d-%020d" % (_EPOCH_S, self.answers)


class Stream:
    """One paced answer; its events keep to the times laid down at its start, whatever delays one of them."""

    def __init__(
        self,
        transport: asyncio.Transport,
        counts: Counts,
        model: bytes,
        events: int,
        interval_s: float,
        together: int = 1,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport = transport
        self._counts = counts
        self._left = events
        self._interval_s = interval_s
        self._together = together
        generation_id = counts.next_id()
        body = b'data: {"id":"' + generation_id + _EVENT_BEFORE_NS.encode().replace(STREAM_MODEL.encode(), model)
        self._event_head = b"%x\r\n%b" % (len(body) + _NS_CHARS + 4, body)
        end = b'data: {"id":"' + generation_id + b'","object":"chat.completion.chunk","created":1793539200,'
        end += b'"model":"' + model + b'","provider":"Bench","choices":[{"index":0,"delta":{"content":""},'
        end += b'"finish_reason":"stop"}],"usage":' + _USAGE.encode() + b"}\n\ndata: [DONE]\n\n"
        self._end = _chunk(end) + b"0\r\n\r\n"
        transport.write(_STREAM_HEAD + generation_id + b"\r\n\r\n" + _chunk(b": OPENROUTER PROCESSING\n\n"))
        self._due = self._loop.time() + self._interval_s
        self._timer = self._loop.call_at(self._due, self._send)

    def _send(self) -> None:
        if self._transport.is_closing():
            return
        if not self._left:
            self._transport.write(self._end)
            return
        self._left -= self._together
        self._counts.events += self._together
        self._transport.write((self._event_head + b'%019d"}\n\n\r\n' % time.monotonic_ns()) * self._together)
        self._due += self._interval_s
        self._timer = self._loop.call_at(self._due, self._send)

    def cancel(self) -> None:
        self._timer.cancel()


class Connection(asyncio.Protocol):
    def __init__(self, counts: Counts, pace: tuple[int, float]) -> None:
        self._counts = counts
        self._pace = pace  # events, seconds between them
        self._pending = b""
        self._transport: asyncio.Transport
        self._stream: Stream | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        if self._stream:
            self._stream.cancel()

    def data_received(self, data: bytes) -> None:
        data = self._pending + data if self._pending else data
        while data:
            end = data.find(b"\r\n\r\n")
            if end < 0:
                break
            found = _LENGTH.search(data, 0, end)
            total = end + 4 + (int(found[1]) if found else 0)
            if len(data) < total:
                break
            self._answer(data[:total])
            data = data[total:]
        self._pending = data

    def _pace_of(self, request: bytes) -> tuple[int, float, int]:
        """Return events, seconds between two times, and how many events come at once, as the model's name has them."""
        events, interval_s = self._pace
        paced = _PACED.search(request)
        if paced is None:
            return events, interval_s, 1
        return int(paced[1]), interval_s if paced[3] is None else int(paced[3]) / 1000, int(paced[2])

    def _answer(self, request: bytes) -> None:
        target = request[: request.find(b" HTTP/")]
        if target.startswith(b"POST ") and target.endswith(b"/chat/completions"):
            if _IS_STREAM.search(request):
                asked = _MODEL.search(request)
                model = STREAM_MODEL.encode() if asked is None else asked[1]
                self._stream = Stream(self._transport, self._counts, model, *self._pace_of(request))
            else:
                generation_id = self._counts.next_id()
                self._transport.write(b"".join((_JSON_HEAD, generation_id, _JSON_MIDDLE, generation_id, _JSON_END)))
            return
        status, body = _look_up(target.decode("latin-1"), self._counts)
        payload = json.dumps(body).encode()
        self._transport.write(
            b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
            % (status, len(payload), payload)
        )


def _look_up(target: str, counts: Counts) -> tuple[bytes, object]:
    """Answer what is no chat request: (status line, JSON)."""
    path, _, query = target.partition(" ")[2].partition("?")
    if path == "/_bench/count":
        return b"200 OK", {"answers": counts.answers, "events": counts.events}
    if path.endswith("/models"):
        names = (JSON_MODEL, STREAM_MODEL, *(paced_model(*pace) for pace in PACES), *MORE_MODELS)
        return b"200 OK", {"data": [_model(name) for name in names]}
    if path.endswith("/generation"):
        generation_id = query.partition("id=")[2].partition("&")[0]
        return b"200 OK", {"data": _generation(generation_id)}
    if path.endswith("/key"):
        usage = {"usage": 0, "usage_daily": 0, "usage_weekly": 0, "usage_monthly": 0}
        return b"200 OK", {"data": {"label": "bench", "limit": None, "limit_remaining": None, **usage}}
    if path.endswith("/credits"):
        return b"200 OK", {"data": {"total_credits": 1000, "total_usage": 0}}
    return b"404 Not Found", {"error": {"message": f"no route for {target}", "code": 404}}


def _model(name: str) -> dict[str, object]:
    return {
        "id": name,
        "canonical_slug": name,
        "name": name,
        "created": 1793539200,
        "context_length": 128000,
        "architecture": {"input_modalities": ["text"], "output_modalities": ["text"], "tokenizer": "Other"},
        "pricing": {"prompt": "0.0000001", "completion": "0.0000006", "request": "0", "image": "0"},
        "top_provider": {"context_length": 128000, "max_completion_tokens": 4096, "is_moderated": False},
        "supported_parameters": ["max_tokens", "temperature"],
    }


def _generation(generation_id: str) -> dict[str, object]:
    return {
        "id": generation_id,
        "total_cost": float(COST_USD),
        "usage": float(COST_USD),
        "model": JSON_MODEL,
        "provider_name": "Bench",
        "tokens_prompt": 1200,
        "tokens_completion": 80,
        "native_tokens_prompt": 1200,
        "native_tokens_completion": 80,
        "native_tokens_cached": 0,
        "native_tokens_reasoning": 0,
        "is_byok": False,
        "cancelled": False,
        "finish_reason": "stop",
    }


async def serve(port: int, events: int, interval_ms: int) -> None:
    counts = Counts()
    server = await asyncio.get_running_loop().create_server(
        lambda: Connection(counts, (events, interval_ms / 1000)), "127.0.0.1", port, backlog=4096
    )
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(*map(int, sys.argv[1:4])))
