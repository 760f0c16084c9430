"""Plans and what operators, users and lists of models change at run time: the same answers as without plans.

As test_plan.py, whose two installations it takes; what changes here is in the database, at the provider, or within
bodies and not in the file.
"""

import itertools
import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from random import Random
from typing import Any

import orjson
import pytest
import pytest_asyncio

from tests.pipeline.test_plan import OTHER, PLAIN, Side, _quiet, _received, _rows, _shown, planned, running_sides
from tests.support import sampling
from tests.support.installation import ADMIN_TOKEN
from tests.support.raw import Answer, connect, request_bytes
from tests.support.stand import CHAT, MODEL

pytestmark = pytest.mark.asyncio(loop_scope="module")

__all__ = ["planned", "running_sides"]  # fixtures

STEPS = 60
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}
PICTURE = [
    {"type": "text", "text": "What is it?"},
    {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}},
]
BODIES: list[dict[str, Any]] = [
    {"model": MODEL},
    {"model": MODEL, "max_tokens": 50},
    {"model": "both"},
    {"model": "both", "max_tokens": 50},
    {"model": MODEL, "stream": True},
    {"model": MODEL, "stream": True, "stream_options": {"include_usage": True}},
    {"model": MODEL, "tools": [TOOL]},
    {"model": MODEL, "tools": [TOOL], "tool_choice": "none", "max_tokens": 50},
    {"model": MODEL, "n": 2, "max_tokens": 50},
    {"model": MODEL, "n": None, "max_tokens": None, "user": None},
    {"model": MODEL, "user": "eva"},
    {"model": MODEL, "metadata": {"project": "x"}},
    {"model": MODEL, "messages": [{"role": "user", "content": PICTURE}], "max_tokens": 50},
    {"model": MODEL, "messages": [{"role": "system", "content": "Hi"}, {"role": "user", "content": "Ho"}]},
    {"model": MODEL, "usage": {"include": True}},
    {"model": MODEL, "response_format": {"type": "json_object"}},
    {"model": MODEL, "reasoning": {"max_tokens": 40}, "max_tokens": 50},
    {"model": MODEL, "service_tier": "flex"},
    {"model": f"openrouter/{MODEL}"},
    {"model": OTHER},
    {"model": PLAIN},
    {"model": None},
]
SETTINGS: list[dict[str, Any]] = [
    {"limits": {"cost": "$0.002/day"}},
    {"limits": {"cost": "$5/day", "tokens": "2000/hour"}},
    {"limits": {"requests": "3/hour"}},
    {"limits": {"cost": "$1/day", "concurrency": 1}},
    {"limits": None},
    {"models": ["openai/gpt-4o"]},
    {"models": ["both", "openai/*"]},
    {"models": None},
    {"max_tokens": 30},
    {"max_tokens": None},
    {"default_model": OTHER},
    {"default_model": None},
    {"parameters": {"temperature": 0.5, "max_tokens": 20}},
    {"parameters": None},
    {"preferences": True},
    {"preferences": None},
    {"fallback": False},
    {"fallback": None},
]
STOPS: list[dict[str, Any]] = [
    {"kind": "user", "subject": "dora"},
    {"kind": "group", "subject": "team"},
    {"kind": "model", "subject": MODEL},
    {"kind": "model", "subject": "[^x]*/gpt-4o"},
    {"kind": "preset", "subject": "both"},
    {"kind": "provider", "subject": "plain"},
    {"kind": "model", "subject": MODEL, "effect": "downgrade", "preset": "other"},
    {"kind": "user", "subject": "dora", "effect": "downgrade", "preset": "other"},
]
CHANGES: list[tuple[str, str, Any]] = [
    *(("PATCH", "users/dora", {"settings": one}) for one in SETTINGS),
    *(("PATCH", "users/dora", {"group": one}) for one in ("team", "team", None)),
    *(("PATCH", "users/dora", {"disabled": one}) for one in (True, False, False)),
    *(("PATCH", "groups/team", {"settings": one}) for one in SETTINGS[:8]),
    *(
        ("PATCH", f"models/{name}", one)
        for name in ("openai%2Fgpt-4o-mini", "plain%2Fgpt-4o-mini")
        for one in (
            {"enabled": False},
            {"enabled": True},
            {"request_price": "0.0001"},
            {"price": {"input": "9", "output": "99"}},
        )
    ),
    *(("DELETE", f"models/{name}", None) for name in ("openai%2Fgpt-4o-mini", "plain%2Fgpt-4o-mini") for _ in range(3)),
    *(("POST", "stops", one) for one in STOPS),
]
NAMED = ("openai%2Fgpt-4o-mini", "plain%2Fgpt-4o-mini")
OWN: list[dict[str, Any]] = [{}, {"parameters": {"seed": 7}}, {"default_model": OTHER}, {"fallback": False}]
TOKEN = re.compile(rb"tk-[^. ]+")
FAILURES = ("bad_key", "no_credit", "rate_limited", "overloaded", "broken")
Change = Callable[["Operated"], Awaitable[object]]


class Operated:
    """One installation with a user of the database, asked over one kept connection or over fresh ones."""

    def __init__(self, side: Side, *, keeps: bool) -> None:
        self.side = side
        self.stand = side.stand
        self.tokens: list[tuple[str, str]] = []
        self._keeps = keeps
        self._kept: Any = None
        self._numbers = itertools.count()

    async def begin(self) -> None:
        await self.end()
        await self.stand.clear()
        assert await self.side.configure({"presets": {"other": {"targets": [OTHER]}}}) is None
        for name in NAMED:
            await self.admin("DELETE", f"models/{name}")
        await self.admin("POST", "groups", {"name": "team", "settings": {}})
        await self.admin("POST", "users", {"name": "dora", "settings": {}})
        await self.new_token()

    async def end(self) -> None:
        await self.close()
        for stop in (await self.admin("GET", "stops")).json()["data"]:
            await self.admin("DELETE", f"stops/{stop['id']}")
        await self.admin("DELETE", "users/dora")
        await self.admin("DELETE", "groups/team?force=true")
        self.tokens.clear()

    async def close(self) -> None:
        if self._kept is not None:
            await self._kept.close()
            self._kept = None

    async def admin(self, method: str, path: str, body: Any = None) -> Answer:
        return await self.stand.ask(method, f"/admin/v1/{path}", body, token=ADMIN_TOKEN)

    async def change(self, method: str, path: str, body: Any) -> int:
        return (await self.admin(method, path, body)).status

    async def new_token(self) -> None:
        made = (await self.admin("POST", "tokens", {"user": "dora"})).json()["data"]
        self.tokens.append((made["id"], made["token"]))

    async def spoil_token(self, method: str, body: Any) -> int:
        return (await self.admin(method, f"tokens/{self.tokens[-1][0]}", body)).status

    async def resume(self) -> None:
        for stop in (await self.admin("GET", "stops")).json()["data"]:
            await self.admin("DELETE", f"stops/{stop['id']}")

    async def settle_down(self) -> None:
        """Take back what keeps requests out."""
        await self.resume()
        await self.stand.sim.normal()
        self.stand.app.health.forget()
        for path in ("users/dora", "groups/team"):
            await self.admin("PATCH", path, {"settings": dict.fromkeys(("limits", "models"))})
        for name in NAMED:
            await self.admin("DELETE", f"models/{name}")
        await self.admin("PATCH", "users/dora", {"disabled": False})
        await self.new_token()

    async def prefer(self, fields: dict[str, Any]) -> int:
        answer = await self.stand.ask("PUT", "/v1/me/preferences", fields, token=self.tokens[-1][1])
        return answer.status

    async def list_models(self, models: list[dict[str, Any]] | None) -> None:
        if models is None:
            await self.stand.sim.normal()
        else:
            await self.stand.sim.behave("path:/models", body=orjson.dumps({"data": models}).decode())
        for provider in self.stand.app.live.current.providers.values():
            await self.stand.app.model_lists.refresh(provider)

    async def ask(self, body: dict[str, Any], headers: list[tuple[str, str]]) -> Answer:
        client, self._kept = self._kept or await connect(self.stand.port), None
        agent = "client/kept" if self._keeps else f"client/{next(self._numbers)}"
        fields = {"messages": [{"role": "user", "content": "Say something."}], **body}
        sent = [*headers, ("User-Agent", agent)]
        await client.send(request_bytes("POST", CHAT, fields, token=self.tokens[-1][1], headers=sent))
        answer = await client.read_answer()
        if self._keeps and answer.header("Connection") != "close":
            self._kept = client
        else:
            await client.close()
        return answer


def _listed(price: str) -> list[dict[str, Any]]:
    return [
        {
            "id": model,
            "context_length": 128_000,
            "pricing": {"prompt": price, "completion": price},
            "top_provider": {"context_length": 128_000, "max_completion_tokens": 16_384},
        }
        for model in (MODEL, OTHER)
    ]


LISTS = [_listed("0.000001"), _listed("0.00009"), _listed("0.000001")[1:], _listed("0.000001")[:1], None, None]


def _steps(random: Random) -> list[Change]:
    usual = random.choice(BODIES[:6])
    heads: list[list[tuple[str, str]]] = [[], [], [("X-Tollkeeper-Tags", "a=b")], [("X-Tollkeeper-Use-Case", "mail")]]

    def asks(count: int) -> list[Change]:
        body = usual if random.random() < 0.7 else random.choice(BODIES)
        head = heads[0] if random.random() < 0.8 else random.choice(heads)
        return [lambda side: side.ask(body, head)] * count

    def drawn() -> Change:
        kind = random.choices(range(8), [14, 2, 2, 5, 2, 4, 6, 2])[0]
        if kind == 0:
            change = random.choice(CHANGES)
            return lambda side: side.change(*change)
        if kind == 1:
            return lambda side: side.resume()
        if kind == 2:
            spoilt = random.choice([("PATCH", {"disabled": True}), ("PATCH", {"disabled": False}), ("DELETE", None)])
            return lambda side: side.spoil_token(*spoilt)
        if kind == 3:
            models = random.choice(LISTS)
            return lambda side: side.list_models(models)
        if kind == 4:
            return lambda side: side.new_token()
        if kind == 5:
            model, failure = random.choice([MODEL, PLAIN.partition("/")[2]]), random.choice(FAILURES)
            return lambda side: side.stand.sim.behave(f"model:{model}", failure=failure)
        if kind == 6:
            return lambda side: side.settle_down()
        own = random.choice(OWN)
        return lambda side: side.prefer(own)

    found: list[Change] = asks(3)
    while len(found) < STEPS:
        found += [drawn(), *asks(random.randint(2, 4))]
    return found


@pytest_asyncio.fixture(loop_scope="module")
async def operated(running_sides: tuple[Side, Side]) -> AsyncIterator[tuple[Operated, Operated]]:
    found = Operated(running_sides[0], keeps=True), Operated(running_sides[1], keeps=False)
    for side in found:
        await side.begin()
    yield found
    for side in found:
        await side.end()
        await side.list_models(None)


def _alike(answer: Answer) -> tuple[Any, ...]:
    """Return what both sides must show; each has tokens of its own."""
    *head, body = _shown(answer)
    return (*head, TOKEN.sub(b"tk-", body))


@pytest.mark.sampled(0.5)
@pytest.mark.parametrize("seed", range(8))
async def test_plans_change_nothing(
    operated: tuple[Operated, Operated],
    planned: list[str],
    seed: int,
) -> None:
    statuses: Counter[int] = Counter()
    planned.clear()
    for n, step in enumerate(_steps(Random(f"{sampling.seed(0)} {seed}"))):
        outcomes = [await step(side) for side in operated]
        found = [_alike(one) if isinstance(one, Answer) else one for one in outcomes]
        assert found[0] == found[1], f"step {n}"
        statuses.update(one.status for one in outcomes if isinstance(one, Answer))
    assert statuses[200]
    assert any(planned)
    for side in operated:
        await _quiet(side.side)
    rows = [await _rows(side.side) for side in operated]
    for row in (*rows[0], *rows[1]):
        row.pop("token_id", None)
    assert rows[0] == rows[1]
    assert await _received(operated[0].side) == await _received(operated[1].side)
