"""What is kept of a plain request says the same as finding it anew, whatever changes between two requests.

Two installations go through the same story: over connections that are kept, which have plans, and over fresh ones with
a head that nobody has sent before, which have none. Answers, rows and what the provider received must be the same.
"""

import contextlib
import itertools
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from random import Random
from typing import Any

import orjson
import pytest
import pytest_asyncio
from msgspec.structs import replace

from proxy.core.limit_kinds import NAMES as NAMES_OF_KINDS
from proxy.pipeline import failover, plan, run
from proxy.pipeline.admission.limiter import HELD
from proxy.pipeline.context import RequestContext
from proxy.pipeline.relay.open_answer import open_answer, open_at_hand
from proxy.pipeline.stops import NewStop
from proxy.pipeline.upstream import send
from proxy.pipeline.upstream.send import begin_sending
from proxy.pipeline.values.attempt import Attempt
from proxy.pipeline.values.body_shape import Frame, frame_of
from proxy.storage.audit import Actor
from tests.support import sampling
from tests.support.installation import settings, token_hash_of, token_of, write_config
from tests.support.leaks import nothing_leaks
from tests.support.moved_clock import MovedClock
from tests.support.patience import eventually
from tests.support.raw import Answer, Client, connect, request_bytes
from tests.support.stand import CHAT, MODEL, Stand, app_in_loop, models_known, simulator

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROOT = Actor("root", "socket")
OTHER = "openai/gpt-4o"
PLAIN = "plain/gpt-4o-mini"
STEPS = 70
HOUR_MS = 3_600_000
START_MS = 1_799_996_400_000 // HOUR_MS * HOUR_MS  # far from the end of a day, in every zone of Europe
NAMES = ("anna", "bob")
# what is another one in each request: numbers of requests and generations, and times
# the first ones are in bodies too, where what follows may be a part of them
MOVING = (
    *("x-request-id", "x-generation-id", "x-upstream-request-id", "date", "cf-ray", "content-length", "retry-after"),
    *(f"x-ratelimit-reset-{kind}" for kind in NAMES_OF_KINDS),
)
WAITS = re.compile(rb"(?:[0-9]+ (?:d|h|min|s)\b ?)+")  # 1 h 0 min, or a moment later 59 min 59 s
MOVING_COLUMNS = ("request_id", "ts", "generation_id", "ttft_ms", "duration_ms", "day")
FAILURES = ("bad_key", "no_credit", "rate_limited", "overloaded", "broken")
DEARER = {"*": {"input": "0.2", "output": "0.8"}}
ONE_TRY = {"retry": {"attempts": 1}, "breaker": {"failures": 2, "cooldown_s": 600}}

BODIES: list[dict[str, Any]] = [
    {"model": MODEL},
    {"model": PLAIN},
    {"model": OTHER},
    {"model": MODEL, "stream": True},
    {"model": MODEL, "session_id": "s1", "user": "eva", "max_tokens": 40},
    {"model": MODEL, "models": [OTHER]},
    {"model": MODEL, "models": None},
    {"model": "both"},
    {"model": f"{MODEL}:online"},
    {"model": "auto"},
    {},
    {"model": MODEL, "max_tokens": 0},
    {"model": MODEL, "temperature": 1.2345678901234567890123},
]
TEXTS = ("Say something.", "Say anything!!", "Say 'hello'...", "Say\nsomething", "Say something.", 'Say "hello"..')
HEADERS: list[list[tuple[str, str]]] = [
    [],
    [("X-Tollkeeper-Use-Case", "mail")],
    [("X-Title", "other")],
    [("X-Tollkeeper-Tags", "a=b")],
]
BOTH = {"targets": [MODEL, PLAIN]}
CHANGES: list[dict[str, Any]] = [  # of the file
    {},
    {"users": {"anna": {"disabled": True}}},
    {"users": {"anna": {"expires_at": "2020-01-01T00:00:00Z"}}},
    {"users": {"anna": {"limits": {"cost": "$0.00001/day"}}, "bob": {"limits": {"requests": "2/day"}}}},
    {"users": {"anna": {"limits": {"cost": "$5/day", "tokens": "100000/month"}, "max_tokens": 60}}},
    {"users": {"anna": {"models": ["openai/gpt-4o"]}}},
    {"users": {"anna": {"default_model": OTHER}, "bob": {"fallback": False}}},
    {"users": {"anna": {"limits": [{"cost": "$1/day", "models": ["openai/*"]}]}}},
    {"users": {"anna": {"max_tokens": 60}}},
    {"users": {"anna": {"token_hash": token_hash_of("eva")}}},
    {"presets": {MODEL: {"targets": [PLAIN]}}},
    {"presets": {"mail": BOTH}, "use_cases": {"mail": "mail"}},
    {"models": {MODEL: {"enabled": False}}},
    {"models": {f"openrouter/{MODEL}": {"request_price": "0.01"}}},
    {"providers": {"openrouter": {"api_key": "sk-or-v1-" + "0badf00d" * 8}}},
    {"providers": {"openrouter": {"max_concurrency": 1}}},
    {
        "providers": {
            "openrouter": {
                "api_key": None,
                "keys": [{"name": letter, "api_key": "sk-or-v1-" + letter * 64} for letter in "ab"],
            }
        }
    },
    {"auto": {"models": [MODEL, OTHER]}},
    {"defaults": {"parameters": {"temperature": 0.5}}},
    {"presets": {"both": {**BOTH, "select": "cheapest"}}},
    {"presets": {"both": {**BOTH, "parameters": {"temperature": 0.5}}}},
    {"presets": {"both": {**BOTH, "system": "Be brief."}}},
    {"presets": {"both": {**BOTH, "deadline_s": 20}}},
    {"presets": {"both": {"targets": [PLAIN, MODEL]}}},
    {"presets": {"both": {"targets": [MODEL, {PLAIN: {"parameters": {"top_p": 0.5}}}]}}},
    {"presets": {"both": {"targets": [MODEL, f"{MODEL}:online"]}}},
    {"presets": {"both": {"targets": [MODEL, "openai/gpt-no-price"]}}},
    {"models": {PLAIN: {"enabled": False}}},
    {"routing": {"deadline_s": 30}},
]
LIMITS: list[dict[str, Any]] = [  # of anna's: some have room for all, some for some, some lower what is asked for
    {"cost": ["$0.0009/hour", "$5/month"]},
    {"cost": "$0.0025/day"},
    {"cost": {"amount": "$0.0002", "window": "3h", "mode": "soft"}, "requests": "9/hour"},
    {"cost": "$3/month", "tokens": "2M/day", "requests": "500/day", "concurrency": 3},
    {"tokens": "1100/hour"},
    {"tokens": {"amount": "900", "window": "hour", "mode": "soft"}, "cost": "$2"},
    {"requests": "6/hour", "images": "2/day"},
]
SHORT = {"max_tokens": 200}
FEW = {"limits": {"cost": "$0.004/day", "requests": "20/hour"}}
LIMITED: list[dict[str, Any]] = [
    *({"users": {"anna": {"limits": limits}}} for limits in LIMITS),
    {"users": {"anna": {"group": "family", "limits": LIMITS[3]}}, "groups": {"family": FEW}},
    {"users": {"anna": {"limits": LIMITS[1]}}, **FEW},
    {"users": {"anna": {"limits": LIMITS[1]}}, "quotas": {"on_over_budget": "refuse"}},
    {"users": {"anna": {"limits": {"cost": "$0.0008/day"}}}},  # once what 400 tokens may come to, and not twice
]


def _settings(url: str, change: dict[str, Any]) -> dict[str, Any]:
    base = settings(
        url,
        {
            "providers": {"openrouter": ONE_TRY, "plain": {**ONE_TRY, "prices": DEARER}},
            "users": {name: {"token_hash": token_hash_of(name)} for name in NAMES},
            "presets": {"both": BOTH},
        },
    )
    for block, more in change.items():
        base[block] = _over(base.get(block, {}), more)
    return base


def _over(below: Any, more: Any) -> Any:
    if not isinstance(more, dict) or not isinstance(below, dict):
        return more
    merged = {**below, **{name: _over(below.get(name, {}), value) for name, value in more.items()}}
    return {name: value for name, value in merged.items() if value is not None}


class Side:
    """One installation, asked over kept connections or over fresh ones."""

    def __init__(self, stand: Stand, clock: MovedClock, *, keeps: bool) -> None:
        self.stand = stand
        self.clock = clock
        self._kept: dict[tuple[str, int], Client] = {}
        self._keeps = keeps
        self._numbers = itertools.count()
        self._begin_afresh()

    async def begin_afresh(self) -> None:
        """Forget what was asked before: say the first text next, with a head that nobody has sent."""
        await self.close()
        self._begin_afresh()

    def _begin_afresh(self) -> None:
        self._texts, self._agent = itertools.cycle(TEXTS), f"client/{next(self._numbers)}"

    async def ask(self, name: str, headers: int, body: dict[str, Any]) -> Answer:
        key = (name, headers)
        client = self._kept.pop(key, None) or await connect(self.stand.port)
        fields = {"messages": [{"role": "user", "content": next(self._texts)}], **body}
        agent = self._agent if self._keeps else f"client/{next(self._numbers)}"
        sent = [*HEADERS[headers], ("User-Agent", agent)]
        await client.send(request_bytes("POST", CHAT, fields, token=token_of(name), headers=sent))
        answer = await client.read_answer()
        if self._keeps and answer.header("Connection") != "close":
            self._kept[key] = client
        else:
            await client.close()
        return answer

    def move_to_hour(self, hours: int) -> None:
        """Let time pass to the edge of an hour, so that both sides are as far from the next."""
        self.clock.move_to((self.clock.now_ms() // HOUR_MS + hours) * HOUR_MS)

    async def close(self) -> None:
        for client in self._kept.values():
            await client.close()
        self._kept.clear()

    async def configure(self, change: dict[str, Any]) -> str | None:
        write_config(self.stand.folder, _settings(self.stand.sim.url, change))
        return await self.stand.app.live.reload()


def _shown(answer: Answer) -> tuple[Any, ...]:
    headers = sorted((name.lower(), value) for name, value in answer.headers if name.lower() not in MOVING)
    body = answer.body
    for name in MOVING:
        if value := answer.header(name):
            body = body.replace(value.encode(), b"...")
    return answer.status, headers, WAITS.sub(b"...", body)


Change = Callable[[Side], Awaitable[object]]


def _steps(random: Random) -> list[Change]:
    """Draw a story: mostly requests, and between them whatever may change where a request goes and who may ask."""
    usual = random.choice([*BODIES[:2], {"model": MODEL, **SHORT}, {"model": "both"}, {"model": "both", **SHORT}])

    def asks() -> Change:
        if random.random() < 0.8:  # what is asked again and again
            name, headers, body = NAMES[0], 0, usual
        else:
            name, headers, body = random.choice(NAMES), random.randrange(len(HEADERS)), random.choice(BODIES)
        return lambda side: side.ask(name, headers, body)

    def configures() -> Change:
        change = random.choice(random.choice((CHANGES, LIMITED)))
        return lambda side: side.configure(change)

    def returns() -> Change:
        return lambda side: side.configure({})

    def behaves() -> Change:
        model, failure = random.choice([MODEL, PLAIN.partition("/")[2]]), random.choice(FAILURES)
        return lambda side: side.stand.sim.behave(f"model:{model}", failure=failure)

    def recovers() -> Change:
        async def recover(side: Side) -> None:
            await side.stand.sim.normal()
            side.stand.app.health.forget()

        return recover

    def stops() -> Change:
        wanted = random.choice([NewStop("user", "anna"), NewStop("model", MODEL), NewStop("provider", "plain")])
        return lambda side: side.stand.app.services.stops.add(wanted, ROOT)

    def starts() -> Change:
        async def start(side: Side) -> None:
            for stop in side.stand.app.services.stops.in_force():
                await side.stand.app.services.stops.end(stop, ROOT)

        return start

    def refreshes() -> Change:
        async def refresh(side: Side) -> None:
            for provider in side.stand.app.live.current.providers.values():
                await side.stand.app.model_lists.refresh(provider)

        return refresh

    def passes() -> Change:
        hours = random.choice([1, 1, 1, 4, 24])

        async def let_pass(side: Side) -> None:
            side.move_to_hour(hours)

        return let_pass

    changes = [configures, returns, behaves, recovers, stops, starts, refreshes, passes]
    found: list[Change] = [lambda side: side.ask(NAMES[0], 0, usual) for _ in range(3)]
    while len(found) < STEPS:
        found += [asks() for _ in range(random.randint(2, 4))]
        found.append(random.choices(changes, [25, 15, 5, 10, 4, 12, 3, 12])[0]())
    return found


@contextlib.asynccontextmanager
async def _moved_stand(folder: Path, clock: MovedClock) -> AsyncIterator[Stand]:
    """Run a proxy and its simulator that go by a clock of their own."""
    async with nothing_leaks(), simulator(clock) as sim:
        path = write_config(folder, _settings(sim.url, {}))
        async with app_in_loop(path, clock=clock) as app:
            await models_known(app)
            await sim.forget()
            yield Stand(folder, app, sim)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running_sides(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Side, Side]]:
    async with contextlib.AsyncExitStack() as stack:
        found = []
        for keeps in (True, False):
            folder: Path = tmp_path_factory.mktemp("kept" if keeps else "fresh")
            clock = MovedClock(START_MS)
            found.append(Side(await stack.enter_async_context(_moved_stand(folder, clock)), clock, keeps=keeps))
        for side in found:
            stack.push_async_callback(side.close)
        yield found[0], found[1]


@pytest_asyncio.fixture(loop_scope="module")
async def sides(running_sides: tuple[Side, Side]) -> tuple[Side, Side]:
    """Return both as one test finds them whatever others a sample runs before it."""
    for side in running_sides:
        await side.begin_afresh()
    return running_sides


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a plan gave to each request that got so far, in the order in which they came: "way", "hold" too, or none."""
    found: list[str] = []
    whole = plan.planned_hops

    def noted(*asked: Any) -> Any:
        way = whole(*asked)
        found.append("" if way[0] is None else "hold" if way[1] is not None and way[2] is HELD else "way")
        return way

    monkeypatch.setattr(run, "planned_hops", noted)
    return found


@pytest.mark.sampled(0.5)
@pytest.mark.parametrize("seed", range(4))
async def test_plans_change_nothing(sides: tuple[Side, Side], planned: list[str], seed: int) -> None:
    kept, fresh = sides
    for side in sides:
        await side.stand.clear()
        assert await side.configure({}) is None
    used = 0
    for n, step in enumerate(_steps(Random(f"{sampling.seed(0)} {seed}"))):
        found = []
        for side in sides:
            planned.clear()
            outcome = await step(side)
            if side is fresh:
                assert not any(planned), "a fresh connection has a plan"
            else:
                used += any(planned)
            found.append(_shown(outcome) if isinstance(outcome, Answer) else isinstance(outcome, str))
        assert found[0] == found[1], f"step {n}"
    assert used
    for side in sides:
        await _quiet(side)
    assert await _rows(kept) == await _rows(fresh)
    assert await _received(kept) == await _received(fresh)
    for side in sides:
        for stop in side.stand.app.services.stops.in_force():
            await side.stand.app.services.stops.end(stop, ROOT)


async def test_a_plan_holds_what_the_price_of_now_asks_for(
    sides: tuple[Side, Side], monkeypatch: pytest.MonkeyPatch
) -> None:
    for side in sides:  # both, so that their limits stay the same
        await side.stand.clear()
        assert await side.configure({}) is None
        lists, usual = side.stand.app.model_lists, BODIES[0]
        for _ in range(2):
            assert (await side.ask(NAMES[0], 0, usual)).status == 200
        price = lists.price(side.stand.app.live.current.providers["openrouter"], MODEL)
        assert price is not None
        dearer = replace(price, request_pusd=price.request_pusd + 10**9)
        for lists_price in (dearer, None, dearer, price):
            with monkeypatch.context() as patch:
                patch.setattr(lists, "price", lambda _provider, _model, found=lists_price: found)
                lists.changes += 1
                for _ in range(2):
                    assert (await side.ask(NAMES[0], 0, usual)).status == 200
        await _quiet(side)
        rows = await side.stand.rows("SELECT reserved_pusd FROM requests ORDER BY id")
        held = [row["reserved_pusd"] for row in rows]
        more = held[0] + 10**9
        assert held == [held[0], held[0], more, more, None, None, more, more, held[0], held[0]]


@pytest.mark.sampled(0.2)
@pytest.mark.parametrize("limited", range(len(LIMITED)))
@pytest.mark.parametrize("model", [MODEL, "both"])
@pytest.mark.parametrize("more", [{}, SHORT, {"max_tokens": 400}, {"max_tokens": 40, "max_completion_tokens": 60}])
async def test_a_plan_reserves_under_limits_what_reserve_does(
    sides: tuple[Side, Side], planned: list[str], limited: int, more: dict[str, Any], model: str
) -> None:
    """Until nothing is left, and the hour after."""
    told = []
    for side in sides:
        await side.stand.clear()
        side.move_to_hour(1000)
        assert await side.configure(LIMITED[limited]) is None
        planned.clear()
        answers = [_shown(await side.ask(NAMES[0], 0, {"model": model, **more})) for _ in range(8)]
        side.move_to_hour(1)
        answers += [_shown(await side.ask(NAMES[0], 0, {"model": model, **more})) for _ in range(3)]
        told.append(answers)
        if side is not sides[0]:
            assert not any(planned)
        elif more is SHORT:  # which fits everywhere, twice at least
            assert planned[1] == "hold"
        await _quiet(side)
    assert told[0] == told[1]
    assert await _rows(sides[0]) == await _rows(sides[1])
    assert await _received(sides[0]) == await _received(sides[1])


@pytest.mark.parametrize("model", [MODEL, "both"])
@pytest.mark.parametrize("failure", FAILURES)
async def test_a_plan_ends_with_what_its_provider_did_last(sides: tuple[Side, Side], failure: str, model: str) -> None:
    told = []
    for side in sides:
        await side.stand.clear()
        assert await side.configure({}) is None
        answers = [await side.ask(NAMES[0], 0, {"model": model}) for _ in range(2)]
        await side.stand.sim.behave(f"model:{MODEL}", failure=failure)
        answers += [await side.ask(NAMES[0], 0, {"model": model}) for _ in range(4)]
        await side.stand.reset()
        answers += [await side.ask(NAMES[0], 0, {"model": model}) for _ in range(2)]
        told.append([_shown(answer) for answer in answers])
        await _quiet(side)
    assert told[0] == told[1]
    assert await _rows(sides[0]) == await _rows(sides[1])


NO_ANSWERS: list[dict[str, Any]] = [
    {"error": "overloaded", "error_in_200": True},
    {"body": "{}"},
    {"body": '{"choices": []'},
    {"body": "No JSON."},
]


@pytest.mark.parametrize("no_answer", NO_ANSWERS)
async def test_a_plan_of_several_targets_looks_at_each_answer(
    sides: tuple[Side, Side], planned: list[str], no_answer: dict[str, Any]
) -> None:
    told = []
    for side in sides:
        await side.stand.reset()
        assert await side.configure({}) is None
        planned.clear()
        answers = [await side.ask(NAMES[0], 0, {"model": "both"}) for _ in range(3)]
        await side.stand.sim.behave(f"model:{MODEL}", **no_answer)
        answers.append(await side.ask(NAMES[0], 0, {"model": "both"}))
        assert [answer.status for answer in answers] == [200] * 4
        assert [dict(answer.headers)["x-tollkeeper-attempts"] for answer in answers] == ["1"] * 3 + ["2"]
        if side is sides[0]:
            assert planned[1:4] == ["hold"] * 3
        told.append([_shown(answer) for answer in answers])
        await side.stand.reset()
        await _quiet(side)
    assert told[0] == told[1]
    assert await _rows(sides[0]) == await _rows(sides[1])


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_plan_leaves_a_second_attempt_no_more_time_than_there_is(
    sides: tuple[Side, Side], planned: list[str], monkeypatch: pytest.MonkeyPatch, streamed: bool
) -> None:
    header_s: list[tuple[int, float]] = []

    def noted(context: RequestContext, attempt: Attempt, *rest: Any) -> Any:
        header_s.append((attempt.n, attempt.deadlines.header_s))
        return begin_sending(context, attempt, *rest)

    monkeypatch.setattr(failover, "begin_sending", noted)
    again = {"retry": {"attempts": 2, "backoff_s": 0.01}, "breaker": {"failures": 50}}
    side = sides[0]
    await side.stand.reset()
    change = {"providers": {"openrouter": again, "plain": again}, "presets": {"both": {**BOTH, "deadline_s": 20}}}
    assert await side.configure(change) is None
    planned.clear()
    for _ in range(3):
        assert (await side.ask(NAMES[0], 0, {"model": "both", "stream": streamed})).status == 200
    assert planned[1:] == ["hold"] * 2
    await side.stand.sim.behave("all", error="server-error")
    assert (await side.ask(NAMES[0], 0, {"model": "both", "stream": streamed})).status >= 500
    await side.stand.reset()
    *before, first, second, third, fourth = header_s
    assert set(before) == {first} == {(1, 20.0)}
    assert [n for n, _ in (second, third, fourth)] == [2, 3, 4]
    assert 20 > second[1] > third[1] > fourth[1]
    await _quiet(side)


@pytest.mark.parametrize("more", [{}, {"stream": True}])
async def test_a_plan_looks_at_answers_until_their_kind_is_proved(
    sides: tuple[Side, Side], planned: list[str], monkeypatch: pytest.MonkeyPatch, more: dict[str, Any]
) -> None:
    looked: list[str] = []

    async def noted(context: RequestContext, *rest: Any) -> Any:
        looked.append(context.request_id)
        return await open_answer(context, *rest)

    def noted_at_hand(context: RequestContext, *rest: Any) -> Any:
        opened = open_at_hand(context, *rest)
        if opened is not None:
            looked.append(context.request_id)
        return opened

    monkeypatch.setattr(failover, "open_answer", noted)
    monkeypatch.setattr(failover, "open_at_hand", noted_at_hand)
    for side in sides:
        assert await side.configure({}) is None
        forms = side.stand.app.services.forms
        forms.proved = set()
        looked.clear()
        planned.clear()
        for n in range(3):
            assert (await side.ask(NAMES[0], 0, {"model": MODEL, **more})).status == 200
            assert len(looked) == 1, n
        for n in range(1001):  # more than are kept
            forms.prove(("", f"m{n}", "chat", None, False))
        assert (await side.ask(NAMES[0], 0, {"model": MODEL, **more})).status == 200
        assert len(looked) == 2
        if side is sides[0]:
            assert planned[1:] == ["hold"] * 3


async def test_a_plan_leaves_order_to_what_a_target_may_not_serve(sides: tuple[Side, Side], planned: list[str]) -> None:
    long, form = [{"role": "user", "content": "word " * 5000}], {"type": "json_object"}
    for side in sides:  # both, so that their limits stay the same
        assert await side.configure({}) is None
        planned.clear()
        for more in ({}, {}, {"messages": long}, {"response_format": form}, {}):
            assert (await side.ask(NAMES[0], 0, {"model": "both", **more})).status == 200
        if side is sides[0]:
            assert planned[1:] == ["hold", "", "", "hold"]


async def test_a_plan_leaves_the_bound_of_an_answer_to_the_limits(sides: tuple[Side, Side]) -> None:
    for side in sides:
        await side.stand.clear()
        assert await side.configure({"users": {"anna": {"max_tokens": 60}}}) is None
        for _ in range(3):
            assert (await side.ask(NAMES[0], 0, BODIES[0])).status == 200
        await _quiet(side)
        came = await side.stand.sim.requests()
        assert [orjson.loads(one["body"])["max_tokens"] for one in came] == [60, 60, 60]


async def test_each_of_the_models_that_one_head_asks_in_turn_has_a_plan(
    sides: tuple[Side, Side], planned: list[str]
) -> None:
    for side in sides:  # both, so that their limits stay the same
        await side.stand.reset()
        assert await side.configure({}) is None
        planned.clear()
        for n in range(9):
            model = (MODEL, OTHER, "both")[n % 3]
            body = {"model": model, "messages": [{"role": "user", "content": f"Say {n}"}]}
            assert (await side.ask(NAMES[0], 0, body)).status == 200
        assert planned == ([*[""] * 3, *["hold"] * 6] if side is sides[0] else [""] * 9)


async def test_a_plan_of_a_shape_ends_with_its_configuration(sides: tuple[Side, Side], planned: list[str]) -> None:
    bodies = [{"model": MODEL, "messages": [{"role": "user", "content": f"Say {n}"}]} for n in range(7)]
    for side in sides:  # both, so that their limits stay the same
        await side.stand.reset()
        for change in ({}, {"users": {"anna": {"max_tokens": 60}}}, {}):
            assert await side.configure(change) is None
            planned.clear()
            for body in bodies:
                assert (await side.ask(NAMES[0], 0, body)).status == 200
            if side is sides[0]:
                assert planned[0] == ""
                assert all(planned[1:])


async def test_bodies_of_one_shape_are_proved_once(sides: tuple[Side, Side], monkeypatch: pytest.MonkeyPatch) -> None:
    def proved(raw: bytes) -> object:
        raise AssertionError(raw)

    for side in sides:  # both, so that their limits stay the same
        await side.stand.reset()
        assert await side.configure({}) is None
        bodies = [{"model": MODEL, "messages": [{"role": "user", "content": f"Say {n}"}]} for n in range(6)]
        for body in bodies[:3]:
            assert (await side.ask(NAMES[0], 0, body)).status == 200
        with monkeypatch.context() as patch:
            if side is sides[0]:
                patch.setattr("proxy.pipeline.request.body.parse_sized", proved)
            for body in bodies[3:]:
                assert (await side.ask(NAMES[0], 0, body)).status == 200


@pytest.mark.parametrize("streamed", [False, True])
async def test_bodies_of_one_shape_are_sent_as_they_are_written_anew(
    sides: tuple[Side, Side], monkeypatch: pytest.MonkeyPatch, streamed: bool
) -> None:
    texts = ["Say it", "gr\u00fc\u00df", "a\nb", 'a "b"', "", *(f"Say {n}" for n in range(5))]
    frames: list[Frame | None] = []
    found: list[list[str]] = []

    def noted(written: bytes, text: bytes) -> Frame | None:
        frames.append(frame_of(written, text))
        return frames[-1]

    monkeypatch.setattr(send, "frame_of", noted)
    for side in sides:
        await side.stand.clear()
        for change in ({}, {"users": {"anna": {"max_tokens": 60}}}, {}):
            assert await side.configure(change) is None
            for model in (MODEL, PLAIN):
                for text in texts:
                    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": text}]
                    body = {"model": model, "messages": messages, "stream": streamed}
                    assert (await side.ask(NAMES[0], 0, body)).status == 200
        await _quiet(side)
        found.append([one["body"] for one in await side.stand.sim.requests()])
        assert all(frames)
        assert bool(frames) is (side is sides[0])
        frames.clear()
    assert found[0] == found[1]
    bounds = [orjson.loads(body).get("max_tokens") for body in found[0]]
    assert bounds == [*[None] * 20, *[60] * 20, *[None] * 20]


async def _quiet(side: Side) -> None:
    async def is_quiet() -> bool:
        return not side.stand.app.services.in_flight and not side.stand.app.services.ledger.queued

    await eventually(is_quiet)


async def _rows(side: Side) -> list[dict[str, Any]]:
    rows = await side.stand.rows()
    return [{name: value for name, value in row.items() if name not in MOVING_COLUMNS} for row in rows]


async def _received(side: Side) -> list[tuple[Any, ...]]:
    """Return what came to the provider; but for its address, which is another one."""
    came = await side.stand.sim.requests()
    return [(one["path"], [pair for pair in one["headers"] if pair[0] != "Host"], one["body"]) for one in came]
