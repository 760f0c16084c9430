"""What an operator sees of the ledger beside the bill: the operator's API, and the commands that speak through it."""

import asyncio
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

from proxy.core.money import pusd_to_usd
from tests.cli.command_line import Commands
from tests.reconciliation.month import month_before
from tests.reconciliation.test_month import MORE, Played, expected, played, today
from tests.support.installation import ADMIN_TOKEN, PROVIDER_KEY
from tests.support.raw import Answer, ask
from tests.support.stand import stand


async def asked(play: Played, method: str, path: str, body: Any = None) -> Answer:
    return await ask(play.app.port, method, f"/admin/v1{path}", body, token=ADMIN_TOKEN)


async def run(play: Played, *arguments: str) -> Any:
    return await asyncio.to_thread(Commands(play.folder).run, *arguments)


async def test_an_operator_sees_why_they_differ(tmp_path: Path) -> None:
    month = month_before(today(), days=2)
    first, last = month.days[0].isoformat(), month.days[-1].isoformat()
    async with played(tmp_path, month, "report") as play:
        nothing = await run(play, "reconcile")
        assert (nothing.returncode, nothing.stdout) == (0, "")
        assert "tollkeeper sync" in nothing.stderr

        synced = await run(play, "sync", "--from", first, "--to", last, "--json")
        assert synced.returncode == 0, synced.stderr
        days = json.loads(synced.stdout)
        assert {
            day["day"]: {each["name"]: each["amount_pusd"] for each in day["classes"] if each["amount_pusd"]}
            for day in days
        } == expected(month)
        assert all(day["difference_pusd"] == day["billed_pusd"] - day["booked_pusd"] for day in days)
        assert all(day["difference_pusd"] == day["stays_pusd"] + day["drift_pusd"] for day in days)

        listed = (await asked(play, "GET", f"/reconciliations?since={first}&until={last}")).json()["data"]
        assert listed == days
        rows = (await asked(play, "GET", f"/reconciliations/rows?since={first}&limit=1000")).json()["data"]
        for day in days:
            of_day = [row["amount_pusd"] for row in rows if row["day"] == day["day"]]
            assert sum(of_day) == day["difference_pusd"]
        page = (await asked(play, "GET", f"/reconciliations/rows?since={first}&limit=3")).json()
        assert page["data"] == rows[:3]
        rest = (await asked(play, "GET", f"/reconciliations/rows?since={first}&cursor={page['next_cursor']}")).json()
        assert rest["data"] == rows[3:]
        assert {row["key"] for row in rows if row["name"] == "outside_call"} == {"main"}

        shown = await run(play, "reconcile", "--from", first, "--explain")
        assert shown.returncode == 0
        told = " ".join(shown.stdout.split())
        assert all(row["text"] in told for row in rows)
        assert all(len(line) <= 80 for line in shown.stdout.splitlines())
        drift = sum(each["amount_pusd"] for day in days for each in day["classes"] if not each["is_lasting"])
        sign = "-" if drift < 0 else "+"
        assert f"Drift: {sign}${pusd_to_usd(abs(drift))}." in shown.stderr


async def test_unexplained_drift_is_exit_code_six(tmp_path: Path) -> None:
    month = month_before(today(), days=1)
    async with played(tmp_path, month, "report") as play:
        strange = next(call for call in month.calls if call["user_agent"] != "tollkeeper")
        play.app.sync._readers.clear()
        await play.sim.behave("path:/api/v1/generation", error="server-error")  # nobody says who made it
        await play.app.sync.sync("openrouter", month.days[0])
        told = await run(play, "reconcile", "--json", "--explain")
        assert told.returncode == 6
        found = json.loads(told.stdout)
        assert strange["id"] in {row["generation_id"] for row in found["rows"] if row["name"] == "unknown"}


async def test_what_cannot_be_compared_is_said(tmp_path: Path) -> None:
    async with played(tmp_path, month_before(today(), days=1), "report") as play:
        for day in (today() + timedelta(days=1), today() - timedelta(days=31)):
            answer = await asked(play, "POST", "/account/sync", {"day": day.isoformat()})
            assert (answer.status, answer.json()["error"]["param"]) == (422, "day")
        answer = await asked(play, "POST", "/account/sync", {"day": today().isoformat(), "provider": "nobody"})
        assert (answer.status, answer.json()["error"]["param"]) == (422, "provider")
        assert "There are: openrouter." in answer.json()["error"]["message"]
        answer = await asked(play, "POST", "/account/sync", {"day": "2026-13-01"})
        assert answer.status == 422
        answer = await asked(play, "GET", "/reconciliations/rows?name=weather")
        assert (answer.status, answer.json()["error"]["param"]) == (400, "name")
        await play.sim.behave("path:/api/v1/activity", error="management-only")
        answer = await asked(play, "POST", "/account/sync", {"day": (today() - timedelta(days=1)).isoformat()})
        assert answer.json()["data"]["days"] == []
        assert "management key" in answer.json()["data"]["problems"][0]["problem"]
        assert (await run(play, "reconcile")).stderr.count("the last comparison failed") == 1
        sources = (await asked(play, "GET", "/reconciliations/sources")).json()["data"]
        assert [(one["provider"], one["level"]) for one in sources] == [("openrouter", "calls")]
        late = await run(play, "sync", "--from", (today() - timedelta(days=40)).isoformat())
        assert late.returncode == 2
        assert "the provider tells of days from" in late.stderr
        tomorrow = (today() + timedelta(days=1)).isoformat()
        for command, first, last, said in (
            ("sync", today(), tomorrow, f"--to: {tomorrow} has not begun"),
            ("sync", tomorrow, today(), f"--from: {tomorrow} has not begun"),
            ("sync", today(), today() - timedelta(days=1), f"--from: {today()} is after"),
            ("reconcile", today(), today() - timedelta(days=1), f"--from: {today()} is after"),
        ):
            refused = await run(play, command, "--from", str(first), "--to", str(last))
            assert (refused.returncode, refused.stdout) == (2, "")
            assert said in refused.stderr
        assert (await run(play, "reconcile", "--to", "2026-01-31")).returncode == 0


async def test_without_a_management_key_it_says_what_is_missing(tmp_path: Path) -> None:
    async with stand(tmp_path) as place:
        body = {"day": today().isoformat()}
        answer = await ask(place.port, "POST", "/admin/v1/account/sync", body, token=ADMIN_TOKEN)
        assert (answer.status, answer.json()["error"]["code"]) == (409, "no_management_key")
        told = await asyncio.to_thread(Commands(place.folder).run, "reconcile")
        assert "management_key" in told.stderr


async def test_what_a_key_has_counted_stands_beside_the_ledger(tmp_path: Path) -> None:
    async with stand(tmp_path, MORE) as place:
        await place.sim.reset(created=None)
        assert (await place.chat()).status == 200
        await place.sim.behave("next", byok=True)
        assert (await place.chat()).status == 200
        [row, _] = await place.settled(2)
        cost = row["cost_pusd"]
        outside = {"model": "openai/gpt-4o-mini", "messages": [{"role": "user", "content": "Say something."}]}
        assert (await place.sim.chat(outside, key=PROVIDER_KEY)).status == 200
        answer = await ask(place.port, "GET", "/admin/v1/reconciliations/keys", token=ADMIN_TOKEN)
        found = {one["window"]: one for one in answer.json()["data"]}
        assert found.keys() == {"day", "week", "month"}
        books = await place.sim.books()
        billed = sum(one["charged_pusd"] - one["upstream_pusd"] for one in books["generations"].values())
        for one in found.values():
            assert (one["booked_pusd"], one["billed_pusd"], one["known_pusd"]) == (cost, billed, 0)
            assert one["left_pusd"] == billed - cost > 0

        await asyncio.sleep(1.1)
        await place.app.sync.sync("openrouter", today())  # and now a comparison knows of it
        answer = await ask(place.port, "GET", "/admin/v1/reconciliations/keys?provider=openrouter", token=ADMIN_TOKEN)
        assert {(one["known_pusd"], one["left_pusd"]) for one in answer.json()["data"]} == {(billed - cost, 0)}
        shown = await asyncio.to_thread(Commands(place.folder).run, "reconcile", "--keys")
        lines = [line.split() for line in shown.stdout.splitlines() if line.startswith("openrouter main")]
        assert [line[2] for line in lines] == ["day", "week", "month"]
        assert [line[-1] for line in lines] == ["$0"] * 3
