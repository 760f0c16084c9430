"""U28: the provider closes a kept-alive connection just as it is used again. Nothing is sent twice."""

import asyncio
import json
import random
from collections import Counter
from typing import Any

import pytest

from tests.faults.conftest import Open
from tests.faults.place import Place, body_of
from tests.faults.raw_upstream import Close, Pause, Reset, Step, Turn
from tests.support.raw import Answer, Client, connect, request_bytes

ROUNDS = 600
CHAT = "/v1/chat/completions"


class Ending:
    """What follows each answer: seeded, so that each run of a test does the same, as far as a race can."""

    def __init__(self, end: Step, most_s: float) -> None:
        self._random = random.Random(28)
        self._end = end
        self._most_s = most_s

    def __call__(self) -> tuple[Step, ...]:
        if not self._most_s:
            return (self._end,)
        return (Pause(self._random.uniform(0, self._most_s)), self._end)


async def ask_on(client: Client, place: Place, name: str, *, stream: bool) -> Answer:
    body = body_of("openrouter", stream=stream, messages=[{"role": "user", "content": name}])
    await client.send(request_bytes("POST", CHAT, body, token=place.token))
    return await client.read_answer()


def names_of(place: Place) -> Counter[str]:
    bodies: list[dict[str, Any]] = [json.loads(heard.body) for heard in place.upstream.chats()]
    return Counter(body["messages"][0]["content"] for body in bodies)


@pytest.mark.parametrize(
    ("end", "most_s"),
    [(Close(), 0.0), (Close(), 0.003), (Reset(), 0.003)],
    ids=["FIN at once", "FIN a little later", "RST a little later"],
)
async def test_u28_closed_while_it_is_used_again(opened: Open, end: Step, most_s: float) -> None:
    """Each request reaches the provider at most once, and each is answered, or charged and reported as broken."""
    place = await opened()
    place.upstream.ending = Ending(end, most_s)
    lost = random.Random(1)
    # now and then it has read the next request, and goes without a word
    place.upstream.choose = lambda _: Turn((end,)) if lost.random() < 0.1 else None
    answers: dict[str, Answer] = {}

    async def one_client(n: int) -> None:
        client = await connect(place.app.port)
        place.clients.append(client)
        dawdle = random.Random(n)
        for at in range(ROUNDS // 4):
            name = f"{n}-{at}"
            answers[name] = await ask_on(client, place, name, stream=at % 2 == 1)
            await asyncio.sleep(dawdle.uniform(0, most_s))

    async with asyncio.TaskGroup() as group:
        for n in range(4):
            group.create_task(one_client(n))
    await place.quiet()
    seen = names_of(place)
    assert not [name for name, count in seen.items() if count > 1]
    rows = place.rows()
    assert len(rows) == len(answers) == ROUNDS
    good = [name for name, answer in answers.items() if answer.status == 200]
    assert all(seen[name] == 1 for name in good)
    assert all(answers[name].end == "complete" for name in answers)
    assert {answer.status for answer in answers.values()} <= {200, 502}
    codes = {answer.json()["error"]["code"] for answer in answers.values() if answer.status == 502}
    assert codes <= {"upstream_broken"}
    assert len(good) > ROUNDS // 2
    exact = [row for row in rows if row["error"] is None]
    assert len(exact) == len(good)
    assert all((row["state"], row["cost_source"], row["flags"]) == ("settled", "provider", None) for row in exact)
    charged = place.upstream.charged
    assert {row["generation_id"]: row["cost_pusd"] for row in exact}.items() <= charged.items()
    broken = [row for row in rows if row["error"] is not None]
    assert all((row["cost_pusd"], row["cost_source"]) == (row["reserved_pusd"], "reservation") for row in broken)
    place.upstream.ending, place.upstream.choose = tuple, lambda _: None
    await asyncio.sleep(0.05)  # the last connections are closed
    await place.works()


async def test_u28_closed_long_before(opened: Open) -> None:
    """A connection whose end was seen is not used: the next request goes out on a new one, and nobody notices."""
    place = await opened()
    for n in range(20):
        await place.works()
        before = place.upstream.connections
        await place.upstream.drop_idle()
        await asyncio.sleep(0.01)
        assert (await place.chat(stream=n % 2 == 1)).status == 200
        assert place.upstream.connections == before + 1
        assert await place.figures() == ("settled", place.newest_charge_pusd(), "provider", None, None, 200)


async def test_u28_an_answer_that_nobody_asked_for(opened: Open) -> None:
    """What comes on an idle connection is never the answer to the next request."""
    place = await opened()
    foreign = b'HTTP/1.1 200 OK\r\nContent-Length: 19\r\n\r\n{"poison":"poison"}'
    for n in range(20):
        place.upstream.ending = lambda: (Pause(0.002), foreign)
        first = await place.chat(stream=n % 2 == 1)
        await asyncio.sleep(0.01)
        place.upstream.ending = tuple
        second = await place.chat(stream=n % 2 == 1)
        assert (first.status, second.status) == (200, 200)
        assert b"poison" not in first.body + second.body
    await place.works()
