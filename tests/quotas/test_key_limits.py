"""Limits of a provider's keys: one that is used up is left aside until its window ends, also after a restart."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from proxy.pipeline.upstream.key_limits import KeyUse
from proxy.policy.key_ring import KeyFacts
from proxy.policy.quota import Quota
from proxy.policy.quota.window import HOUR_MS
from proxy.providers.key import Key, key_scope
from proxy.simulator.account import key_hash
from tests.quotas.place import Place, cost, error_of
from tests.support.one_try import rules
from tests.support.stand import MODEL

Open = Callable[..., Awaitable[Place]]
KEYS = {name: f"sk-or-v1-{name * 64}"[:73] for name in "abc"}


def world(place_url: str, limits: dict[str, Any], *, second: bool = True, chain: bool = False) -> dict[str, Any]:
    keys: list[dict[str, Any]] = [{"name": "a", "api_key": KEYS["a"], "priority": 1, "limits": limits}]
    if second:
        keys.append({"name": "b", "api_key": KEYS["b"], "priority": 2})
    own = {"base_url": f"{place_url}/api/v1", "api_key": None, "keys": keys, **rules()}
    return {"providers": {"openrouter": own}, "presets": {"chain": [MODEL, "plain/gpt-4o-mini"]} if chain else {}}


async def configured(opened: Open, limits: dict[str, Any], **more: Any) -> Place:
    place = await opened()
    await place.configure(world(place.sim.url, limits, **more))
    await place.sim.forget()
    return place


async def used(place: Place) -> list[str]:
    """Give the keys that reached the provider, in order."""
    names = {f"sha256:{key_hash(key)}": name for name, key in KEYS.items()}
    return [names[dict(sent["headers"])["Authorization"]] for sent in await place.sim.requests()]


async def test_the_next_key_takes_over(opened: Open) -> None:
    place = await configured(opened, {"requests": "2/day"})
    for _ in range(4):
        assert (await place.chat()).status == 200
    assert await used(place) == ["a", "a", "b", "b"]
    assert [row["key"] for row in place.rows("SELECT key FROM attempts ORDER BY request_id")] == ["a", "a", "b", "b"]
    place.move_to("2026-11-19T00:00:00Z")
    assert (await place.chat()).status == 200
    assert (await used(place))[-1] == "a"
    await place.check_books()


async def test_a_restart_knows_what_was_used(opened: Open) -> None:
    place = await configured(opened, {"requests": "2/day"})
    assert (await place.chat()).status == 200
    await place.restart()
    assert (await place.chat()).status == 200
    await place.restart()
    assert (await place.chat()).status == 200
    assert await used(place) == ["a", "a", "b"]
    await place.check_books()


async def test_money_that_runs_counts(opened: Open) -> None:
    """Many at once: what running attempts may cost is set aside, so that one begins below the limit, not all."""
    place = await opened()
    worst = await place.worst_case()
    await place.configure(world(place.sim.url, {"cost": cost(3 * worst)}))
    await place.sim.forget()
    await place.charge(worst)
    answers = await asyncio.gather(*(place.chat() for _ in range(12)))
    assert {answer.status for answer in answers} == {200}
    assert sorted(await used(place)).count("a") == 3
    await place.restart()
    assert (await place.chat()).status == 200
    assert (await used(place))[-1] == "b"
    await place.check_books()


async def test_what_was_not_spent_is_given_back(opened: Open) -> None:
    place = await opened()
    worst = await place.worst_case()
    await place.configure(world(place.sim.url, {"cost": cost(worst)}))
    await place.sim.forget()
    await place.charge(worst // 10)
    for _ in range(12):
        assert (await place.chat()).status == 200
    assert await used(place) == ["a"] * 10 + ["b"] * 2 if worst % 10 == 0 else True
    assert (await used(place)).count("a") >= 10
    assert (await used(place))[-1] == "b"


async def test_all_keys_used_up(opened: Open) -> None:
    """The next target answers; without one the client is told, and nothing is sent."""
    place = await configured(opened, {"requests": "1/day"}, second=False, chain=True)
    assert (await place.chat()).status == 200
    refused = await place.chat()
    assert (refused.status, error_of(refused)["code"]) == (503, "upstream_resting")
    assert "has room left under its own limits" in error_of(refused)["message"]
    assert len(await place.sim.requests()) == 1
    shown = await place.explain(model="chain")
    assert [target["key"] for target in shown["targets"]] == ["used up", "usable"]
    assert [target["chosen"] for target in shown["targets"]] == [False, True]
    other = await place.chat(model="chain")
    assert (other.status, other.header("x-tollkeeper-provider")) == (200, "plain")


async def test_an_attempt_that_failed_counts_as_a_request(opened: Open) -> None:
    """And costs nothing, where it certainly was not billed."""
    place = await configured(opened, {"requests": "2/day"})
    await place.sim.behave("next", error="overloaded")
    assert (await place.chat()).status == 503
    assert (await place.chat()).status == 200
    assert (await place.chat()).status == 200
    assert await used(place) == ["a", "a", "b"]


async def test_a_limit_that_is_new_sees_what_was_used(opened: Open) -> None:
    place = await opened()
    without = world(place.sim.url, {})
    await place.configure(without)
    await place.sim.forget()
    for _ in range(2):
        assert (await place.chat()).status == 200
    await place.quiet()
    await place.configure(world(place.sim.url, {"requests": "2/day"}))
    assert (await place.chat()).status == 200
    assert await used(place) == ["a", "a", "b"]


async def test_a_changed_limit_sees_what_was_used_before(opened: Open) -> None:
    """Also by a longer window than the first one's, and after a time without any limit."""
    place = await opened()
    place.move_to("2026-11-17T12:00:00Z")
    await place.configure(world(place.sim.url, {"requests": "5/day"}))
    await place.sim.forget()
    assert (await place.chat()).status == 200
    place.move_to("2026-11-18T12:00:00Z")
    await place.configure(world(place.sim.url, {}))
    assert (await place.chat()).status == 200
    await place.configure(world(place.sim.url, {"requests": "5/day"}))
    assert (await place.chat()).status == 200
    await place.quiet()
    await place.configure(world(place.sim.url, {"requests": "3/month"}))
    assert (await place.chat()).status == 200
    assert await used(place) == ["a", "a", "a", "b"]


@pytest.mark.parametrize("window", ["24h", "day", "total"])
def test_what_runs_stays_set_aside_while_its_window_moves(window: str) -> None:
    """A rolling window is summed anew each hour: with what attempts that began before hold, and none twice."""
    use = KeyUse(ZoneInfo("UTC"))
    scope = key_scope("openrouter", "a")
    key = Key(KeyFacts("a"), None, (Quota(scope, "cost", 100, window),))
    start_ms = 1_794_960_000_000 + HOUR_MS // 2
    assert use.used_up([key], start_ms) == ()
    held = use.begin(key, start_ms, 100)
    assert held is not None
    assert use.used_up([key], start_ms) == (0,)
    assert use.used_up([key], start_ms + HOUR_MS) == (0,)
    use.end(held, 40)
    later_ms = start_ms + HOUR_MS
    assert use.used_up([key], later_ms) == ()
    totals = held.scopes.all[0]
    assert (totals.window(window, use.zone, later_ms).settled[0], totals.open) == (40, {})
    assert totals.window(window, use.zone, later_ms).reserved[0] == 0
    second = use.begin(key, later_ms, 60)
    assert second is not None
    assert use.used_up([key], later_ms) == (0,)
    use.end(second, None)
    assert use.used_up([key], later_ms) == (0,), "not known yet: what was set aside counts"
