"""While an answer is held back, or nobody answers, its client sees signs of life that every SDK skips."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from proxy.wire.sse import KEEP_ALIVE
from tests.faults.place import Place, body_of, place
from tests.faults.raw_upstream import Pause, Step, Turn
from tests.faults.told import END, Told, chunk, event, plain, stream_head
from tests.support.raw import Client, request_bytes

CALM: dict[str, Any] = {
    "presets": {"two": ["openai/gpt-4o-mini", "plain/gpt-4o-mini"], "one": ["openai/gpt-4o-mini"]},
}
ROLE = event({"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]})
START = {
    "chat/completions": ROLE,
    "messages": b"event: message_start\n"
    + event({"type": "message_start", "message": {"id": "m", "content": [], "usage": {"input_tokens": 1}}})
    + b'event: ping\ndata: {"type":"ping"}\n\n',
    "responses": event({"type": "response.created", "response": {"id": "r", "status": "in_progress"}}),
    "nothing": b"",
}
LONG = Pause(1.2)


def _comments(data: bytes) -> bytes:
    return b"".join(line for line in data.splitlines(keepends=True) if line.startswith(b":"))


@pytest_asyncio.fixture(params=[True, False], ids=["lane", "general"])
async def found(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    server = {"fast_path": request.param, "keep_alive_s": 0.3, "silence_max_s": 0.5}
    async with place(tmp_path, {**CALM, "server": server}) as each:
        yield each


async def _begin(found: Place, path: str, model: str, *steps: Step) -> Client:
    turn = Turn(steps)
    found.upstream.choose = lambda _: turn
    client = await found.begin_nothing()
    body = {**body_of(model, stream=True), "input": "Hi", "max_output_tokens": 100}
    await client.send(request_bytes("POST", f"/v1/{path}", body, token=found.token))
    return client


@pytest.mark.sampled(0.3)
@pytest.mark.parametrize("kind", START)
@pytest.mark.parametrize("model", ["two", "one"])
async def test_a_stream_that_has_begun_shows_life(found: Place, kind: str, model: str) -> None:
    """Whatever came ahead of any content: a role, a ping, the answer's frame, or nothing but the head."""
    path = "chat/completions" if kind == "nothing" else kind
    begun = chunk(START[kind]) if START[kind] else b""
    client = await _begin(found, path, model, stream_head() + begun, LONG, END)
    came = await client.read_until(KEEP_ALIVE)
    assert came.startswith(b"HTTP/1.1 200 ")
    assert b"text/event-stream" in came
    assert b"x-tollkeeper-model: openai/gpt-4o-mini" in came
    await client.read_until(KEEP_ALIVE)  # and again
    await client.close()
    await found.quiet()


async def test_comments_behind_a_role_are_told_at_once(tmp_path: Path) -> None:
    """What came is kept, for another target may still answer; that something came is not."""
    working = b": OPENROUTER PROCESSING\n\n"
    async with place(tmp_path, CALM) as found:  # on default settings
        told = Told("gen-kept", 4_000_000)
        steps = (stream_head() + chunk(ROLE) + chunk(working), Pause(0.5), END)
        client = await _begin(found, "chat/completions", "two", *steps)
        came = await client.read_until(KEEP_ALIVE)
        assert b'"role"' not in came
        await client.close()
        await found.quiet()
        steps = (stream_head() + chunk(ROLE) + chunk(working), Pause(0.1), chunk(b"".join(told.events())) + END)
        client = await _begin(found, "chat/completions", "two", *steps)
        answer = await client.read_answer()
        assert answer.body == KEEP_ALIVE + ROLE + working + b"".join(told.events())


async def test_nobody_answers(found: Place) -> None:
    """The head goes out without a provider; what comes then is the answer, or an error that SDKs raise."""
    told = Told("gen-late", 4_000_000)
    client = await _begin(found, "chat/completions", "one", LONG, told.stream() + END)
    answer = await client.read_answer()
    assert (answer.status, answer.end) == (200, "complete")
    assert answer.header("x-request-id") is not None
    assert answer.header("x-tollkeeper-provider") is None
    assert answer.body.replace(KEEP_ALIVE, b"") == b"".join(told.events())
    assert answer.body.startswith(KEEP_ALIVE)


@pytest.mark.parametrize(
    ("late", "says"),
    [
        (plain({"error": {"message": "too much", "code": 429}}, status=429), b'"error":{'),
        (plain({"error": {"message": "inside", "code": 500}}), b'"message":"inside"'),
        (plain(b"<p>", type_="text/html"), b'"error":{'),
        (Told("gen-whole", 4_000_000).answer(), b'"delta":{'),
    ],
    ids=["a status", "an error in 200", "a page", "one piece"],
)
async def test_what_is_no_stream_is_told_as_one(found: Place, late: bytes, says: bytes) -> None:
    client = await _begin(found, "chat/completions", "one", LONG, late)
    answer = await client.read_answer()
    assert (answer.status, answer.end) == (200, "complete")
    assert answer.body.startswith(KEEP_ALIVE)
    assert says in answer.body
    assert all(line.startswith((b"data: ", b":", b"<p>")) for line in answer.body.splitlines() if line)
    await found.quiet()


async def test_one_piece_is_told_as_a_stream_where_others_could_follow(found: Place) -> None:
    """It is an answer, and paid for: no other target is asked."""
    client = await _begin(found, "chat/completions", "two", LONG, Told("gen-whole", 4_000_000).answer())
    answer = await client.read_answer()
    assert (answer.status, answer.end) == (200, "complete")
    assert b'"delta":{' in answer.body
    assert b'"error"' not in answer.body
    await found.quiet()
    (row,) = found.rows()
    assert (row["attempts"], row["cost_pusd"], row["error"]) == (1, 4_000_000, None)


async def test_a_quick_answer_gets_nothing_put_in(found: Place) -> None:
    told = Told("gen-quick", 4_000_000)
    pieces = b"".join(told.events()[1:])
    client = await _begin(found, "chat/completions", "two", stream_head() + chunk(pieces), END)
    answer = await client.read_answer()
    assert answer.body.endswith(pieces)
    assert answer.body.replace(KEEP_ALIVE, b"") == pieces
    assert answer.header("x-tollkeeper-model") == "openai/gpt-4o-mini"


async def test_nothing_is_put_into_an_event(found: Place) -> None:
    """On a route of one, bytes go out as they come; a comment of ours never stands within what has begun."""
    told = Told("gen-half", 4_000_000)
    events = [ROLE, *told.events()[1:]]
    whole = b"".join(events)
    client = await _begin(
        found, "chat/completions", "one", stream_head() + chunk(whole[:20]), LONG, chunk(whole[20:]) + END
    )
    answer = await client.read_answer()
    while answer.body.startswith(KEEP_ALIVE):  # ahead of it, where this machine is slow
        answer.body = answer.body.removeprefix(KEEP_ALIVE)
    assert answer.body == whole
