"""Costs that become known late: every limit counts them in one step, before and after a restart, and none twice."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from zoneinfo import ZoneInfo

from msgspec.structs import replace

from proxy.storage.adjustment import Booked, Correction, UnattachedCost
from proxy.storage.rows import id_number
from proxy.storage.spending import UsageSelection
from tests.quotas.place import Place, cost, user
from tests.quotas.test_key_limits import world
from tests.support.book import book_of
from tests.support.stand import MODEL

Open = Callable[..., Awaitable[Place]]

ROOMY = {"cost": "$1000/day"}
EVERYWHERE: dict[str, Any] = {
    "limits": ROOMY,
    "groups": {"home": {"limits": ROOMY}, "family": {"parent": "home", "limits": ROOMY}},
    "users": {
        "anna": user("anna", group="family", limits=[ROOMY, {**ROOMY, "models": ["openai/*"]}]),
        "ben": user("ben", limits=ROOMY),
    },
    "use_case_limits": {"sms": {"cost": "$1000/day"}},
}


def late(row: dict[str, Any], actual_pusd: int) -> Correction:
    number = id_number(row["request_id"])
    assert number is not None
    return Correction(number, actual_pusd, "a test knows better", "test")


async def used(place: Place, who: str = "anna") -> dict[tuple[str, bool], int]:
    """Return what each limit counts, by its scope and whether it is on a set of models; nothing may be held."""
    rows = await place.limits(who)
    assert all(row["reserved_pusd"] == 0 for row in rows)
    return {(row["scope"], row["models"] is not None): row["used_pusd"] for row in rows}


async def test_every_limit_that_counts_a_request_counts_its_late_cost(opened: Open) -> None:
    """Higher, lower, and the same again; after a restart the file says what memory said; others stay as they were."""
    place = await opened(EVERYWHERE)
    for who in ("anna", "ben"):
        assert (await place.chat(who, metadata={"use_case": "sms"})).status == 200
    await place.quiet()
    row, other = place.rows()
    app = place.app
    before, bens = await used(place), await used(place, "ben")
    assert len(before) >= 5
    for actual in (row["cost_pusd"] + 10**9, 3, 3, 10**10):
        (booked,) = await app.late.correct([late(row, actual)])
        assert booked.actual_pusd == actual
        after = await used(place)
        assert after == {scope: count + actual - row["cost_pusd"] for scope, count in before.items()}
        assert (await used(place, "ben"))[("user:ben", False)] == bens[("user:ben", False)] == other["cost_pusd"]
    assert app.services.counters.adjustments == {"up": 2, "down": 1}
    assert [one["cost_pusd"] for one in place.rows()] == [10**10, other["cost_pusd"]]
    assert book_of(app.services).audit() == []
    await place.restart()
    assert await used(place) == after


async def test_a_request_that_waits_for_its_cost_is_settled_by_the_truth(opened: Open) -> None:
    place = await opened({"users": {"anna": user("anna", limits={"cost": "$1/day"})}})
    await place.sim.behave("next", usage="missing", generation_missing=True)
    assert (await place.chat()).status == 200
    (row,) = place.rows()
    assert row["state"] == "pending"
    app = place.app
    (booked,) = await app.late.correct([late(row, 77)])
    assert (booked.how, booked.amount_pusd) == ("settled", 77)
    (row,) = place.rows()
    assert (row["state"], row["cost_source"], row["cost_pusd"]) == ("settled", "generation", 77)
    assert await used(place) == {("user:anna", False): 77}
    assert app.pending.waiting == 0
    (again,) = await app.late.correct([late(row, 77)])
    assert again.how == "unchanged"
    assert book_of(app.services).audit() == []


async def test_a_window_that_has_passed_is_left_alone(opened: Open) -> None:
    """A cost counts where its request does: in the total, and in no day that began since."""
    limits = [{"cost": "$5/day"}, {"cost": "$9/total"}]
    place = await opened({"users": {"anna": user("anna", limits=limits)}})
    assert (await place.chat()).status == 200
    await place.quiet()
    (row,) = place.rows()
    place.move_to("2026-11-20T01:00:00Z")
    await place.app.late.correct([late(row, 10**9)])

    async def by_window() -> dict[str, int]:
        return {one["window"]: one["used_pusd"] for one in await place.limits()}

    assert await by_window() == {"day": 0, "total": 10**9}
    await place.restart()
    assert await by_window() == {"day": 0, "total": 10**9}


async def test_nobody_is_let_in_on_money_that_turns_out_to_be_spent(opened: Open) -> None:
    """Corrections among admissions: what was let in after a commit fits what is true by then."""
    place = await opened({"users": {"anna": user("anna", limits={"cost": "$1000/day"})}})
    worst = await place.worst_case()
    await place.charge(worst)
    for _ in range(4):
        assert (await place.chat()).status == 200
    await place.quiet()
    rows = place.rows()
    room = 9
    await place.configure(
        {"users": {"anna": user("anna", limits={"cost": cost((4 + room) * worst, "day")})}, "quotas": {"wait_s": 0}}
    )

    async def correct() -> tuple[Booked, ...]:
        await asyncio.sleep(0)
        return await place.app.late.correct([late(row, 2 * worst) for row in rows])

    async def ask() -> int:
        answer = await place.chat()
        return answer.status

    booked, *statuses = await asyncio.gather(correct(), *(ask() for _ in range(20)))
    assert isinstance(booked, tuple)
    await place.quiet()
    spent = sum(row["cost_pusd"] for row in place.rows())
    let_in = statuses.count(200)
    # each is refused, or fits what was booked when it was let in; of the truth at most the corrections come on top
    assert room - len(rows) <= let_in <= room
    assert spent == (8 + let_in) * worst
    assert (await place.limit())["used_pusd"] == spent
    assert (await place.chat()).status == 402
    assert book_of(place.app.services).audit() == []


async def test_what_belongs_to_no_request_counts_for_everyone_and_for_its_key(opened: Open) -> None:
    """And in no user's limits or sums."""
    place = await opened()
    limits = {"cost": "$5/day", "requests": "100/day"}
    await place.configure({**EVERYWHERE, **world(place.sim.url, limits, second=False), "presets": {}})
    before = await used(place)
    day, now_ms = "2026-11-18", place.clock.ms
    lost = UnattachedCost(now_ms, day, "openrouter", "openai/gpt-4o-mini", "a", 10**12, "a lost row", "test", "gen-1")

    def spent_keys() -> tuple[int, ...]:
        keys = place.app.live.current.providers["openrouter"].keys
        return place.app.health.use.used_up(keys, now_ms)

    for how in ("adjusted", "unchanged"):
        (booked,) = await place.app.late.book_unattached([lost])
        assert booked.how == how
        assert await used(place) == {scope: count + 10**12 * (scope[0] == "all") for scope, count in before.items()}
    assert spent_keys() == ()
    dearer = UnattachedCost(now_ms, day, "openrouter", "x", "a", 5 * 10**12, "a lost row", "test", "gen-1")
    await place.app.late.book_unattached([dearer])
    assert spent_keys() == (0,)
    await place.restart()
    assert spent_keys() == (0,)
    sums = place.app.reports.usage(UsageSelection(("user",)), ZoneInfo("UTC"))
    spent = {row.key[0]: row.cost_pusd for row in sums.rows}
    assert spent == {"": 5 * 10**12}


async def test_a_bill_leaves_the_price_that_the_operator_asks_on_top(opened: Open) -> None:
    """It holds the provider's charge alone: a request that waits gets both, one that has ended keeps what it has."""
    own_pusd = 2 * 10**9
    place = await opened({"users": {"anna": user("anna")}, "models": {MODEL: {"request_price": "0.002"}}})
    await place.charge(50)
    assert (await place.chat()).status == 200
    await place.sim.behave("next", usage="missing", generation_missing=True)
    assert (await place.chat()).status == 200
    settled, pending = place.rows()
    assert (settled["cost_pusd"], settled["flags"]) == (50 + own_pusd, "request_price")
    corrections = [replace(late(row, 60), is_bill=True) for row in (settled, pending)]
    found = await place.app.late.correct(corrections)
    assert [(one.how, one.actual_pusd) for one in found] == [("refused", 50 + own_pusd), ("settled", 60 + own_pusd)]
    assert [row["cost_pusd"] for row in place.rows()] == [50 + own_pusd, 60 + own_pusd]
    (whole,) = await place.app.late.correct([late(settled, 70 + own_pusd)])
    assert (whole.how, whole.amount_pusd) == ("adjusted", 20)
    assert book_of(place.app.services).audit() == []
