"""POST /admin/v1/doctor with chat: what the tries cost is in the ledger, whatever becomes of them."""

import json
from typing import Any

from tests.support.installation import ADMIN_TOKEN
from tests.support.stand import Stand

CHAT = "POST /chat/completions"


async def tried(stand: Stand, **fields: Any) -> dict[str, Any]:
    """Return the try of a chat completion at OpenRouter."""
    body = {"provider": "openrouter", "chat": True, **fields}
    answer = await stand.ask("POST", "/admin/v1/doctor", body, token=ADMIN_TOKEN)
    assert answer.status == 200, answer.body
    (found,) = [one for one in answer.json()["data"]["tries"] if one["request"] == CHAT]
    assert isinstance(found, dict)
    return found


async def booked(stand: Stand) -> int:
    (row,) = await stand.rows("SELECT coalesce(sum(cost_pusd), 0) AS pusd FROM usage_hourly")
    (adjusted,) = await stand.rows("SELECT coalesce(sum(amount_pusd), 0) AS pusd FROM adjustments")
    assert row["pusd"] == adjusted["pusd"]
    return int(row["pusd"])


async def test_what_the_tries_cost_is_booked_by_the_id_of_the_answer(stand: Stand) -> None:
    for _ in range(2):
        found = await tried(stand)
        assert (found["is_good"], found["status"], found["key"]) == (True, 200, "main")
        assert found["returned"].startswith("{id, object, ")
    books = await stand.sim.books()
    charged = {name: one["charged_pusd"] for name, one in books["generations"].items()}
    assert len(charged) == 2
    assert await booked(stand) == sum(charged.values()) > 0
    rows = await stand.rows("SELECT reference, sum(amount_pusd) AS pusd FROM adjustments GROUP BY reference")
    assert {row["reference"]: row["pusd"] for row in rows if row["pusd"]} == charged
    (request,) = (await stand.sim.requests())[:1]
    assert json.loads(request["json"])["max_tokens"] == 16


FAULTS: list[tuple[dict[str, Any], bool]] = [
    ({"error": "credits-insufficient"}, False),
    ({"error": "provider-error"}, False),
    ({"error": "request-timeout"}, True),
    ({"stop_at": "before_headers", "stop_with": "rst"}, True),
    ({"usage": "missing"}, True),
    ({"body": "<html>"}, True),
]


async def test_a_try_that_fails_is_booked_unless_it_was_certainly_free(stand: Stand) -> None:
    for fault, is_booked in FAULTS:
        await stand.clear()
        await stand.sim.behave("path:/chat/completions", **fault)
        found = await tried(stand)
        assert found["is_good"] == ("usage" in fault)
        books = await stand.sim.books()
        charged = sum(one["charged_pusd"] for one in books["generations"].values())
        pusd = await booked(stand)
        assert (pusd > 0) == is_booked, fault
        assert pusd >= charged


async def test_what_is_stopped_or_has_no_price_is_not_tried(stand: Stand) -> None:
    stop = {"kind": "provider", "subject": "openrouter", "reason": "A leak"}
    made = await stand.ask("POST", "/admin/v1/stops", stop, token=ADMIN_TOKEN)
    assert made.status == 201
    found = await tried(stand)
    assert (found["is_good"], 'provider "openrouter"' in found["said"]) == (None, True)
    await stand.ask("DELETE", f"/admin/v1/stops/{made.json()['data']['id']}", token=ADMIN_TOKEN)
    assert (await tried(stand, provider="plain"))["is_good"] is None
    assert not await stand.sim.requests()
    assert await booked(stand) == 0
