"""What the operator's API shows of the proxy as it is: connections, reservations, usage, presets."""

import asyncio
import json
import random
import sqlite3
from contextlib import closing
from datetime import datetime
from typing import Any

from click.testing import CliRunner

from proxy.cli import tollkeeper
from proxy.core.clock import SystemClock
from proxy.web.admin.report import MonthDocument, ProjectionDocument
from tests.storage.made_rows import insert, made
from tests.support.installation import ADMIN_TOKEN
from tests.support.patience import eventually
from tests.support.stand import MODEL, Stand

SPARE = "google/gemini-2.5-flash"
DAY_MS = 86_400_000


async def read(stand: Stand, path: str) -> Any:
    answer = await stand.ask("GET", f"/admin/v1/{path}", token=ADMIN_TOKEN)
    assert answer.status == 200, answer.body
    return answer.json()["data"]


async def test_usage_is_what_the_command_line_says(stand: Stand) -> None:
    for n in range(3):
        assert (await stand.chat({"max_tokens": 5 + n})).status == 200
    await stand.settled(3)
    config = str(stand.folder / "config.yaml")
    said = await asyncio.to_thread(
        CliRunner().invoke, tollkeeper, ["usage", "--by", "user,model", "--json", "-c", config]
    )
    shown = await read(stand, "usage?by=user,model&user=anna&since=2020-01-01T00:00:00Z")
    told = json.loads(said.stdout)
    assert told["total"]["cost_pusd"] > 0
    for theirs, ours in zip([*told["rows"], told["total"]], [*shown["rows"], shown["total"]], strict=True):
        parts = ours["parts"]
        assert {**theirs, **parts, **ours.get("key", {})} == theirs
        assert {name: theirs[name] for name in ours if name in theirs} == {
            name: value for name, value in ours.items() if name in theirs
        }
    assert (shown["rows"][0]["key"], shown["open"]) == ({"user": "anna", "model": MODEL}, 0)
    assert (await read(stand, "usage?until=2020-01-01T00:00:00Z"))["rows"] == []


async def test_usage_takes_the_words_of_the_command_line(stand: Stand) -> None:
    for n in range(3):
        assert (await stand.chat({"max_tokens": 5 + n})).status == 200
    await stand.settled(3)
    whole = await read(stand, "usage?by=endpoint,month,key&since=today&with_history=true")
    [row] = whole["rows"]
    assert (row["key"]["endpoint"], row["key"]["key"]) == ("chat/completions", "openrouter/main")
    assert (row["share"], row["requests"], whole["other"], whole["history"]) == ("1", 3, None, [])
    assert (await read(stand, f"usage?month={row['key']['month']}&by=hour,status&top=1"))["total"] == whole["total"]
    for query, param in (
        ("by=colour", "by"),
        ("since=soon", "since"),
        ("since=today&until=yesterday", "until"),
        ("month=2026", "month"),
        ("month=2026-11&since=today", "month"),
        ("top=0", "top"),
        ("sort=colour", "sort"),
        ("series=2&top=2", "series"),
        ("by=day,user,model&series=2", "series"),
        ("by=tag,day&series=2", "series"),
    ):
        answer = await stand.ask("GET", f"/admin/v1/usage?{query}", token=ADMIN_TOKEN)
        error = answer.json()["error"]
        assert (answer.status, error["code"], error["param"]) == (400, "invalid_query", param)


async def test_usage_is_read_of_a_part_and_sorted(stand: Stand) -> None:
    for model, tags in ((MODEL, "a"), (SPARE, "a,b"), (SPARE, "")):
        headers = [("x-tollkeeper-tags", ",".join(f"{tag}=1" for tag in tags.split(",")))] if tags else []
        assert (await stand.chat({"model": model}, headers=headers)).status == 200
    assert (await stand.chat({"messages": "none"})).status == 400
    await stand.settled(3)
    assert await stand.app.deps.write_refusals()
    whole = await read(stand, "usage?by=model&since=today")
    by_model = {row["key"]["model"]: row for row in whole["rows"]}
    for query in (f"model={SPARE}", f"model={SPARE[:-3]}*&provider=openrouter&status=200"):
        part = await read(stand, f"usage?by=day,user&{query}")
        (row,) = part["rows"]
        assert (row["key"]["user"], row["requests"], part["total"]["requests"]) == ("anna", 2, 2)
        assert part["total"]["cost_pusd"] == row["cost_pusd"] == by_model[SPARE]["cost_pusd"]
    tagged = await read(stand, f"usage?by=tag&model={SPARE}")
    assert [tagged["total"]["requests"], len(tagged["rows"])] == [2, 3]
    assert tagged["total"]["cost_pusd"] == by_model[SPARE]["cost_pusd"]
    assert (await read(stand, "usage?model=none"))["rows"] == []
    ordered = (await read(stand, "usage?by=model&sort=requests&top=1"))["rows"]
    assert [row["key"]["model"] for row in ordered] == [SPARE]
    named = (await read(stand, "usage?by=model&sort=name"))["rows"]
    assert [row["key"]["model"] for row in named] == sorted([MODEL, SPARE])
    for by in ("tag:a", "tag:a,day"):
        of_tag = (await read(stand, f"usage?by={by}&series=1"))["rows"]
        assert [(one["key"]["tag:a"], one["requests"], one["is_other"]) for one in of_tag] == [
            ("1", 2, False),
            ("", 1, True),
        ]
    over_time = (await read(stand, "usage?by=day,model&series=1"))["rows"]
    assert [(one["key"]["model"], one["is_other"]) for one in over_time] == [(SPARE, False), ("", True)]
    assert sum(one["cost_pusd"] for one in over_time) == whole["total"]["cost_pusd"]
    people = await read(stand, "usage?by=user")
    assert (people["refusals"], people["rows"][0]["refusals"], people["adjustments"]) == (1, 1, [])
    assert (whole["rows"][0]["refusals"], whole["timezone"]) == (None, "UTC")


async def test_refusals_are_counted(stand: Stand) -> None:
    for token in (stand.token, stand.token, "tk-wrong"):
        assert (await stand.chat({"messages": "none"}, token=token)).status in (400, 401)
    assert await stand.app.deps.write_refusals()
    found = await read(stand, "refusals?since=today&by=user,error")
    assert found["requests"] == 3
    assert {one["key"]["user"]: one["requests"] for one in found["rows"]} == {"anna": 2, "": 1}
    (day,) = (await read(stand, "refusals?by=day&user=anna"))["rows"]
    assert day["requests"] == 2
    code = next(one["key"]["error"] for one in found["rows"] if one["key"]["user"] == "anna")
    assert (await read(stand, f"refusals?error={code}&by=endpoint"))["rows"] == [
        {"key": {"endpoint": "chat/completions"}, "requests": 2}
    ]
    listed = await read(stand, f"requests?state=refused&text={code[2:].upper()}&since=today")
    assert [one["error"] for one in listed] == [code] * 2
    for query, param in (("by=model", "by"), ("by=", "by"), ("since=soon", "since")):
        answer = await stand.ask("GET", f"/admin/v1/refusals?{query}", token=ADMIN_TOKEN)
        assert (answer.status, answer.json()["error"]["param"]) == (400, param)


def _spend_before(stand: Stand) -> None:
    """Write a request of three days ago, so that a month that has just begun has a forecast."""
    with closing(sqlite3.connect(stand.database, isolation_level=None)) as db:
        row = made(1, SystemClock().now_ms() - 3 * DAY_MS, random.Random(1))
        insert(db, [{**row, "state": "settled", "cost_pusd": 10**9}])


async def test_a_month_is_what_the_command_line_says(stand: Stand) -> None:
    for n in range(3):
        assert (await stand.chat({"max_tokens": 5 + n})).status == 200
    await stand.settled(3)
    _spend_before(stand)
    config = str(stand.folder / "config.yaml")
    words = ["--growth", "5%/month", "--roi", "--revenue", "$10/month", "--cost-of", "user=anna"]
    said = await asyncio.to_thread(CliRunner().invoke, tollkeeper, ["report", "--json", "-c", config, *words])
    path = "growth=5%25/month&revenue=$10/month&cost_of=user%3Danna"
    shown = await read(stand, f"report?{path}")
    of_now = ("made_at", "forecast", "forecast_note", "projection", "break_even")  # they go on while one looks
    told = json.loads(said.stdout)
    assert list(told) == list(shown)
    assert {**told, **{name: shown[name] for name in of_now}} == shown
    assert MonthDocument.model_validate(shown).model_dump(mode="json", by_alias=True) == shown
    assert shown["total"]["cost_pusd"] == sum(one["cost_pusd"] for one in shown["people"]) > 0
    ahead = await read(stand, f"projection?months=24&{path}")
    assert ProjectionDocument.model_validate(ahead).model_dump(mode="json", by_alias=True) == ahead
    assert len(ahead["months"]) == 24
    assert ahead["months"][-1]["sum_pusd"] == sum(one["cost_pusd"] for one in ahead["months"])
    assert abs(ahead["months"][0]["cost_pusd"] / ahead["month_pusd"] - 1.05) < 0.001
    assert ahead["break_even"].keys() == shown["break_even"].keys()
    following = datetime.fromisoformat(shown["until"])
    assert ahead["months"][0]["month"] == f"{following:%Y-%m}"
    assert ahead["months"][12]["month"] == f"{following.year + 1}-{following.month:02}"
    for query, param in (
        ("report?month=2999-01", "month"),
        ("report?month=soon", "month"),
        ("report?project=colour", "project"),
        ("report?growth=fast", "growth"),
        ("report?revenue=much", "revenue"),
        ("report?revenue=$5/month&cost_of=anna", "cost_of"),
        ("report?cost_of=user%3Danna", "cost_of"),
        ("projection?months=13", "months"),
        ("projection?growth=fast", "growth"),
    ):
        answer = await stand.ask("GET", f"/admin/v1/{query}", token=ADMIN_TOKEN)
        assert (answer.status, answer.json()["error"]["param"]) == (400, param), query


async def test_a_request_under_way_is_a_reservation(stand: Stand) -> None:
    await stand.sim.behave("all", delay_ms=3000)
    client = await stand.begin_chat({"stream": True})

    async def seen() -> Any:
        return await read(stand, "reservations?user=anna&state=open")

    (found,) = await eventually(seen)
    assert (found["user"], found["model"], found["running"]) == ("anna", MODEL, True)
    assert found["held_pusd"] > 0
    assert await read(stand, "reservations?user=nobody") == []
    (used,) = [one for one in await read(stand, "connections") if one["name"] == "openrouter"]
    assert used["pool"]["open"] >= used["pool"]["active"] >= 0
    await client.close()


async def test_connections_show_what_failed(stand: Stand) -> None:
    await stand.sim.behave("all", error="server-error")
    for _ in range(6):
        await stand.chat()
    shown = await read(stand, "connections/openrouter")
    assert sum(model["errors"] for model in shown["models"]) + shown["breaker"]["errors"] > 0
    assert [key["name"] for key in shown["keys"]] == ["main"]
    assert shown["models_listed"] > 0


async def test_presets_are_those_in_force(stand: Stand) -> None:
    assert await read(stand, "presets") == []
    answer = await stand.ask("GET", "/admin/v1/presets/none", token=ADMIN_TOKEN)
    assert (answer.status, answer.json()["error"]["code"]) == (404, "not_found")
