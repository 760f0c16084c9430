"""A provider that quotes the key it was asked with: no way an answer can take brings it to a user."""

import itertools
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.faults.place import Place, body_of, place
from tests.faults.raw_upstream import Heard, Pause, Reset, Step, Turn
from tests.faults.told import END, Told, chunk, event, plain, stream_head
from tests.support.installation import PROVIDER_KEY
from tests.support.raw import request_bytes

WORDS = f"Incorrect API key provided: {PROVIDER_KEY}."
ASKED_FOR = {"error": {"message": f"messages: too few of them. Asked by {PROVIDER_KEY}.", "code": 400}}
ERROR = {"error": {"message": WORDS, "code": 400, "metadata": {"raw": WORDS}}}
HEADERS = (
    f"X-RateLimit-Key: {PROVIDER_KEY}",
    f"X-OpenRouter-Debug: key={PROVIDER_KEY}",
    f"X-Request-Id: {PROVIDER_KEY}",
)
ANSWERS: Mapping[str, tuple[Step, ...]] = {
    **{f"status {status}": (plain(ERROR, *HEADERS, status=status),) for status in (400, 401, 402, 403, 429, 500)},
    "an error of the caller, passed on as it came": (plain(ASKED_FOR, status=400),),
    "a text": (plain({"error": WORDS}, status=400),),
    "a list": (plain(b'[{"error":{"message":"%b"}}]' % WORDS.encode(), status=400),),
    "a page": (plain(f"<p>{WORDS}</p>".encode(), type_="text/html"),),
    "inside a 200": (plain(ERROR),),
    "headers of an answer": (Told("gen-xxxx", 1_000_000).answer(*HEADERS),),
    "the first event": (stream_head(*HEADERS) + chunk(event(ERROR)) + END,),
    "an event behind content": (
        stream_head() + chunk(Told("gen-xxxx", 1_000_000).piece("Hi")) + chunk(event(ERROR)) + END,
    ),
    "an event in pieces": (
        stream_head() + chunk(Told("gen-xxxx", 1_000_000).piece("Hi")) + chunk(event(ERROR)[:50]),
        Pause(0.05),
        chunk(event(ERROR)[50:]) + END,
    ),
    "an event that breaks off": (
        stream_head() + chunk(Told("gen-xxxx", 1_000_000).piece("Hi")) + chunk(event(ERROR)[:120]),
        Pause(0.05),
        Reset(),
    ),
}
MODELS = {"a route of one": "openai/gpt-4o-mini", "a route of two": "two"}


async def _told(found: Place, name: str, model: str, *, stream: bool) -> bytes:
    answers = itertools.count(len(found.upstream.requests))  # no two of them have one id

    def choose(_: Heard) -> Turn:
        id_ = b"gen-%04d" % next(answers)
        return Turn(
            tuple(step.replace(b"gen-xxxx", id_) if isinstance(step, bytes) else step for step in ANSWERS[name])
        )

    found.upstream.choose = choose
    client = await found.begin_nothing()
    await client.send(request_bytes("POST", "/v1/chat/completions", body_of(model, stream=stream), token=found.token))
    answer = await client.read_answer()
    await client.close()
    return repr(answer.headers).encode() + answer.body


@pytest.mark.parametrize("lane", [True, False], ids=["lane", "general"])
async def test_no_answer_tells_the_key(tmp_path: Path, lane: bool) -> None:
    config = {
        "server": {"fast_path": lane},
        "presets": {"two": ["openai/gpt-4o-mini", "openai/gpt-4o"]},
        "providers": {"openrouter": {"breaker": {"failures": 1000}}},
    }
    async with place(tmp_path, config) as found:
        for name in ANSWERS:
            for model in MODELS.values():
                for stream in (False, True) if name != "a page" else (False,):
                    told = await _told(found, name, model, stream=stream)
                    assert PROVIDER_KEY.encode() not in told, (name, model, stream)
                    found.app.health.forget()
        await found.quiet()
        for row in [*found.rows(), *found.attempts()]:
            assert PROVIDER_KEY not in repr(row)
