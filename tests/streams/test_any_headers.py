"""Any bytes in any header, from client and provider, on both ways in: never a 500, no open row and no hold left."""

import random
from pathlib import Path

import pytest

from tests.faults.place import Place, body_of, place
from tests.faults.raw_upstream import Heard, Turn
from tests.faults.told import END, Told, head
from tests.support.raw import Answer, request_bytes

EXAMPLES = 120
ASKED = (  # what is read of a request
    *("Authorization", "Host", "Origin", "Content-Type", "X-Tollkeeper-Use-Case", "X-Tollkeeper-Tags", "session_id"),
    *("x-session-id", "Idempotency-Key", "X-OpenWebUI-Chat-Id", "HTTP-Referer", "X-Title", "traceparent", "X-Any"),
    *("anthropic-beta", "openai-beta", "X-OpenRouter-X", "User-Agent", "Accept", "Connection"),
)
ANSWERED = (  # and of an answer
    *("Content-Type", "Content-Encoding", "X-Generation-Id", "X-Provider-Name", "Retry-After", "X-RateLimit-Reset"),
    *("X-OpenRouter-X", "X-Request-Id", "cf-ray", "Set-Cookie", "Date", "X-Any", "anthropic-x", "openai-version"),
)
_PIECES = (
    b"",
    b"a",
    b" ",
    b"\t",
    b"\xe9",
    b"\xf6",
    b"\xff\xfe",
    b"\xed\xa0\x80",
    b"\xf0\x9f\x98\x80",
    b"\x80",
    b'"',
    b"%0d%0a",
)


def _value(dice: random.Random) -> bytes:
    """Give a value: any bytes but those that end a line, among them what is no UTF-8, and very long ones."""
    if dice.random() < 0.5:
        return b"".join(dice.choices(_PIECES, k=dice.randint(0, 8)))
    if dice.random() < 0.05:
        return bytes([dice.choice(b"a\xe9")]) * dice.choice([4000, 8100, 9000])
    return bytes(dice.choice([byte for byte in range(256) if byte not in b"\r\n"]) for _ in range(dice.randint(1, 20)))


async def _ask(found: Place, dice: random.Random, n: int, *, stream: bool) -> Answer:
    told = Told(f"gen-{n}", 4_000_000)
    lines = b"".join(b"%b: %b\r\n" % (name.encode(), _value(dice)) for name in dice.sample(ANSWERED, k=3))
    plain_head = head(200, "Content-Type: text/event-stream" if stream else "Content-Type: application/json")[:-2]
    body = b"".join(told.events()) if stream else told.body()
    turn = Turn((plain_head + lines + b"Content-Length: %d\r\n\r\n" % len(body) + body,), {told.id: 4_000_000})

    def choose(_: Heard) -> Turn:
        return turn if told.id not in found.upstream.charged else Turn((told.stream() + END,))

    found.upstream.choose = choose
    data = request_bytes("POST", "/v1/chat/completions", body_of("openrouter", stream=stream), token=found.token)
    first, _, rest = data.partition(b"\r\n")
    more = b"".join(b"%b: %b\r\n" % (name.encode(), _value(dice)) for name in dice.sample(ASKED, k=2))
    client = await found.begin_nothing()
    await client.send(first + b"\r\n" + more + rest)
    answer = await client.read_answer()
    await client.close()
    found.clients.clear()
    return answer


@pytest.mark.parametrize("lane", [True, False], ids=["lane", "general"])
async def test_any_bytes_in_any_header(tmp_path: Path, lane: bool) -> None:
    dice = random.Random(20261129)
    async with place(tmp_path, {"server": {"fast_path": lane}}) as found:
        seen: set[int] = set()
        for n in range(EXAMPLES):
            answer = await _ask(found, dice, n, stream=n % 2 == 0)
            assert answer.status != 500, (n, answer)
            assert answer.status or answer.end in ("fin", "rst"), (n, answer)
            seen.add(answer.status)
        assert {200, 400} <= seen  # some are served and some are refused: neither is all there is
        await found.quiet()


@pytest.mark.sampled(0.4)
@pytest.mark.parametrize("lane", [True, False], ids=["lane", "general"])
@pytest.mark.parametrize("name", ["a\r\nSet-Cookie: x=1", "caf\u00e9 \U0001f600", "a\nb", "\x00", "\ud800"])
@pytest.mark.parametrize("stream", [False, True])
async def test_any_model_name(tmp_path: Path, lane: bool, name: str, stream: bool) -> None:
    """It is told in a header: it must not become a line of its own there."""
    async with place(tmp_path, {"server": {"fast_path": lane}}) as found:
        answer = await found.chat(f"plain/{name}", stream=stream)
        assert answer.status in (200, 400, 402, 404), answer
        assert answer.header("Set-Cookie") is None
        await found.quiet()
