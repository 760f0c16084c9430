"""Requests that went through the proxy, against the bill of the same day: what nobody could tell is found on it."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.reconciliation.test_month import MANAGEMENT_KEY
from tests.support.installation import PROVIDER_KEY, settings, write_config
from tests.support.stand import MESSAGES, MODEL, Stand, app_in_loop, models_known, simulator, stand

_MORE: dict[str, Any] = {
    "providers": {"openrouter": {"management_key": MANAGEMENT_KEY}},
    "ledger": {"lookup_timeout_s": 1},
    "reconcile": {"apply": "adjust", "hourly": False},
}


async def test_what_was_charged_in_full_is_booked_as_billed(tmp_path: Path) -> None:
    async with stand(tmp_path, _MORE) as place:
        await place.sim.reset(created=None)
        for n in range(2):
            assert (await place.chat({"max_tokens": 50 + n})).status == 200
        await place.sim.behave("next", stop_at="in_headers", stop_with="rst")
        assert (await place.chat({"max_tokens": 300})).status == 502
        rows = await place.settled(3)
        charged = [row for row in rows if row["cost_source"] == "reservation"]
        assert len(charged) == 1
        assert charged[0]["generation_id"] is None
        books = (await place.sim.books())["total_pusd"]
        assert sum(row["cost_pusd"] for row in rows) > books

        await asyncio.sleep(1.1)  # the bill is asked for up to the last whole second
        found = await place.app.sync.sync("openrouter", datetime.now(UTC).date())
        assert {each.drift_class: each.amount_pusd for each in found.classes if each.amount_pusd} == {}
        now = await place.rows()
        assert sum(row["cost_pusd"] for row in now) == books
        [noted] = await place.rows("SELECT reason, source FROM adjustments")
        assert noted["reason"].startswith("reservation_charged: ")
        assert noted["source"] == "bill of openrouter"


async def test_a_key_of_two_providers_books_no_request_twice(tmp_path: Path) -> None:
    async with simulator() as sim:
        entry = {"kind": "openrouter", "base_url": f"{sim.url}/api/v1", "api_key": PROVIDER_KEY}
        second = {"providers": {**_MORE["providers"], "second": {**entry, "management_key": MANAGEMENT_KEY}}}
        path = write_config(tmp_path, settings(sim.url, {**_MORE, **second}))
        async with app_in_loop(path) as app:
            place = Stand(tmp_path, app, sim)
            await models_known(app)
            await sim.reset(created=None)
            assert (await place.chat({"max_tokens": 50})).status == 200  # the first one has used the key too
            await sim.behave("next", stop_at="in_headers", stop_with="rst")
            body = {"max_tokens": 300, "model": "second/openai/gpt-4o-mini"}
            assert (await place.chat(body)).status == 502
            await place.settled(2)
            await asyncio.sleep(1.1)
            for provider in ("openrouter", "second", "openrouter"):
                found = await app.sync.sync(provider, datetime.now(UTC).date())
                if provider != "openrouter":
                    continue
                # until the other one has found its own, one call of the key has no row
                left = {each.drift_class: each.amount_pusd for each in found.classes if each.amount_pusd}
                assert left.keys() == ({"lost_row"} if not await place.rows("SELECT 1 FROM adjustments") else set())
            assert left == {}
            noted = await place.rows("SELECT source FROM adjustments")
            assert [one["source"] for one in noted] == ["bill of second"]
            [booked] = await place.rows("SELECT sum(cost_pusd) AS pusd FROM usage_hourly")
            assert booked["pusd"] == (await sim.books())["total_pusd"]

            # another program uses the key: it is booked for one of the two, once
            assert (await sim.chat({"model": MODEL, "messages": MESSAGES}, key=PROVIDER_KEY)).status == 200
            await asyncio.sleep(1.1)
            for provider in ("second", "openrouter", "second"):
                found = await app.sync.sync(provider, datetime.now(UTC).date())
                assert {each.drift_class for each in found.classes if each.amount_pusd} == set()
            [booked] = await place.rows("SELECT sum(cost_pusd) AS pusd FROM usage_hourly")
            assert booked["pusd"] == (await sim.books())["total_pusd"]
            apart = await place.rows("SELECT source FROM adjustments WHERE request_id IS NULL")
            assert [one["source"] for one in apart] == ["bill of second"]
