"""Requests that went through the proxy, against the bill of the same day: what nobody could tell is found on it."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.reconciliation.test_month import MANAGEMENT_KEY
from tests.support.stand import stand

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
