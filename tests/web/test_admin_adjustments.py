"""Late costs as operators and people at a terminal see and book them."""

import asyncio
import json
from typing import Any

from click.testing import CliRunner, Result

from proxy.cli import tollkeeper
from proxy.storage.adjustment import UnattachedCost
from tests.support.installation import ADMIN_TOKEN
from tests.support.stand import Stand


async def ask(stand: Stand, method: str, path: str, body: Any = None, status: int = 200) -> Any:
    answer = await stand.ask(method, f"/admin/v1{path}", body, token=ADMIN_TOKEN)
    assert answer.status == status, answer.body
    return answer.json()


async def run(stand: Stand, *arguments: str) -> Result:
    line = [*arguments, "-c", str(stand.folder / "config.yaml")]
    ran = await asyncio.to_thread(CliRunner(env={"COLUMNS": "80", "NO_COLOR": "1"}).invoke, tollkeeper, line)
    assert ran.exit_code == 0, (ran.stdout, ran.stderr, ran.exception)
    return ran


async def test_a_person_books_what_a_bill_says(stand: Stand) -> None:
    """Once: the same again changes nothing. It is shown wherever the request is, and the audit trail has it."""
    assert (await stand.chat()).status == 200
    (row,) = await stand.settled(1)
    id_, was = row["request_id"], row["cost_pusd"]
    truth = {"request_id": id_, "actual_usd": "0.000000000017", "reason": "the bill of November"}
    booked = (await ask(stand, "POST", "/adjustments", truth))["data"]
    assert (booked["how"], booked["booked_pusd"], booked["actual_pusd"]) == ("adjusted", was, 17)
    assert booked["amount_usd"].startswith("-0.")
    again = (await ask(stand, "POST", "/adjustments", truth))["data"]
    assert (again["how"], again["amount_pusd"]) == ("unchanged", 0)
    (entry,) = (await ask(stand, "GET", "/adjustments"))["data"]
    assert (entry["request_id"], entry["source"], entry["reason"]) == (id_, "admin_token", "the bill of November")
    detail = (await ask(stand, "GET", f"/requests/{id_}"))["data"]
    assert (detail["cost_pusd"], detail["adjustments"]) == (17, [entry])
    told = (await ask(stand, "GET", f"/requests/{id_}/explanation"))["data"]["text"]
    assert "turned out to be" in told
    assert "less: the bill of November (admin_token). So it cost $0.000000000017." in told
    trail = (await ask(stand, "GET", "/audit?action=adjustments.book"))["data"]
    assert [(one["subject"], one["before"], one["after"]["cost_pusd"]) for one in trail] == [
        (id_, {"cost_pusd": was}, 17)
    ]
    shown = " ".join((await run(stand, "show", id_)).stdout.split())
    assert "first booked at $" in shown
    assert "to $0.000000000017, the bill of November (admin_token)" in shown
    dearer = await run(stand, "adjustments", "book", id_, "--actual", "$0.5", "--reason", "the bill, corrected")
    assert dearer.stderr == f"{id_} was booked at $0.000000000017, and is booked at $0.5 now.\n"
    listed = await run(stand, "adjustments", "list")
    head, *lines = listed.stdout.splitlines()
    assert head.split() == ["booked", "request", "user", "was_usd", "is_usd"]
    assert [line.split()[-1] for line in lines[::2]] == ["0.5", "0.000000000017"]
    assert lines[3] == "  the bill of November (admin_token)"
    assert all(len(line) <= 80 for line in lines)
    assert [one["actual_pusd"] for one in json.loads((await run(stand, "adjustments", "list", "--json")).stdout)] == [
        5 * 10**11,
        17,
    ]
    asked = await run(stand, "adjustments", "look-up")
    assert asked.stderr == "0 were told and booked, 0 are asked for again later, 0 are given up.\n"


async def test_what_cannot_be_booked_is_refused_and_says_why(stand: Stand) -> None:
    whole = {"request_id": "req_0000000000000007", "actual_usd": "1", "reason": "r"}
    missing = await ask(stand, "POST", "/adjustments", whole, status=404)
    assert "There is no request req_0000000000000007" in missing["error"]["message"]
    for wrong, said in (
        ({"actual_usd": "-1"}, "actual_usd: not a finite"),
        ({"actual_usd": "a lot"}, "such as 0.0125"),
        ({"actual_usd": "100000.000000000001"}, "No request costs more than $100000"),
    ):
        answer = await ask(stand, "POST", "/adjustments", {**whole, **wrong}, status=400)
        assert said in answer["error"]["message"]
    await stand.sim.behave("next", delay_ms=700)
    client = await stand.begin_chat()
    try:
        rows = await stand.rows("SELECT request_id FROM usage")
        while not rows:
            await asyncio.sleep(0.01)
            rows = await stand.rows("SELECT request_id FROM usage")
        answer = await ask(stand, "POST", "/adjustments", {**whole, **rows[0]}, status=400)
        assert "is still running" in answer["error"]["message"]
    finally:
        await client.close()
    assert (await ask(stand, "GET", "/adjustments"))["data"] == []


async def test_a_list_is_filtered_and_read_by_pages(stand: Stand) -> None:
    lost = [
        UnattachedCost(
            1_790_000_000_000 + n, "2026-09-21", "openrouter", f"m{n % 2}", "main", n + 1, "lost", "test", f"r{n}"
        )
        for n in range(5)
    ]
    await stand.app.late.book_unattached(lost)
    seen, path = [], "/adjustments?limit=2"
    while path:
        page = await ask(stand, "GET", path)
        seen += [one["reference"] for one in page["data"]]
        path = f"/adjustments?limit=2&cursor={page['next_cursor']}" if page["next_cursor"] else ""
    assert seen == ["r4", "r3", "r2", "r1", "r0"]
    for query, count in {"model=m1": 2, "unattached=true": 5, "unattached=false": 0, "day=2026-09-21": 5}.items():
        assert len((await ask(stand, "GET", f"/adjustments?{query}"))["data"]) == count, query
    for query in ("key=main", "provider=openrouter", "source=test", "since=2026-09-21T00:00:00Z"):
        assert len((await ask(stand, "GET", f"/adjustments?{query}"))["data"]) == 5, query
    for query in ("key=other", "user=anna", "source=x", "until=2026-09-21T00:00:00Z", "request=req_0000000000000007"):
        assert (await ask(stand, "GET", f"/adjustments?{query}"))["data"] == [], query
