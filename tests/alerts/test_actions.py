"""What rules do beside telling: they slow, or send by a preset, whom they fire for, until that is over."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
import pytest_asyncio

from proxy.pipeline.stops import Stops
from proxy.storage.audit import Actor
from tests.alerts.place import Watched, leave_hearing
from tests.support.installation import token_hash_of, token_of
from tests.support.stand import MODEL, Stand, sqlite_ledger, stand

ROOT = Actor("root", "socket")
DAY_MS = 86_400_000
HOUR_MS = 3_600_000
CONFIG = {
    "users": {"bo": {"token_hash": token_hash_of("bo"), "limits": {"requests": "4/day"}}},
    "presets": {"cheap": "plain/gpt-4o", "both": [MODEL, "plain/gpt-4o-mini"]},
    "quotas": {"wait_s": 0},
}
BUDGET = {"watch": "limit_share", "limits": "requests", "at": [25, 50], "scope": "user:bo"}
BO = token_of("bo")

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def proxy(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stand]:
    async with stand(tmp_path_factory.mktemp("actions"), CONFIG) as at:
        leave_hearing(at)
        yield at


@pytest_asyncio.fixture(loop_scope="module")
async def at(proxy: Stand) -> AsyncIterator[Stand]:
    yield proxy
    for stop in proxy.app.services.stops.in_force():
        await proxy.app.services.stops.end(stop, ROOT)
    proxy.app.services.repeated = None
    proxy.app._hear_requests(None)
    await proxy.clear()
    await sqlite_ledger(proxy.app).change(_forget)
    await proxy.app.live.rebuild()


def _forget(connection: Any) -> None:
    for table in ("alert_deliveries", "alerts", "alert_states", "alert_samples"):
        connection.execute(f"DELETE FROM {table}")  # noqa: S608 - the names stand in the line above


def in_force(at: Stand) -> list[tuple[str, str, str, str | None]]:
    return [(one.kind, one.subject, one.outcome.text, one.rule) for one in _stops(at).in_force()]


def _stops(at: Stand) -> Stops:
    return at.app.services.stops


async def fired(at: Stand, rules: Mapping[str, Any]) -> Watched:
    """Return a watch whose rules on bo's requests have fired at the last of their thresholds."""
    watched = Watched(at, rules)
    await watched.told()
    for _ in range(2):
        await at.chat(token=BO)
    await watched.told()
    return watched


async def test_a_downgrade_comes_with_the_last_threshold_and_ends_with_the_window(at: Stand) -> None:
    watched = Watched(at, {"half": {**BUDGET, "action": {"downgrade": "cheap"}}})
    await watched.told()
    await at.chat(token=BO)
    assert await watched.told() == ["fired half user:bo requests day"]
    assert in_force(at) == [], "at the first of two thresholds it only tells"
    await at.chat(token=BO)
    assert len(await watched.told()) == 2
    assert in_force(at) == [("user", "bo", "downgrade: cheap", "half")]
    answer = await at.chat(token=BO)
    assert (answer.status, answer.header("x-tollkeeper-provider")) == (200, "plain")
    assert (answer.header("x-tollkeeper-downgraded") or "").startswith('user "bo" (alert half: user:bo requests day')
    watched.restarted()
    await watched.told()
    assert len(in_force(at)) == 1, "once, and through restarts"
    watched.clock.ahead_ms = DAY_MS
    assert (await watched.told())[-1] == "recovered half user:bo requests day"
    assert in_force(at) == []
    ended = await at.rows("SELECT actor, source FROM audit WHERE action = 'stops.end' ORDER BY id DESC LIMIT 1")
    assert [(one["actor"], one["source"]) for one in ended] == [("alert", "proxy")]
    assert (await at.chat(token=BO)).header("x-tollkeeper-provider") == "openrouter"


async def test_what_somebody_has_resumed_is_not_made_again_in_the_window(at: Stand) -> None:
    watched = await fired(at, {"half": {**BUDGET, "action": "slow: 600/minute"}})
    (stop,) = _stops(at).in_force()
    assert (stop.outcome.text, stop.until_ms) == ("slow: 600/minute", None)
    await _stops(at).end(stop, ROOT)
    await at.chat(token=BO)
    await watched.told()
    assert in_force(at) == []


async def test_each_rule_ends_its_own_and_none_that_a_person_made(at: Stand) -> None:
    slow, cheap = {**BUDGET, "action": "slow"}, {**BUDGET, "action": "downgrade: cheap", "stop_for_s": 86_400}
    watched = await fired(at, {"slow": slow, "cheap": cheap, "stop": {**BUDGET, "action": "stop"}})
    assert {text for _, _, text, _ in in_force(at)} == {"slow: 6/minute", "downgrade: cheap", "stop"}
    assert (await at.chat(token=BO)).status == 503
    others = Watched(at, {"slow": {**slow, "action": "warn"}, "cheap": cheap})
    await others.told()
    assert {text for _, _, text, _ in in_force(at)} == {"downgrade: cheap", "stop"}, "a stop is for a person to end"
    await Watched(at, {"cheap": {**cheap, "enabled": False}}).told()
    assert {text for _, _, text, _ in in_force(at)} == {"stop"}
    del watched


async def test_a_provider_that_fails_is_avoided_until_it_does_no_more(at: Stand) -> None:
    rule = {"watch": "error_rate", "min_requests": 2, "at": "50%", "action": "downgrade: cheap"}
    watched = Watched(at, {"failing": rule})
    await watched.told()
    await at.sim.behave("all", error="server-error")
    for _ in range(2):
        await at.chat()
    assert "fired failing openrouter" in await watched.told()
    assert in_force(at) == [("provider", "openrouter", "downgrade: cheap", "failing")], "all together is only told"
    await at.sim.behave("all")
    assert (await at.chat()).header("x-tollkeeper-provider") == "plain"
    assert (await at.chat({"model": "both"})).header("x-tollkeeper-model") == "gpt-4o-mini"
    watched.clock.ahead_ms = 2 * HOUR_MS
    await watched.told()
    assert in_force(at) == []


async def test_a_token_in_a_loop_is_slowed(at: Stand) -> None:
    watched = Watched(at, {"loop": {"watch": "repeats", "at": 3, "action": "slow: 600/minute"}})
    await watched.told()
    at.app.services.repeated = watched.services.repeated  # the proxy's own watch has no such rule
    for _ in range(3):
        assert (await at.chat({"seed": 1})).status == 200
    await watched.told()
    ((kind, _, text, rule),) = in_force(at)
    assert (kind, text, rule) == ("token", "slow: 600/minute", "loop")
    watched.clock.ahead_ms = HOUR_MS  # the bodies are forgotten
    await watched.told()
    assert in_force(at) == []
