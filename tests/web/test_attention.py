"""/admin/v1/attention: whatever goes wrong is listed, the worst first, with what to do about it, until it is over."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from msgspec.structs import replace

from proxy.policy.alerts.alert_state import AlertState
from proxy.policy.pricing import PriceList, PriceListEntry
from proxy.storage.alerts import AlertNotes, StateNote
from proxy.web.admin.attention import AttentionEntry
from tests.support.installation import ADMIN_TOKEN, token_hash_of, token_of
from tests.support.patience import eventually
from tests.support.stand import MODEL, Stand
from tests.support.stand import stand as run_stand

SETTINGS: dict[str, Any] = {
    "users": {
        "anna": {"limits": {"requests": "10/day", "cost": "$5/day"}},
        **{name: {"token_hash": token_hash_of(name), "limits": {"cost": "$5/day"}} for name in ("bo", "cleo")},
    },
    "providers": {"openrouter": {"management_key": "sk-or-v1-management-" + "0" * 40}},
    "alerts": {"rules": {"near": {"watch": "limit_share", "at": ["80%"]}}},
}
CREDITS = "/credits"
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stand]:
    async with run_stand(tmp_path_factory.mktemp("attention"), SETTINGS) as running:
        await credits_are(running, 90)
        yield running


async def credits_are(place: Stand, left: float) -> None:
    body = json.dumps({"data": {"total_credits": 100, "total_usage": 100 - left}})
    await place.sim.behave(f"path:{CREDITS}", body=body)
    place.app.services.accounts._entries.clear()


async def listed(place: Stand, kind: str = "") -> list[dict[str, Any]]:
    """Return what is listed, of a kind."""
    answer = await place.ask("GET", "/admin/v1/attention?limit=1000", token=ADMIN_TOKEN)
    assert answer.status == 200, answer.body
    found: list[dict[str, Any]] = answer.json()["data"]
    assert [AttentionEntry.model_validate(one).model_dump(mode="json") for one in found] == found
    order = ["critical", "warning", "notice"]
    places = [order.index(one["severity"]) for one in found]
    assert places == sorted(places)
    for one in found:
        assert one["action"]["text"], one
        if one["action"]["method"] == "GET":  # what it leads to is there
            shown = await place.ask("GET", one["action"]["path"], token=ADMIN_TOKEN)
            assert shown.status == 200, (one, shown.body)
    return [one for one in found if kind in ("", one["kind"])]


async def test_nothing_is_listed_where_nothing_is_wrong(place: Stand) -> None:
    assert (await place.chat()).status == 200
    assert await listed(place) == []


async def test_limits_that_are_nearly_spent(place: Stand) -> None:
    for _ in range(9 - len(await place.rows())):  # as many as the tests before have left
        assert (await place.chat()).status == 200
    (near,) = await listed(place, "limit_nearly_spent")
    assert near["subject"] == "user:anna requests day"
    assert near["text"].startswith("9 of 10 requests per day is used or set aside by user anna: 90 %. It resets at ")
    assert near["action"]["command"] == "tollkeeper limits list --user anna"
    assert (await place.chat()).status == 200
    (spent,) = await listed(place, "limit_spent")
    assert (spent["severity"], await listed(place, "limit_nearly_spent")) == ("warning", [])


async def test_stops_with_their_reason(place: Stand) -> None:
    body = {"kind": "user", "subject": "anna", "reason": "a loop"}
    stop = (await place.ask("POST", "/admin/v1/stops", body, token=ADMIN_TOKEN)).json()["data"]
    (found,) = await listed(place, "stop")
    assert (found["since_at"], found["text"][-8:]) == (stop["created_at"], ": a loop")
    action = found["action"]
    ended = await place.ask(action["method"], action["path"], token=ADMIN_TOKEN)
    assert (ended.status, await listed(place, "stop")) == (200, [])


async def test_a_file_that_is_not_in_force(place: Stand) -> None:
    path = place.folder / "config.yaml"
    good = path.read_text()
    path.write_text(f"{good}\nserver_: {{}}\n")
    assert (await place.ask("POST", "/admin/v1/configuration/reload", {}, token=ADMIN_TOKEN)).status == 422
    (found,) = await listed(place, "config_problem")
    assert "server_" in found["text"]
    path.write_text(good)
    assert (await place.ask("POST", "/admin/v1/configuration/reload", {}, token=ADMIN_TOKEN)).status == 200
    assert await listed(place, "config_problem") == []


async def test_credits_that_come_to_their_end(place: Stand) -> None:
    for left, severity in ((19, "warning"), (4.5, "critical")):
        await credits_are(place, left)

        async def heard() -> Any:
            return await listed(place, "credits_low")

        (found,) = await eventually(heard)
        assert (found["severity"], found["subject"]) == (severity, "openrouter")
    await credits_are(place, 90)


async def test_providers_and_keys_that_fail(place: Stand) -> None:
    await place.sim.behave("all", error="upstream-rate-limit", retry_after="60")
    for name in ("bo", "cleo"):  # what only one of them meets may be their own fault
        await place.chat(token=token_of(name))
    (found,) = [*await listed(place, "provider_down"), *await listed(place, "model_down")]
    assert (found["severity"], found["subject"]) in {
        ("critical", "openrouter"),
        ("warning", f"openrouter/{MODEL}"),
    }
    assert found["action"]["command"] == "tollkeeper doctor openrouter"
    place.app.health.forget()
    assert [*await listed(place, "provider_down"), *await listed(place, "model_down")] == []
    await place.sim.normal()
    await place.sim.behave(f"model:{MODEL}", error="key-limit")
    await place.chat(token=token_of("bo"))
    (key,) = await listed(place, "key_used_up")
    assert (key["severity"], key["subject"]) == ("critical", "openrouter/main")
    await place.sim.normal()
    place.app.health.forget()
    assert {one["kind"] for one in await listed(place)} <= {"limit_spent", "alert"}


async def test_prices_that_moved(place: Stand) -> None:
    lists, row = place.app.model_lists, place.app.services.live.current.providers["openrouter"]
    listing = lists.listing("openrouter")
    price = listing.prices.entries[MODEL].price
    assert price is not None
    cheaper = PriceListEntry(MODEL, replace(price, input_ausd=price.input_ausd // 2))
    listing.prices = PriceList({**listing.prices.entries, MODEL: cheaper})
    await lists.refresh(row)
    (found,) = await listed(place, "price_moved")
    assert found["subject"] == f"openrouter/{MODEL}"
    assert "input $" in found["text"]
    assert found["since_at"] is not None
    await lists.refresh(row)
    assert await listed(place, "price_moved") == [found], "it is told for some days"


async def test_alerts_that_fire(place: Stand) -> None:
    state = AlertState(level=1, since_ms=1_700_000_000_000, of="limit_share 80")
    await place.app.ledger.note_alerts(AlertNotes([StateNote("near", "user:bo", state)]), 1)
    found = [one for one in await listed(place, "alert") if one["subject"] == "near user:bo"]
    assert [one["since_at"] for one in found] == ["2023-11-14T22:13:20.000Z"]
