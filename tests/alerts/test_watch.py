"""Each kind of rule against a running proxy: when it fires, and when it is over."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from msgspec.structs import replace

from proxy.core.alert_kinds import ALERT_KINDS_BY_NAME
from proxy.policy.pricing import PriceList
from proxy.policy.pricing.price_list import PriceListEntry
from proxy.storage.audit import Actor
from tests.alerts.place import Watched, leave_hearing
from tests.support.installation import token_hash_of, token_of
from tests.support.stand import MODEL, Stand, sqlite_ledger, stand

_ACTOR = Actor("root", "socket")
DAY_MS = 86_400_000
HOUR_MS = 3_600_000
MORE = {
    "limits": {"cost": "$1000/day"},
    "users": {name: {"token_hash": token_hash_of(name), "limits": {"requests": "5/day"}} for name in ("bo", "cleo")},
    "presets": {"fast": [MODEL, "plain/gpt-4o"]},
    "quotas": {"wait_s": 0},
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def proxy(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stand]:
    async with stand(tmp_path_factory.mktemp("alerts"), MORE) as at:
        leave_hearing(at)
        yield at


@pytest_asyncio.fixture(loop_scope="module")
async def at(proxy: Stand) -> AsyncIterator[Stand]:
    yield proxy
    proxy.app.services.repeated = None
    proxy.app._hear_requests(None)
    await proxy.clear()
    await sqlite_ledger(proxy.app).change(_forget)
    await proxy.app.live.rebuild()


def _forget(connection: Any) -> None:
    for table in ("alert_deliveries", "alerts", "alert_states", "alert_samples", "alert_silences", "alert_disabled"):
        connection.execute(f"DELETE FROM {table}")  # noqa: S608 - the names stand in the line above


pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_every_kind_is_measured(at: Stand) -> None:
    assert Watched(at, {}).watch.measures.keys() == ALERT_KINDS_BY_NAME.keys()


async def test_a_limit_is_told_at_each_threshold_once_through_restarts_and_a_clock_that_steps(at: Stand) -> None:
    rule = {"watch": "limit_share", "limits": ["requests"], "at": [40, 80], "scope": "user:bo"}
    watched = Watched(at, {"budget": rule, "total": {**rule, "scope": "all"}})
    assert await watched.told() == []
    for _ in range(2):
        await at.chat(token=token_of("bo"))
    once = ["fired budget user:bo requests day"]
    assert await watched.told() == once
    assert watched.woken == 1
    watched.restarted()
    assert await watched.told() == once
    watched.clock.ahead_ms = -2 * DAY_MS  # a restart with a clock that is behind
    watched.restarted()
    assert await watched.told() == once
    watched.clock.ahead_ms = 0
    for _ in range(2):
        await at.chat(token=token_of("bo"))
    assert await watched.told() == once * 2
    watched.clock.ahead_ms = DAY_MS
    assert await watched.told() == [*once * 2, "recovered budget user:bo requests day"]
    watched.restarted()
    assert len(await watched.told()) == 3


async def test_a_forecast_counts_what_is_used_over_what_has_passed(at: Stand) -> None:
    watched = Watched(at, {"month": {"watch": "forecast", "at": 100, "scope": "user:cleo", "limits": "requests"}})
    for _ in range(5):
        await at.chat(token=token_of("cleo"))
    watched.clock.ahead_ms = _end_of_day(at) - 60_000 - watched.clock.now_ms()  # all of the window has passed
    assert await watched.told() == ["fired month user:cleo requests day"]


def _end_of_day(at: Stand) -> int:
    return (at.app.services.clock.now_ms() // DAY_MS + 1) * DAY_MS


async def test_spending_is_compared_with_last_week(at: Stand) -> None:
    watched = Watched(at, {"burning": {"watch": "spend_rate", "min_usd": "0.000001", "at": "200%", "scope": "all"}})
    assert await watched.told() == []
    await at.chat()
    await at.settled()
    watched.restarted()  # figures of spending are read once a minute
    assert await watched.told() == ["fired burning all"]
    (delivery,) = watched.deliveries()
    assert delivery.message.detail.endswith("$0 a week before")


async def test_failures_further_attempts_and_latency_of_requests(at: Stand) -> None:
    rules = {
        "failing": {"watch": "error_rate", "min_requests": 2, "at": "50%", "scope": "all"},
        "retried": {"watch": "fallback_rate", "min_requests": 2, "at": "50%", "scope": "all"},
        "slow": {"watch": "latency_p95", "min_requests": 1, "at": "0.001s", "scope": ["open*"]},
    }
    watched = Watched(at, rules)
    assert await watched.told() == []
    await at.chat()
    assert await watched.told() == ["fired slow openrouter"]
    await at.sim.behave("all", error="server-error")
    for _ in range(2):
        await at.chat()
    assert "fired failing all" in await watched.told()
    watched.clock.ahead_ms = 2 * HOUR_MS
    told = await watched.told()
    assert "recovered failing all" in told
    assert "recovered slow openrouter" in told
    assert at.app.services.counters.listener is not None
    watched.services.live.current = replace(  # type: ignore[misc]
        watched.services.live.current,
        settings=at.app.live.current.settings,
    )
    await watched.watch.check()
    assert at.app.services.counters.listener is None, "without a rule nobody listens"


async def test_providers_and_keys(at: Stand) -> None:
    rules = {name: {"watch": name} for name in ("provider_down", "breaker_open", "key_bad")}
    watched = Watched(at, rules)
    assert await watched.told() == []
    health = at.app.health._providers["openrouter"]
    now_s = at.app.services.clock.monotonic_s()
    health.breaker.set_aside(now_s, 60)
    health.ring.set_aside(health.row.keys[0].name, at.app.services.clock.now_ms() + 60_000, "no_credits")
    fired = ["fired provider_down openrouter", "fired breaker_open openrouter"]
    key = f"key_bad openrouter/{health.row.keys[0].name}"
    assert await watched.told() == [*fired, f"fired {key}"]
    assert "no credit left" in watched.deliveries()[-1].message.detail
    at.app.health.forget()
    assert (await watched.told())[3:] == [
        "recovered provider_down openrouter", "recovered breaker_open openrouter", f"recovered {key}",
    ]  # fmt: skip


async def test_further_attempts_fire(at: Stand) -> None:
    rule = {"watch": "fallback_rate", "min_requests": 2, "at": "50%"}
    watched = Watched(at, {"retried": rule})
    assert await watched.told() == []
    assert (await at.chat({"model": "fast"})).header("x-tollkeeper-provider") == "openrouter"
    await at.sim.behave(f"model:{MODEL}", count=100, error="server-error")
    for _ in range(2):
        answer = await at.chat({"model": "fast", "max_tokens": 16})
        assert answer.header("x-tollkeeper-provider") == "plain"
    assert {*await watched.told()} == {"fired retried all", "fired retried plain"}
    watched.clock.ahead_ms = 2 * HOUR_MS
    assert "recovered retried all" in await watched.told()


async def test_a_breaker_that_requests_have_opened_fires_until_one_closes_it(at: Stand) -> None:
    watched = Watched(at, {"open": {"watch": "breaker_open", "scope": "openrouter*"}})
    assert await watched.told() == []
    await at.sim.behave("all", error="upstream-rate-limit", retry_after="60")
    for name in ("anna", "bo"):  # what only one of them meets may be their own fault
        await at.chat(token=token_of(name))
    fired = await watched.told()
    assert fired[:1] in (["fired open openrouter"], [f"fired open openrouter/{MODEL}"])
    await at.sim.normal()
    at.app.health.forget()  # the time that it is left alone for
    assert (await at.chat()).status == 200
    assert (await watched.told())[len(fired) :] == [line.replace("fired", "recovered") for line in fired]


async def test_models_and_prices(at: Stand) -> None:
    watched = Watched(at, {"prices": {"watch": "price_moved", "at": "10%"}, "gone": {"watch": "model_gone"}})
    assert await watched.told() == []
    listing = at.app.model_lists.listing("openrouter")
    before, models = listing.prices, listing.models
    price = before.entries[MODEL].price
    assert price is not None
    try:
        dearer = PriceListEntry(MODEL, replace(price, input_ausd=price.input_ausd * 2))
        listing.prices = PriceList({**before.entries, MODEL: dearer})
        watched.restarted()
        assert await watched.told() == [f"fired prices openrouter/{MODEL}"]
        assert watched.deliveries()[-1].message.value == 100
        assert await watched.told() == [f"fired prices openrouter/{MODEL}"], "from now on this is its price"
        listing.models = {name: entry for name, entry in models.items() if name != MODEL}
        listing.prices = PriceList({name: entry for name, entry in before.entries.items() if name != MODEL})
        assert f"fired gone openrouter/{MODEL}" in await watched.told()
    finally:
        listing.prices, listing.models = before, models
    assert f"recovered gone openrouter/{MODEL}" in await watched.told()


async def test_the_disk_and_the_ledger(at: Stand) -> None:
    watched = Watched(
        at, {"disk": {"watch": "disk_free", "at": "999999TB"}, "growth": {"watch": "ledger_growth", "at": "1B"}}
    )
    assert await watched.told() == ["fired disk disk"]
    for _ in range(3):
        await at.chat()
    assert await watched.told() == ["fired disk disk", "fired growth ledger"]


async def test_a_body_in_a_loop(at: Stand) -> None:
    watched = Watched(at, {"loop": {"watch": "repeats", "at": 3, "window_s": 60}})
    assert await watched.told() == []
    at.app.services.repeated = watched.services.repeated  # the proxy's own watch has no such rule
    for number in range(3):
        await at.chat({"seed": number})
    assert await watched.told() == []
    for _ in range(2):
        await at.chat({"seed": 0})
    told = await watched.told()
    assert len(told) == 1
    assert told[0].startswith("fired loop anna/")
    watched.clock.ahead_ms = 2 * HOUR_MS
    assert await watched.told() == told, "it has no end to tell"


async def test_other_thresholds_begin_anew_and_the_same_ones_do_not(at: Stand) -> None:
    first = Watched(at, {"disk": {"watch": "disk_free", "at": "999999TB"}})
    assert await first.told() == ["fired disk disk"]
    other = Watched(at, {"disk": {"watch": "disk_free", "at": "888888TB"}})
    assert await other.told() == ["fired disk disk"] * 2
    assert await Watched(at, {"disk": {"watch": "disk_free", "at": "888888TB"}}).told() == ["fired disk disk"] * 2
    assert await Watched(at, {}).told() == ["fired disk disk"] * 2


async def test_a_silenced_rule_tells_afterwards_what_still_holds(at: Stand) -> None:
    watched = Watched(at, {"disk": {"watch": "disk_free", "at": "999999TB"}})
    now_ms = watched.clock.now_ms()
    fields = {"name": "disk", "until_ms": now_ms + HOUR_MS, "reason": "a new disk is on its way"}
    await at.app.change("alert_rules.silence", now_ms=now_ms, actor=_ACTOR, fields=fields)
    assert await watched.told() == []
    assert ("disk", "disk") in watched.watch.measured
    watched.clock.ahead_ms = HOUR_MS + 1
    assert await watched.told() == ["fired disk disk"]


async def test_quiet_hours_put_off_all_but_the_log_and_what_is_urgent(at: Stand) -> None:
    rules = {
        "disk": {"watch": "disk_free", "at": "999999TB", "to": ["log", "hook"]},
        "fire": {"watch": "disk_free", "at": "999999TB", "to": ["hook"], "urgent": True},
    }
    hook = {"kind": "webhook", "url": "https://hook.example.com/"}
    hours = {"starts": "00:00", "ends": "23:59", "timezone": "UTC"}
    watched = Watched(at, rules, destinations={"hook": hook}, quiet_hours=hours)
    noon_ms = watched.clock.now_ms() // DAY_MS * DAY_MS + DAY_MS // 2
    watched.clock.ahead_ms = noon_ms - watched.clock.now_ms()
    await watched.told()
    waits = {
        (each.message.rule, each.destination): (each.next_ms or 0) - each.message.at_ms > HOUR_MS
        for each in watched.deliveries()
    }
    assert waits == {("disk", "log"): False, ("disk", "hook"): True, ("fire", "hook"): False}


async def test_nothing_is_told_that_the_ledger_did_not_take(at: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Watched(at, {"disk": {"watch": "disk_free", "at": "999999TB"}})

    async def refuse(*_: Any) -> None:
        raise OSError("full")

    with monkeypatch.context() as patched:
        patched.setattr(at.app.ledger, "note_alerts", refuse)
        with pytest.raises(OSError, match="full"):
            await watched.watch.check()
    assert watched.woken == 0
    assert await watched.told() == ["fired disk disk"]


async def test_a_rule_that_cannot_be_measured_keeps_its_state_and_stops_no_other(at: Stand, tmp_path: Path) -> None:
    rules = {"disk": {"watch": "disk_free", "at": "999999TB"}, "keys": {"watch": "key_bad"}}
    watched = Watched(at, rules)
    assert await watched.told() == ["fired disk disk"]
    watched.watch._database = tmp_path / "no" / "such" / "folder" / "ledger.db"
    assert await watched.told() == ["fired disk disk"]
    assert ("keys", f"openrouter/{at.app.health._providers['openrouter'].row.keys[0].name}") in watched.watch.measured
