"""What was charged in full is asked for again, ever more rarely, and corrected once the provider tells it."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from proxy.jobs.late_lookups import REASON, LookupCounts
from tests.quotas.place import Place, body_of, user
from tests.storage.made_requests import attempt_end, attempt_row, open_row, request_end
from tests.support.book import book_of
from tests.support.installation import PROVIDER_KEY
from tests.support.stand import MODEL

Open = Callable[..., Awaitable[Place]]

MINUTE_MS = 60_000
DAY_MS = 24 * 60 * MINUTE_MS
WORLD: dict[str, Any] = {
    "users": {"anna": user("anna", limits={"cost": "$1000/total"})},
    "ledger": {"lookup_timeout_s": 0.2},
}
TOLD, WAITS, GIVEN_UP = LookupCounts(told=1), LookupCounts(waiting=1), LookupCounts(given_up=1)


async def charged_in_full(opened: Open, world: dict[str, Any] = WORLD) -> Place:
    """Give a place with one request that the provider charged and never told the cost of."""
    place = await opened(world)
    await place.sim.behave("next", usage="missing", generation_missing=True)
    assert (await place.chat()).status == 200
    await place.quiet()
    (row,) = place.rows()
    assert (row["cost_source"], row["cost_pusd"]) == ("reservation", row["reserved_pusd"])
    return place


async def due(place: Place, after_ms: int) -> LookupCounts:
    place.clock.ms += after_ms
    return await place.app.lookups.ask(place.clock.ms)


async def test_a_cost_that_is_told_later_is_booked_in_every_sum(opened: Open) -> None:
    place = await charged_in_full(opened)
    before = place.rows()[0]["cost_pusd"]
    assert await due(place, 0) == WAITS
    await place.restart()
    await place.sim.tell_generations()
    assert await due(place, MINUTE_MS - 1) == LookupCounts()
    assert await due(place, 1) == TOLD
    assert await due(place, DAY_MS) == LookupCounts()
    (row,) = place.rows()
    books = await place.sim.books()
    assert row["cost_pusd"] == books["total_pusd"] < before
    assert row["cost_source"] == "reservation"
    assert (await place.limit())["used_pusd"] == row["cost_pusd"]
    (kept,) = place.rows("SELECT booked_pusd, amount_pusd, reason, source, attempt, charged_key FROM adjustments")
    assert kept == {
        "booked_pusd": before,
        "amount_pusd": row["cost_pusd"] - before,
        "reason": REASON,
        "source": "generation",
        "attempt": 1,
        "charged_key": "main",
    }
    assert book_of(place.app.services).audit() == []


async def test_it_is_asked_for_ever_more_rarely_until_it_is_forgotten(opened: Open) -> None:
    place = await charged_in_full(opened)
    waited_ms = 0
    for minutes in (0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 1440, 1440):
        if minutes:
            assert await due(place, minutes * MINUTE_MS - 1) == LookupCounts()
        assert await due(place, int(bool(minutes))) == WAITS
        waited_ms += minutes * MINUTE_MS
    assert await due(place, 31 * DAY_MS - waited_ms) == GIVEN_UP
    assert await place.app.lookups.ask() == LookupCounts()


@pytest.mark.parametrize("loss", ["provider", "key"])
async def test_what_nobody_can_ask_for_is_given_up(opened: Open, loss: str) -> None:
    """A provider that is gone from the configuration; where only its key has another name, that one is asked."""
    place = await charged_in_full(opened)
    own = {"base_url": f"{place.sim.url}/api/v1", "api_key": None, "keys": [{"name": "new", "api_key": "sk-or-v1-new"}]}
    changed = {"providers": {"openrouter": own}} if loss == "key" else {"providers": {"openrouter": None}}
    await place.configure({**WORLD, **changed})
    assert await place.app.lookups.ask() == (WAITS if loss == "key" else GIVEN_UP)


async def test_each_attempt_is_told_by_itself(opened: Open) -> None:
    """Of two attempts that were charged in full each is corrected, and the request is their sum."""
    place = await opened(WORLD)
    await place.sim.behave("all", usage="missing", generation_missing=True)
    first, second = [(await place.sim.chat(body_of(), key=PROVIDER_KEY)).json()["id"] for _ in range(2)]
    app, now_ms = place.app, place.clock.ms
    awaited = {"cost_pusd": None, "cost_source": "none", "input_tokens": None, "output_tokens": None}
    awaited |= {"cached_tokens": None, "reasoning_tokens": None}
    row = open_row(app.ledger.ids.next(now_ms), started_ms=now_ms, day="2026-11-18", reserved_pusd=9 * 10**9)._replace(
        target_provider="openrouter", target_model=MODEL
    )
    before = attempt_end(row.id, 1, generation_id=first, reserved_pusd=4 * 10**9, **awaited)
    await app.ledger.open(row)
    again = attempt_row(row.id)._replace(provider="openrouter", model=MODEL, started_ms=now_ms)
    await app.ledger.add_attempt(again, before)
    last = attempt_end(row.id, 2, generation_id=second, **awaited)
    await app.ledger.end(
        request_end(row, n=2, state="pending", provider="openrouter", generation_id=second, **awaited)._replace(
            attempt_ends=(last,)
        )
    )
    await place.restart()
    await place.quiet()
    costs = place.rows("SELECT cost_source, cost_pusd FROM attempts ORDER BY n")
    assert [tuple(one.values()) for one in costs] == [("reservation", 4 * 10**9), ("reservation", 5 * 10**9)]
    await place.sim.tell_generations()
    assert await place.app.lookups.ask() == LookupCounts(told=2)
    books = await place.sim.books()
    assert place.rows()[0]["cost_pusd"] == books["total_pusd"]
    assert [one["attempt"] for one in place.rows("SELECT attempt FROM adjustments ORDER BY id")] == [1, 2]
    assert book_of(place.app.services).audit() == []
