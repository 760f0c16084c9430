"""A proxy without a management key: what the provider has counted for its keys, beside what it has booked for them."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date
from pathlib import Path
from typing import Any

from proxy.policy.reconciliation.sync_schedule import start_ms
from tests.cli.command_line import Commands
from tests.support.installation import ADMIN_TOKEN, PROVIDER_KEY, settings, token_hash_of, token_of, write_config
from tests.support.leaks import nothing_leaks
from tests.support.moved_clock import MovedClock
from tests.support.raw import ask
from tests.support.stand import MESSAGES, MODEL, Stand, app_in_loop, models_known, simulator, sqlite_ledger

OTHER_KEY = "sk-or-v1-" + "feedface" * 8
NOON_MS = start_ms(date(2026, 11, 18)) + 12 * 3_600_000
KEYS: dict[str, Any] = {
    "providers": {
        "openrouter": {
            "api_key": None,
            "keys": [{"name": "main", "api_key": PROVIDER_KEY}, {"name": "spare", "api_key": OTHER_KEY}],
        },
        "plain": None,
    },
    "reconcile": {"unexplained_max_usd": 0},
}


@asynccontextmanager
async def counted_stand(folder: Path, more: dict[str, Any]) -> AsyncIterator[Stand]:
    """Run a proxy and its simulator at noon of a Wednesday, so that no window ends within a test."""
    clock = MovedClock(NOON_MS)
    async with nothing_leaks(), simulator(clock) as sim:
        await sim.reset(created=None)
        path = write_config(folder, settings(sim.url, more))
        async with app_in_loop(path, clock=clock) as app:
            await models_known(app)
            yield Stand(folder, app, sim)


async def long_there(place: Stand) -> None:
    """Have the keys here for longer than any window."""
    await sqlite_ledger(place.app).change(lambda db: db.execute("UPDATE key_hashes SET first_ms = 0") and None)


def shape(one: dict[str, Any]) -> set[str]:
    """Return the fields that a page shows: amounts once."""
    return {name for name in one if not name.endswith("_pusd")}


def documented() -> set[str]:
    """Return the fields of the example in the guide."""
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "bill.md").read_text(encoding="utf-8")
    example: dict[str, Any] = json.loads(page.partition("```json\n")[2].partition("```")[0])
    return set(example)


async def windows(place: Stand, query: str = "") -> dict[tuple[str, str], dict[str, Any]]:
    """Ask what the keys have counted by now."""
    place.app.services.accounts._entries.clear()
    answer = await ask(place.port, "GET", f"/admin/v1/reconciliations/keys{query}", token=ADMIN_TOKEN)
    return {(one["key"], one["window"]): one for one in answer.json()["data"]}


async def counters(place: Stand) -> list[dict[str, Any]]:
    place.app.services.accounts._entries.clear()
    answer = await ask(place.port, "GET", "/admin/v1/reconciliations/counters", token=ADMIN_TOKEN)
    found: list[dict[str, Any]] = answer.json()["data"]
    return found


async def run(place: Stand, *arguments: str) -> Any:
    place.app.services.accounts._entries.clear()
    return await asyncio.to_thread(Commands(place.folder).run, *arguments)


async def test_what_is_counted_is_what_is_booked_and_the_rest_is_from_outside(tmp_path: Path) -> None:
    async with counted_stand(tmp_path, KEYS) as place:
        await long_there(place)
        for _ in range(3):
            assert (await place.chat()).status == 200
        await place.settled(3)
        same = await run(place, "reconcile", "--json")
        assert same.returncode == 0, same.stderr
        found = json.loads(same.stdout)
        assert [(one["key"], one["window"]) for one in found["keys"]] == [
            (key, window) for key in ("main", "spare") for window in ("day", "week", "month")
        ]
        assert sum(one["booked_pusd"] for one in found["keys"] if one["window"] == "day") > 0
        assert {one["difference_pusd"] for one in found["keys"]} == {0}
        assert shape(found["keys"][0]) == documented()
        assert [(one["key"], one["has_bill"], one["problem"]) for one in found["counters"]] == [
            ("main", False, None),
            ("spare", False, None),
        ]

        before = (await place.sim.books())["total_pusd"]
        assert (await place.sim.chat({"model": MODEL, "messages": MESSAGES}, key=OTHER_KEY)).status == 200
        outside = (await place.sim.books())["total_pusd"] - before
        shown = await run(place, "reconcile")
        assert shown.returncode == 6
        assert "management_key" in shown.stderr
        assert "outside the proxy" in " ".join(shown.stdout.split())
        assert all(len(line) <= 80 for line in (shown.stdout + shown.stderr).splitlines())
        now = await windows(place, "?window=day")
        assert {place: one["unexplained_pusd"] for place, one in now.items()} == {
            ("main", "day"): 0,
            ("spare", "day"): outside,
        }
        assert [(part["name"], part["amount_pusd"]) for part in now["spare", "day"]["parts"]] == [("unknown", outside)]
        assert shape(now["spare", "day"]["parts"][0]) == {"name", "amount_usd", "text"}
        none = await run(place, "reconcile", "--to", "2026-01-31", "--json")
        assert (none.returncode, json.loads(none.stdout)) == (0, {"days": [], "classes": []})  # counts are of today


async def test_a_cost_that_is_awaited_and_one_that_nobody_told(tmp_path: Path) -> None:
    async with counted_stand(tmp_path, KEYS) as place:
        await long_there(place)
        await place.sim.behave("next", usage="missing", generation_error="server-error")
        assert (await place.chat()).status == 200
        [row] = await place.ended()
        assert row["state"] == "pending"
        charged = (await place.sim.books())["total_pusd"]
        (one,) = [each for (_, window), each in (await windows(place)).items() if window == "month" and each["parts"]]
        assert (one["booked_pusd"], one["billed_pusd"], one["unexplained_pusd"]) == (0, charged, 0)
        assert [(part["name"], part["amount_pusd"]) for part in one["parts"]] == [("pending", charged)]

        def charge_all(db: Any) -> None:
            """Charge the reservation, as a proxy does that has given up."""
            db.execute("UPDATE requests SET cost_pusd = reserved_pusd, cost_source = 'reservation', state = 'settled'")

        await sqlite_ledger(place.app).change(charge_all)
        (one,) = [each for (_, window), each in (await windows(place)).items() if window == "week" and each["parts"]]
        too_much = row["reserved_pusd"] - charged
        assert too_much > 0
        assert [(part["name"], part["amount_pusd"]) for part in one["parts"]] == [("reservation_charged", -too_much)]


async def test_a_key_that_is_new_may_have_been_used_before(tmp_path: Path) -> None:
    async with counted_stand(tmp_path, KEYS) as place:
        assert (await place.sim.chat({"model": MODEL, "messages": MESSAGES}, key=PROVIDER_KEY)).status == 200
        found = await windows(place)
        assert {one["unexplained_pusd"] for one in found.values()} == {0}
        assert [part["name"] for part in found["main", "day"]["parts"]] == ["before_proxy"]


async def test_each_key_is_asked_for_once_and_why_one_is_not_told_is_said(tmp_path: Path) -> None:
    keys = [*KEYS["providers"]["openrouter"]["keys"], {"name": "twin", "api_key": OTHER_KEY}]
    again = {"kind": "openrouter", "base_url": "http://127.0.0.1:1/api/v1", "api_key": PROVIDER_KEY}
    providers = {**KEYS["providers"], "openrouter": {"api_key": None, "keys": keys}, "again": again}
    async with counted_stand(tmp_path, {**KEYS, "providers": providers}) as place:
        await place.sim.behave("path:/key", error="user-not-found")
        names = {one["key"]: one["names"] for one in await counters(place)}
        assert names == {
            "main": ["openrouter/main", "again/main"],
            "spare": ["openrouter/spare", "openrouter/twin"],
        }
        assert all("401" in one["problem"] for one in await counters(place))
        assert await windows(place) == {}
        told = await run(place, "reconcile")
        assert told.returncode == 0
        assert told.stderr.count("what it has counted is not known") == 2
        off = await ask(place.port, "PATCH", "/admin/v1/providers/openrouter", {"enabled": False}, token=ADMIN_TOKEN)
        assert off.status == 200
        found = {(one["provider"], one["key"]): one["problem"] for one in await counters(place)}
        assert found["openrouter", "spare"] == "The provider openrouter is disabled, so it is not asked."
        assert "nothing listens at this port" in found["again", "main"]  # the other place that has the key
        assert place.app.sync.counts.providers() == ["again"]


async def test_a_key_that_was_changed_and_keys_of_users_are_told_apart(tmp_path: Path) -> None:
    alone = {"providers": {"plain": None}, "users": {"bo": {"token_hash": token_hash_of("bo")}}}
    async with counted_stand(tmp_path, alone) as place:
        await long_there(place)
        assert (await place.chat()).status == 200
        (first,) = await place.settled(1)
        await place.app.sync.counts.sync("openrouter")
        users_key = "sk-or-v1-" + "00c0ffee" * 8
        people = {
            "bo": {"token_hash": token_hash_of("bo")},
            "anna": {"token_hash": token_hash_of("anna"), "provider_keys": {"openrouter": users_key}},
        }
        changed = {"providers": {"plain": None, "openrouter": {"api_key": OTHER_KEY}}, "users": people}
        write_config(tmp_path, settings(place.sim.url, changed))
        assert (await ask(place.port, "POST", "/admin/v1/reload", {}, token=ADMIN_TOKEN)).status == 200
        assert (await place.chat(token=token_of("bo"))).status == 200
        assert (await place.chat()).status == 200
        rows = {row["user"]: row["cost_pusd"] for row in (await place.settled(3))[1:]}
        (day,) = (await windows(place, "?window=day")).values()
        assert (day["booked_pusd"], day["difference_pusd"]) == (rows["bo"], 0)
        assert (day["replaced_pusd"], day["users_pusd"]) == (first["cost_pusd"], rows["anna"])
        assert "is booked for another key that had its name before" in day["text"]
        assert "is booked for keys of users' own" in day["text"]
        (kept,) = await place.app.sync.counts.sync("openrouter")  # both keys that it was today
        assert kept.booked_pusd == kept.billed_pusd == first["cost_pusd"] + rows["bo"]
