"""A configuration that comes while requests are under way: it holds for all that is not let in yet, or not at all."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.quotas.place import Place, body_of, error_of, user
from tests.support.book import book_of, limiter_of
from tests.support.installation import ADMIN_TOKEN, settings, token_of, write_config
from tests.support.patience import eventually
from tests.support.raw import Client, ask, connect, request_bytes
from tests.support.stand import CHAT, MODEL

Open = Callable[..., Awaitable[Place]]
MANY, LIMIT = 40, 5


def world(limits: dict[str, Any] | None = None, **users: Any) -> dict[str, Any]:
    preset = {"targets": [MODEL], "use_case": "sms", **({"limits": limits} if limits else {})}
    return {"users": {"anna": user("anna"), **users}, "presets": {"texts": preset}}


async def hold_back(place: Place, count: int, **fields: Any) -> list[Client]:
    """Send requests but for their last byte."""
    clients = []
    for _ in range(count):
        client = await connect(place.app.port)
        place.clients.append(client)
        data = request_bytes(
            "POST", CHAT, body_of(**fields), token=token_of("anna"), headers=[("Expect", "100-continue")]
        )
        assert data.endswith(b"}")
        await client.send(data[:-1])
        clients.append(client)

    async def begun() -> bool:
        return len(place.app.services.in_flight) == count

    await eventually(begun)
    return clients


async def finish(clients: list[Client]) -> list[int]:
    for client in clients:
        await client.send(b"}")
    return [(await client.read_answer()).status for client in clients]


async def test_the_first_limit_of_a_use_case_holds_for_all_that_is_not_in_yet(opened: Open) -> None:
    place = await opened(world())
    assert (await place.chat(model="texts")).status == 200
    clients = await hold_back(place, MANY, model="texts")
    await place.configure(world({"requests": f"{LIMIT}/day"}))
    statuses = await finish(clients)
    assert statuses.count(200) == LIMIT - 1
    assert statuses.count(402) == MANY - LIMIT + 1
    await place.restart()
    assert (await place.chat(model="texts")).status == 402
    assert book_of(place.app.services).audit() == []


async def test_what_is_let_in_while_the_past_is_read_counts(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether it is over by then or still runs: each request once, before the reading, during it and after it."""
    place = await opened(world())
    ledger, parts = place.app.ledger, place.app.services
    assert (await place.chat(model="texts")).status == 200
    real, reading, go = ledger.flush, asyncio.Event(), asyncio.Event()

    async def slow() -> None:
        await real()
        reading.set()
        await go.wait()

    monkeypatch.setattr(ledger, "flush", slow)
    limits = {"requests": "4/day", "cost": "$5/day"}
    configuring = asyncio.ensure_future(place.configure(world(limits)))
    await reading.wait()
    assert (await place.chat(model="texts")).status == 200  # begins and ends while the past is read
    await place.sim.behave("next", first_token_ms=400)
    running = await place.begin_chat(model="texts")
    await place.arrived(3)
    go.set()
    await configuring
    assert (await place.chat(model="texts")).status == 200
    assert (await place.chat(model="texts")).status == 402
    assert (await running.read_answer()).status == 200
    await place.quiet()
    totals = book_of(parts)._scope("use_case:sms")
    kept = {name: (span.settled, span.reserved) for name, span in totals.windows.items()}
    await place.restart()
    assert (await place.chat(model="texts")).status == 402
    fresh = book_of(place.app.services)._scope("use_case:sms")
    assert {name: (span.settled, span.reserved) for name, span in fresh.windows.items()} == kept
    assert len(place.rows()) == 4


async def test_who_is_disabled_while_the_body_comes_is_not_served(opened: Open) -> None:
    place = await opened(world())
    clients = await hold_back(place, 2)
    await place.configure(world(anna=user("anna", disabled=True)))
    assert await finish(clients) == [403, 403]
    assert place.rows() == []
    assert await place.sim.requests() == []


async def test_a_limit_that_comes_while_a_request_waits_for_room(opened: Open) -> None:
    """It waits for another's reservation; by the time there is room, the user may spend nothing."""
    rules = {"quotas": {"wait_s": 20, "on_over_budget": "refuse"}}
    place = await opened({**world(), **rules})
    worst = await place.worst_case(model=MODEL)
    place_limits = {"limits": {"cost": f"${worst / 1e12:.12f}/day"}}
    await place.configure({**world(), **rules, **place_limits})
    await place.sim.behave("next", first_token_ms=700)
    first = await place.begin_chat()
    await place.arrived(1)
    second = await place.begin_chat()

    async def waits() -> bool:
        return bool(limiter_of(place.app.services)._waiting)

    await eventually(waits)
    await place.configure({**world(anna=user("anna", disabled=True)), **rules, "limits": {"cost": "$9/day"}})
    assert (await first.read_answer()).status == 200
    refused = await second.read_answer()
    assert (refused.status, error_of(refused)["code"]) == (403, "token_disabled")
    assert book_of(place.app.services).open_ids() == set()


@pytest.mark.parametrize("mistake", ["schema", "pattern"])
async def test_a_refused_reload_leaves_everything_in_force(opened: Open, mistake: str) -> None:
    """An address that changes and a preset that is no preset, in one save: the old provider is not touched."""
    place = await opened(world({"requests": "1k/day"}))
    assert (await place.chat(model="texts")).status == 200
    parts, before = place.app.services, place.app.live.current
    rows, closing = dict(before.providers), list(place.app._snapshots._retired._rows)
    labels = place.rows("SELECT * FROM meta WHERE name LIKE 'currency%'")
    broken: dict[str, Any] = {"checks": {"pattern": "("}}  # refused as it is read
    if mistake == "schema":  # refused as it is built
        schema = {"name": "x", "schema": {"type": 7}}
        form = {"type": "json_schema", "json_schema": schema}
        broken = {"checks": {"valid_json": True}, "response_format": form}
    bad = settings(
        place.sim.url,
        {
            **world({"requests": "1k/day"}),
            "currency": {"code": "SEK", "usd_rate": 10},
            "presets": {"texts": {"targets": [MODEL], "use_case": "sms", **broken}},
        },
    )
    bad["providers"]["openrouter"]["base_url"] = "http://127.0.0.1:9/api/v1"
    bad["providers"]["openrouter"]["breaker"] = {"failures": 1}
    write_config(place.folder, bad)
    answer = await ask(place.app.port, "POST", "/admin/v1/reload", {}, token=ADMIN_TOKEN)
    assert answer.status == 422, answer.body
    assert place.app.live.current is before
    assert place.app._snapshots._providers == rows
    assert place.app._snapshots._retired._rows == closing
    assert parts.health.of(rows["openrouter"]).row is rows["openrouter"]
    assert place.rows("SELECT * FROM meta WHERE name LIKE 'currency%'") == labels
    assert (await place.chat(model="texts")).status == 200
    await place.configure(world({"requests": "1k/day"}))
    assert (await place.chat(model="texts")).status == 200
