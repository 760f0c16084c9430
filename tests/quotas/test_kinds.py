"""Every kind of limit on every scope, over every window, hard and soft: asserted by what HTTP answers.

Each case lets three requests in and refuses the fourth; a raised limit lets one more in, because what was spent stays;
a lowered one refuses; a restart changes no figure; and the window ends at the very millisecond that was told.
"""

import time
from collections.abc import Awaitable, Callable
from itertools import product
from typing import Any, NamedTuple

import pytest

from tests.quotas.place import INPUT_PUSD, OUTPUT_PUSD, START, Place, cost, error_of, ms_of, usd, user
from tests.support.raw import Answer

Open = Callable[..., Awaitable[Place]]

# when a window that holds START ends; 12h and 30d let the hour of START out
ENDS = {
    "minute": "2026-11-18T10:21:00Z",
    "hour": "2026-11-18T11:00:00Z",
    "12h": "2026-11-18T23:00:00Z",
    "day": "2026-11-19T00:00:00Z",
    "week": "2026-11-23T00:00:00Z",
    "month": "2026-12-01T00:00:00Z",
    "30d": "2026-12-18T11:00:00Z",
    "total": None,
}
OUTPUT_TOKENS = 20
KINDS = ("cost", "tokens", "requests")


class Unit(NamedTuple):
    """What one request of these tests holds, and comes to: the same, so that nothing is given back."""

    cost: int
    tokens: int
    requests: int = 1


class Case(NamedTuple):
    kind: str
    window: str
    mode: str

    @property
    def name(self) -> str:
        return f"{self.kind}-{self.window}-{self.mode}"

    def limits(self, amount: int) -> dict[str, Any]:
        if self.kind == "cost":
            return {"limits": {"cost": cost(amount, self.window, self.mode)}}
        return {"limits": {self.kind: {"amount": amount, "window": self.window, "mode": self.mode}}}

    def room_for(self, requests: int, unit: Unit) -> int:
        """Give the limit that lets so many requests in. A soft one asks only what was used before."""
        amount: int = requests * getattr(unit, self.kind)
        return amount if self.mode == "hard" or self.kind == "requests" else amount - 1


CASES = [Case(*parts) for parts in product(KINDS, ENDS, ("hard", "soft"))]


async def settle_at_worst(place: Place, who: str) -> Unit:
    """Have every answer cost and count exactly what is set aside for it; who has no limit."""
    worst = await place.worst_case(who, max_tokens=OUTPUT_TOKENS)
    input_tokens, rest = divmod(worst - OUTPUT_TOKENS * OUTPUT_PUSD, INPUT_PUSD)
    assert rest == 0
    await place.sim.behave("all", prompt_tokens=input_tokens, completion_tokens=OUTPUT_TOKENS, cost_literal=usd(worst))
    return Unit(worst, input_tokens + OUTPUT_TOKENS)


async def send(place: Place, who: str) -> Answer:
    return await place.chat(who, max_tokens=OUTPUT_TOKENS)


async def is_let_in(place: Place, who: str) -> None:
    answer = await send(place, who)
    assert answer.status == 200, (who, answer.body)


async def is_refused(place: Place, who: str, case: Case) -> None:
    answer = await send(place, who)
    error = error_of(answer)
    if case.window == "minute" and case.kind != "cost":
        assert (answer.status, error["code"]) == (429, "rate_limit_exceeded"), who
        left_ms = ms_of(ENDS["minute"] or "") - place.clock.ms
        assert answer.header("Retry-After") == str(-(-left_ms // 1000))
        assert 1 <= left_ms <= 60_000
    else:
        assert (answer.status, error["code"]) == (402, "insufficient_quota"), (who, answer.body)
        assert answer.header("x-should-retry") == "false"
        assert answer.header("Retry-After") is None
    assert answer.status != 200


async def figures(place: Place, users: list[str]) -> dict[str, list[dict[str, Any]]]:
    return {who: await place.limits(who) for who in users}


async def through_time(place: Place, waiting: dict[str, list[Case]]) -> None:
    """Move to the end of each window in turn: a millisecond before it everybody waits, at it these are let in."""
    for window, end in ENDS.items():
        if end is None:
            continue
        for who, case in [(who, case) for who, cases in waiting.items() for case in cases if case.window == window]:
            place.move_to(end, -1)
            await is_refused(place, who, case)
            place.move_to(end)
            await is_let_in(place, who)
    for who, cases in waiting.items():
        for case in cases:
            if case.window == "total":
                await is_refused(place, who, case)


async def one_life(place: Place, members: dict[str, tuple[str, ...]], block: str) -> None:
    """Lead every case, named as its user or group, through its life; members are who asks for it, in turn."""
    by_name = {case.name: case for case in CASES}

    def more(requests: int, unit: Unit) -> dict[str, Any]:
        owners = {name: by_name[name].limits(by_name[name].room_for(requests, unit)) for name in members}
        if block == "users":
            users = {name: user(name, **limits) for name, limits in owners.items()}
            return {"users": {"free": user("free"), **users}}
        users = {who: user(who, group=name) for name, all_ in members.items() for who in all_}
        return {"users": {"free": user("free"), **users}, "groups": owners}

    await place.configure({"users": {"free": user("free")}})
    unit = await settle_at_worst(place, "free")
    await place.configure(more(3, unit))
    for name, who in members.items():
        for n in range(3):
            await is_let_in(place, who[n % len(who)])
        await is_refused(place, who[-1], by_name[name])
        (row,) = await place.limits(who[0])
        used = 3 * getattr(unit, by_name[name].kind)
        figure = "used_pusd" if by_name[name].kind == "cost" else "used"
        assert (row[figure], row["resets_at"]) == (used, ENDS[by_name[name].window])
        assert row["remaining_pusd" if by_name[name].kind == "cost" else "remaining"] == 0
    before = await figures(place, [who[0] for who in members.values()])
    await place.configure(more(4, unit))
    for name, who in members.items():
        await is_let_in(place, who[0])
        await is_refused(place, who[-1], by_name[name])
    await place.configure(more(1, unit))
    for name, who in members.items():
        await is_refused(place, who[0], by_name[name])
        (row,) = await place.limits(who[0])
        figure = "used_pusd" if by_name[name].kind == "cost" else "used"
        assert row[figure] == before[who[0]][0][figure] // 3 * 4
    after = await figures(place, [who[0] for who in members.values()])
    await place.restart()
    assert await figures(place, [who[0] for who in members.values()]) == after
    await through_time(place, {who[0]: [by_name[name]] for name, who in members.items()})
    await place.check_books()


@pytest.mark.parametrize("kind", KINDS)
async def test_users(opened: Open, kind: str) -> None:
    place = await opened()
    await one_life(place, {case.name: (case.name,) for case in CASES if case.kind == kind}, "users")


@pytest.mark.parametrize("kind", KINDS)
async def test_groups(opened: Open, kind: str) -> None:
    place = await opened()
    members: dict[str, tuple[str, ...]] = {
        case.name: (f"{case.name}-a", f"{case.name}-b") for case in CASES if case.kind == kind
    }
    await one_life(place, members, "groups")


@pytest.mark.parametrize("kind", KINDS)
async def test_everyone_together(opened: Open, kind: str) -> None:
    """One case after the other; each begins with all that the ones before it have spent."""
    people = {"users": {"anna": user("anna"), "ben": user("ben", group="family")}, "groups": {"family": {}}}
    place = await opened(people)
    unit = await settle_at_worst(place, "anna")
    figure = "used_pusd" if kind == "cost" else "used"
    room = 10**6 * getattr(unit, kind)
    for case in [case for case in CASES if case.kind == kind]:
        place.move_to(START)
        await place.configure({**people, **case.limits(room)})
        used = (await place.limit(kind=kind))[figure]

        async def allow(requests: int, case: Case = case, used: int = used) -> None:
            await place.configure({**people, **case.limits(used + case.room_for(requests, unit))})

        await allow(3)
        for who in ("anna", "ben", "anna"):
            await is_let_in(place, who)
        await is_refused(place, "ben", case)
        await allow(4)
        await is_let_in(place, "ben")
        await is_refused(place, "anna", case)
        assert (await place.limit(kind=kind))[figure] == used + 4 * getattr(unit, kind)
    before = await place.limits("anna")
    await place.restart()
    assert await place.limits("anna") == before
    await is_refused(place, "anna", CASES[-1]._replace(kind=kind))
    await place.check_books()


@pytest.mark.parametrize(
    ("window", "start", "end"),
    [
        ("day", "2026-10-25T00:30:00+02:00", "2026-10-26T00:00:00+01:00"),  # 25 hours long
        ("day", "2026-03-29T23:30:00+02:00", "2026-03-30T00:00:00+02:00"),
        ("month", "2026-02-28T22:59:59+00:00", "2026-03-01T00:00:00+01:00"),
        ("month", "2026-12-31T12:00:00+01:00", "2027-01-01T00:00:00+01:00"),
        ("week", "2026-10-25T02:30:00+01:00", "2026-10-26T00:00:00+01:00"),
        ("hour", "2026-10-25T02:59:59+02:00", "2026-10-25T02:00:00+01:00"),  # the hour that comes twice
    ],
)
async def test_windows_of_the_zone(opened: Open, window: str, start: str, end: str) -> None:
    """They end by the wall clock of the configuration, to the millisecond, and a clock that goes back frees nothing."""
    place = await opened({"timezone": "Europe/Stockholm", "users": {"anna": user("anna")}})
    place.move_to(start)
    limits = {"requests": {"amount": 1, "window": window}}
    await place.configure({"timezone": "Europe/Stockholm", "users": {"anna": user("anna", limits=limits)}})
    assert (await place.chat()).status == 200
    place.move_to(end, -1)
    assert (await place.chat()).status == 402
    place.move_to(end)
    assert (await place.chat()).status == 200
    place.move_to(start)
    assert (await place.chat()).status == 402
    await place.restart()
    assert (await place.chat()).status == 402


async def test_a_clock_that_leaps_frees_nothing(opened: Open) -> None:
    """Forty days ahead at once, as after a fault of NTP: the windows of now stay."""
    limits = {"requests": [{"amount": 1, "window": window} for window in ENDS if window != "minute"]}
    place = await opened({"users": {"anna": user("anna", limits=limits)}})
    place.guarded = True
    now_ms = time.time_ns() // 10**6
    place.clock.ms = now_ms - (10_000 if now_ms % 3_600_000 > 3_590_000 else 0)  # no hour ends within the test
    await place.restart()
    assert (await place.chat()).status == 200
    before = await place.limits()
    place.clock.ms += 40 * 24 * 3_600_000
    assert (await place.chat()).status == 402
    after = await place.limits()
    assert [row["used"] for row in after] == [row["used"] for row in before] == [1] * len(before)


def concurrency(scope: str, most: int) -> dict[str, Any]:
    limits = {"limits": {"concurrency": most}}
    people = {"anna": user("anna", group="family"), "ben": user("ben", group="family")}
    if scope == "user":
        people["anna"].update(limits)
    return {
        "users": people,
        "groups": {"family": limits if scope == "group" else {}},
        **(limits if scope == "all" else {}),
    }


@pytest.mark.parametrize("scope", ["user", "group", "all"])
async def test_concurrency(opened: Open, scope: str) -> None:
    """What runs counts; what ended, or was hung up on, does not."""
    place = await opened(concurrency(scope, 2))
    other = "anna" if scope == "user" else "ben"
    await place.sim.behave("all", stop_at="after_chunks", stop_after=2, stop_with="hang")
    first = await place.begin_chat("anna", stream=True)
    second = await place.begin_chat(other, stream=True)
    await first.read_until(b'"content"')
    await second.read_until(b'"content"')
    refused = await place.chat(other)
    assert (refused.status, error_of(refused)["code"]) == (429, "rate_limit_exceeded")
    assert refused.header("Retry-After") == "1"
    assert refused.header("retry-after-ms") == "1000"
    assert "2 requests at once" in error_of(refused)["message"]
    await place.configure(concurrency(scope, 3))
    assert (await place.limit(kind="concurrency"))["reserved"] == 2
    await place.sim.normal()
    assert (await place.chat(other)).status == 200
    await place.configure(concurrency(scope, 2))
    assert (await place.chat(other)).status == 429
    await first.hang_up()
    await place.quiet(left=1)
    assert (await place.limit(kind="concurrency"))["reserved"] == 1
    assert (await place.chat(other)).status == 200
    await second.hang_up()
    await place.quiet()
    await place.restart()
    assert (await place.limit(kind="concurrency"))["reserved"] == 0
    await place.check_books()
