"""Stops that refuse nothing: who is slowed, who is sent by a preset, how that is told, and when it is over."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from proxy.core.stop_effect import StopEffect
from proxy.pipeline.stops import NewStop, Stops
from proxy.storage.audit import Actor
from tests.support.installation import ADMIN_TOKEN, token_hash_of, token_of
from tests.support.patience import eventually
from tests.support.raw import Answer
from tests.support.stand import MODEL, Stand
from tests.support.stand import stand as run_stand

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROOT = Actor("root", "socket")
CHEAP = "gpt-4o"
BY_CHEAP = StopEffect("downgrade", "cheap")
SLOWLY = StopEffect("slow", a_minute=120)
CONFIG: dict[str, Any] = {
    "users": {
        "anna": {
            "token_hash": token_hash_of("anna"),
            "group": "family",
            "models": ["openai/gpt-4o-mini", "both", "cheap"],
        },
        "bob": {"token_hash": token_hash_of("bob"), "limits": {"requests": "10000/day"}},
    },
    "groups": {"family": {}},
    "presets": {"cheap": f"plain/{CHEAP}", "both": {"targets": [MODEL, "plain/gpt-4o-mini"]}},
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stand(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stand]:
    async with run_stand(tmp_path_factory.mktemp("eased"), CONFIG) as found:
        yield found


DOWNGRADED: dict[str, tuple[NewStop, dict[str, Any], dict[str, Any]]] = {  # the stop; whom it concerns, and whom not
    "all": (NewStop("all"), {}, {}),
    "user": (NewStop("user", "anna"), {}, {"token": token_of("bob")}),
    "group": (NewStop("group", "family"), {}, {"token": token_of("bob")}),
    "preset": (NewStop("preset", "both"), {"body": {"model": "both"}}, {"token": token_of("bob")}),
    "model": (
        NewStop("model", MODEL),
        {"token": token_of("bob")},
        {"body": {"model": "openai/gpt-4o"}, "token": token_of("bob")},
    ),
    "provider": (
        NewStop("provider", "openrouter"),
        {},
        {"body": {"model": "plain/gpt-4o-mini"}, "token": token_of("bob")},
    ),
}


@pytest.mark.parametrize("case", DOWNGRADED)
async def test_whom_a_downgrade_concerns_and_how_it_is_told(stand: Stand, stops: Stops, case: str) -> None:
    wanted, concerned, other = DOWNGRADED[case]
    stop = await stops.add(wanted._replace(reason="Too much", effect=BY_CHEAP), ROOT)
    answer = await stand.chat(**concerned)
    assert (answer.status, answer.header("x-tollkeeper-provider")) == (200, "plain"), answer.body
    assert answer.header("x-tollkeeper-downgraded") == f"{stop.what} (Too much)"
    await stand.settled()
    (row,) = await stand.rows()
    asked = concerned.get("body", {}).get("model", MODEL)
    assert (row["requested_model"], row["model"], row["flags"]) == (asked, CHEAP, "downgraded")
    if other:
        assert (await stand.chat(**other)).header("x-tollkeeper-downgraded") is None
    await stops.end(stop, ROOT)
    assert (await stand.chat(**concerned)).header("x-tollkeeper-downgraded") is None


async def test_of_a_model_other_targets_come_before_the_preset(stand: Stand, stops: Stops) -> None:
    stop = await stops.add(NewStop("model", MODEL, effect=BY_CHEAP), ROOT)
    answer = await stand.chat({"model": "both"})
    assert (answer.status, answer.header("x-tollkeeper-downgraded")) == (200, None)
    assert f"openrouter/{MODEL} (" in (answer.header("x-tollkeeper-left-out") or "")
    await stops.end(stop, ROOT)
    await stops.add(NewStop("provider", "plain", effect=BY_CHEAP), ROOT)  # whose target the preset is
    asked = {"model": "plain/gpt-4o-mini"}
    assert (await stand.chat(asked, token=token_of("bob"))).header("x-tollkeeper-model") == CHEAP


async def test_what_a_preset_cannot_serve_is_refused_by_name(stand: Stand, stops: Stops) -> None:
    await stops.add(NewStop("user", "anna", reason="Too much", effect=StopEffect("downgrade", "gone")), ROOT)
    answer = await stand.chat()
    error = answer.json()["error"]
    assert (answer.status, error["code"], answer.header("x-should-retry")) == (503, "stopped", "false")
    assert 'user "anna" go by preset "gone" for now (Too much). There is no such preset any more' in error["message"]
    assert await stand.rows() == []


@pytest.mark.parametrize(
    "wanted", [NewStop("user", "anna"), NewStop("provider", "openrouter")], ids=lambda one: one.kind
)
async def test_who_is_slowed_waits_for_a_turn_until_it_is_resumed(stand: Stand, stops: Stops, wanted: NewStop) -> None:
    stop = await stops.add(wanted._replace(effect=SLOWLY), ROOT)
    begun_s = time.monotonic()
    answers = await asyncio.gather(*(stand.chat() for _ in range(3)))
    assert [answer.status for answer in answers] == [200] * 3
    assert time.monotonic() - begun_s > 0.9  # the first at once, the others half a second apart
    assert (await stand.chat({"model": "plain/gpt-4o-mini"}, token=token_of("bob"))).status == 200
    pace, clock = stand.app.services.pace, stand.app.services.clock
    while pace.take(stop.id, stop.a_minute, clock.monotonic_s(), 20.0)[0]:
        pass
    waiting = asyncio.ensure_future(stand.chat())
    await eventually(lambda: _is_waiting(stops, stop.id))
    while pace.take(stop.id, stop.a_minute, clock.monotonic_s(), 30.0)[0]:
        pass
    refused = await stand.chat()
    assert (refused.status, refused.json()["error"]["code"]) == (429, "rate_limit_exceeded")
    assert "slowed to 120 a minute by the operator" in refused.json()["error"]["message"]
    assert int(refused.header("Retry-After") or "") >= 1
    await stops.end(stop, ROOT)
    assert (await waiting).status == 200  # and not twenty seconds later
    assert time.monotonic() - begun_s < 20


async def _is_waiting(stops: Stops, id_: str) -> bool:
    return bool(stops._turns.get(id_))


async def test_who_waits_for_a_turn_hears_of_a_stop_at_once(stand: Stand, stops: Stops) -> None:
    slow = await stops.add(NewStop("user", "anna", effect=StopEffect("slow", a_minute=3)), ROOT)
    assert (await stand.chat()).status == 200
    waiting = asyncio.ensure_future(stand.chat())
    await eventually(lambda: _is_waiting(stops, slow.id))
    begun_s = time.monotonic()
    await stops.add(NewStop("user", "anna"), ROOT)
    assert (await waiting).status == 503
    assert time.monotonic() - begun_s < 10


async def test_it_holds_through_a_restart_and_shows_where_people_look(tmp_path: Path) -> None:
    body = {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}]}
    async with run_stand(tmp_path, CONFIG) as at:
        for fields, told in WRONG:
            answer = await ask(at, "POST", {"kind": "user", "subject": "anna", **fields})
            assert (answer.status in (400, 404, 422), told in answer.json()["error"]["message"]) == (True, True), told
        assert at.app.services.stops.active == ()
        made = await ask(at, "POST", {"kind": "user", "subject": "anna", "effect": "downgrade", "preset": "cheap"})
        slow = await ask(at, "POST", {"kind": "all", "effect": "slow"})
        assert (made.status, slow.json()["data"]["a_minute"], slow.json()["data"]["preset"]) == (201, 6, None)
        assert {one["detail"] for one in await at.rows("SELECT after AS detail FROM audit") if "cheap" in one["detail"]}
    async with run_stand(tmp_path, CONFIG) as at:
        listed = (await ask(at, "GET")).json()["data"]
        assert [(one["effect"], one["preset"], one["rule"]) for one in listed] == [
            ("downgrade", "cheap", None),
            ("slow", None, None),
        ]
        assert (await at.chat()).header("x-tollkeeper-downgraded") == 'user "anna"'
        explained = (await at.ask("POST", "/v1/explain", body)).json()
        assert explained["admitted"]
        assert 'Requests of user "anna" are set to downgrade: cheap by the operator' in explained["then"]
        assert "All requests are set to slow: 6/minute by the operator" in explained["then"]
        verbose = (await at.ask("GET", "/readyz?verbose")).json()
        assert [one["effect"] for one in verbose["stops"]] == ["downgrade: cheap", "slow: 6/minute"]
        figures = (await at.ask("GET", "/metrics")).body
        assert b'tollkeeper_stops{kind="all"} 0.0' in figures
        assert b'tollkeeper_eased{effect="slow"} 1.0' in figures
        page = await at.ask("GET", "/", headers=[("Accept", "text/html")])
        assert b"all requests are stopped" not in page.body
        assert b"set by the operator to slow: 6/minute" in page.body
        status = (await at.ask("GET", "/admin/v1/status", token=ADMIN_TOKEN)).json()["data"]
        assert [one["effect"] for one in status["stops"]] == ["downgrade", "slow"]


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"effect": "downgrade"}, "a preset is needed"),
    ({"effect": "downgrade", "preset": "cheep"}, 'Did you mean "cheap"?'),
    ({"effect": "downgrade", "preset": "cheap", "a_minute": 5}, "none for another"),
    ({"preset": "cheap"}, "none for another"),
    ({"effect": "slow", "a_minute": 0}, "a_minute"),
    ({"effect": "slow", "cut": True}, "it goes with effect stop"),
    ({"effect": "halve"}, "effect"),
    ({"kind": "preset", "subject": "cheap", "effect": "downgrade", "preset": "cheap"}, "the same one"),
]


async def ask(at: Stand, method: str, body: Any = None) -> Answer:
    return await at.ask(method, "/admin/v1/stops", body, token=ADMIN_TOKEN)
