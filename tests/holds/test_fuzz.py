"""Any bytes in any header, any text of a provider: no fault of ours, no row left open, nothing left set aside.

TOLLKEEPER_FUZZ is how many requests are made each way (a hundred thousand by hand).
"""

import asyncio
import json
import os
import random
from collections.abc import Awaitable, Callable

import pytest

from tests.faults.raw_upstream import CHAT as UPSTREAM_CHAT
from tests.faults.raw_upstream import RawUpstream, Turn, raw_upstream
from tests.holds.test_every_step import nothing_is_held
from tests.quotas.place import Place, body_of, user
from tests.support.installation import token_of
from tests.support.raw import Answer, Client, connect
from tests.support.stand import CHAT, MODEL

Open = Callable[..., Awaitable[Place]]
COUNT = int(os.environ.get("TOLLKEEPER_FUZZ", "300"))
SEED = int(os.environ.get("TOLLKEEPER_FUZZ_SEED", "10"))
LIMITED = {
    "users": {"anna": user("anna", limits={"cost": "$1000/day", "concurrency": 4})},
    "end_users": {"jwt_secret": "0123456789abcdef0123456789abcdef"},
}

HEADERS = [
    b"X-Tollkeeper-Use-Case",
    b"X-Tollkeeper-Tags",
    b"session-id",
    b"session_id",
    b"x-session-id",
    b"X-OpenWebUI-Chat-Id",
    b"X-OpenWebUI-User-Jwt",
    b"Idempotency-Key",
    b"X-Title",
    b"HTTP-Referer",
    b"traceparent",
    b"x-openrouter-thing",
    b"anthropic-version",
    b"api-key",
    b"x-api-key",
    b"Authorization",
    b"Content-Type",
    b"Content-Encoding",
    b"Accept",
    b"User-Agent",
    b"Origin",
    b"Host",
    b"Expect",
    b"Cookie",
    b"X-Forwarded-For",
    b"Connection",
]
PATHS = (CHAT, "/api/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/messages", "/v1/responses")
WHOLE = "ascii", "latin", "utf-8", "controls", "broken", "long", "empty", "pairs"


def some_bytes(dice: random.Random) -> bytes:
    kind = dice.choice(WHOLE)
    size = dice.randrange(1, 40)
    if kind == "ascii":
        return bytes(dice.randrange(32, 127) for _ in range(size))
    if kind == "latin":
        return bytes(dice.randrange(160, 256) for _ in range(size))
    if kind == "utf-8":
        return "".join(chr(dice.choice((228, 8364, 0x1F309, 0x3042, 0xFFFD, 0x202E))) for _ in range(size)).encode()
    if kind == "controls":
        return bytes(dice.choice((0, 9, 1, 27, 127, 65)) for _ in range(size))
    if kind == "broken":
        return bytes(byte for byte in (dice.randrange(256) for _ in range(size)) if byte not in (10, 13))
    if kind == "long":
        return bytes([dice.choice((65, 228))]) * dice.choice((257, 1000, 5000, 9000))
    if kind == "empty":
        return b""
    return b",".join(b"%b=%b" % (bytes([dice.randrange(33, 256)]), bytes([dice.randrange(33, 256)])) for _ in range(3))


def some_request(dice: random.Random, *, lane: bool) -> bytes:
    """Write a request with up to three odd headers; a plain head to /chat/completions takes the short way."""
    path = CHAT if lane else dice.choice(PATHS)
    fields = body_of()
    if path.endswith("/completions") and "chat" not in path:
        fields = {"model": MODEL, "prompt": "x", "max_tokens": 9}
    elif path.endswith("embeddings"):
        fields = {"model": MODEL, "input": "x"}
    elif path.endswith("responses"):
        fields = {"model": MODEL, "input": "x", "max_output_tokens": 16}
    fields["stream"] = dice.random() < 0.5 and not path.endswith("embeddings")
    body = json.dumps(fields).encode()
    lines = [
        b"POST %b HTTP/1.1" % path.encode(),
        b"Host: 127.0.0.1",
        b"Authorization: Bearer " + token_of("anna").encode(),
        b"Content-Type: application/json",
        b"Content-Length: %d" % len(body),
        b"Connection: close" if not lane else b"Accept: */*",
    ]
    names = HEADERS[:14] if lane or dice.random() < 0.7 else HEADERS
    lines += [dice.choice(names) + b": " + some_bytes(dice) for _ in range(dice.randrange(1, 4))]
    return b"\r\n".join([*lines, b"", body])


async def one(place: Place, data: bytes) -> Answer:
    client: Client = await connect(place.app.port)
    try:
        await client.send(data)
        return await client.read_answer()
    finally:
        await client.close()


@pytest.mark.parametrize("lane", [True, False], ids=["lane", "aiohttp"])
async def test_any_bytes_in_any_header(opened: Open, lane: bool) -> None:
    place = await opened(LIMITED)
    dice = random.Random(SEED)
    statuses: dict[int, int] = {}
    for _ in range(COUNT // 4):
        sent = [some_request(dice, lane=lane) for _ in range(4)]
        for data, answer in zip(sent, await asyncio.gather(*(one(place, data) for data in sent)), strict=True):
            assert answer.status != 500, (data, answer.body)
            assert answer.end in ("complete", "fin", "rst"), (data, answer)
            assert answer.status or answer.end != "complete", data
            statuses[answer.status] = statuses.get(answer.status, 0) + 1
    assert statuses.get(200, 0) > COUNT // 20, statuses
    await nothing_is_held(place)
    assert (await place.chat()).status == 200


TEXTS = (
    '"\\ud800"',
    '"\\udfff\\ud800"',
    '"\\u0000"',
    '"\\u001b[31m"',
    '"' + "ö" * 3000 + '"',
    '"🌉"',
    '"gen-1"',
    '""',
    "null",
    "true",
    "-1",
    "1e999",
    "9223372036854775808",
    "99999999999999999999999999999999",
    "0.1",
    "[]",
    "{}",
    '["\\ud800"]',
    '{"\\ud800": 1}',
    "NaN",
    '"429"',
    '"insufficient_quota"',
)
NAMES = (
    "id", "object", "created", "model", "provider", "choices", "usage", "error", "system_fingerprint", "index", "delta",
    "message", "content", "role", "finish_reason", "prompt_tokens", "completion_tokens", "total_tokens", "cost",
    "prompt_tokens_details", "cached_tokens", "reasoning_tokens", "code", "type", "metadata", "error_type", "param",
    "cost_details", "upstream_inference_cost", "is_byok", "retry_after", "native_finish_reason",
)  # fmt: skip


def some_answer(dice: random.Random, *, streamed: bool) -> str:
    """Write a chat completion of which some values are anything."""
    usage = {"prompt_tokens": "3", "completion_tokens": "2", "total_tokens": "5", "cost": "0.000001"}
    choice = {"index": "0", ("delta" if streamed else "message"): '{"role": "assistant", "content": "hi"}'}
    choice["finish_reason"] = '"stop"'
    top = {
        "id": '"gen-x"',
        "object": '"chat.completion"',
        "created": "1",
        "model": f'"{MODEL}"',
        "provider": '"OpenAI"',
    }
    for part in (usage, choice, top):
        while dice.random() < 0.5:
            part[dice.choice((*part, *NAMES))] = dice.choice(TEXTS)
    if dice.random() < 0.2:
        error = {"code": "400", "message": '"no"', "type": '"x"', "metadata": "{}"}
        error[dice.choice(NAMES)] = dice.choice(TEXTS)
        error[dice.choice(list(error))] = dice.choice(TEXTS)
        top["error"] = _object(error)
    top.setdefault("choices", f"[{_object(choice)}]")
    top.setdefault("usage", _object(usage))
    return _object(top)


def _object(fields: dict[str, str]) -> str:
    return "{" + ", ".join(f'"{name}": {value}' for name, value in fields.items()) + "}"


def some_turn(dice: random.Random, *, streamed: bool) -> Turn:
    text = some_answer(dice, streamed=streamed)
    if dice.random() < 0.05:
        text = text[: dice.randrange(len(text))]
    body = text.encode()
    if streamed:
        body = b"".join(
            b"data: " + some_answer(dice, streamed=True).encode() + b"\n\n" for _ in range(dice.randrange(3))
        )
        body += b"data: " + text.encode() + b"\n\n" + (b"data: [DONE]\n\n" if dice.random() < 0.9 else b"")
    status = dice.choice((200, 200, 200, 200, 200, 400, 401, 402, 404, 408, 429, 500, 502, 503, 529))
    kind = b"text/event-stream" if streamed and status == 200 else b"application/json"
    lines = [b"HTTP/1.1 %d X" % status, b"Content-Type: " + kind, b"Content-Length: %d" % len(body)]
    for name in (
        b"x-generation-id",
        b"x-provider-name",
        b"retry-after",
        b"x-request-id",
        b"x-ratelimit-reset",
        b"date",
    ):
        if dice.random() < 0.2:
            value = bytes(byte for byte in some_bytes(dice) if byte >= 32 or byte == 9)
            lines.append(name + b": " + value[:2000])
    return Turn((b"\r\n".join([*lines, b"", body]),))


@pytest.mark.parametrize("lane", [True, False], ids=["lane", "aiohttp"])
async def test_any_text_of_a_provider(opened: Open, lane: bool) -> None:
    async with raw_upstream() as upstream:
        provider = {"kind": "openai", "base_url": f"http://127.0.0.1:{upstream.port}/v1", "api_key": "sk-x"}
        prices = {"*": {"input": "0.15", "output": "0.60"}}
        calm = {"retry": {"attempts": 1}, "breaker": {"failures": 1000, "min_attempts": 1_000_000}}
        place = await opened(
            {
                **LIMITED,
                "server": {"fast_path": lane},
                "ledger": {"lookup_timeout_s": 0.1},
                "providers": {"raw": {**provider, "prices": prices, **calm}},
                "presets": {"two": ["raw/a", "raw/b"]},
            }
        )
        dice = random.Random(SEED)
        for number in range(COUNT):
            streamed = dice.random() < 0.5
            await _exchange(place, upstream, dice, number, streamed=streamed)
        await nothing_is_held(place)
        assert not place.rows("SELECT 1 FROM requests WHERE state = 'pending'")


async def _exchange(place: Place, upstream: RawUpstream, dice: random.Random, number: int, *, streamed: bool) -> None:
    turns = [some_turn(dice, streamed=streamed) for _ in range(2)]
    upstream.turns[UPSTREAM_CHAT].clear()
    upstream.turns[UPSTREAM_CHAT].extend(turns)
    answer = await place.chat(model=dice.choice(("raw/a", "two")), stream=streamed)
    assert answer.end == "complete", (number, turns, answer)
    internal = b"internal_error" in answer.body
    assert not internal, (number, turns, answer.body)
