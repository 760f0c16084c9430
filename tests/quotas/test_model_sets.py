"""Limits on sets of models, and of groups within groups: to the pico-USD, over restarts, as the ledger has it."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from proxy.app.rebuild import rebuilt_book
from tests.quotas.place import Place, cost, error_of, user
from tests.support.book import book_of
from tests.support.control import Controls
from tests.support.installation import settings, write_config
from tests.support.patience import eventually
from tests.support.process import Process, serving
from tests.support.raw import connect, request_bytes
from tests.support.stand import CHAT, MESSAGES, MODEL

Open = Callable[..., Awaitable[Place]]
DEAR = "anthropic/claude-sonnet-4"
FAMILY = ["anthropic/*"]


def on(models: list[str], **limit: Any) -> dict[str, Any]:
    """Give a limit as a list entry has it."""
    return {**limit, "models": models}


def world(limits: Any = None, **more: Any) -> dict[str, Any]:
    return {"users": {"anna": user("anna", limits=limits or {}), "bo": user("bo")}, **more}


def same_as_rebuilt(place: Place) -> None:
    """Hold the running totals against those that a start would make of the ledger."""
    app = place.app
    running, snapshot = book_of(app.services), app.live.current
    parts = app._snapshots.limit_parts
    anew = rebuilt_book(app.reports, snapshot.zone, place.clock.ms, parts)
    tokens = [row.identity.allowance.all_quotas for row in snapshot.directory._rows.values()]
    assert tokens
    for quotas in tokens:
        assert running.limits_view(quotas, place.clock.ms) == anew.limits_view(quotas, place.clock.ms)


async def test_only_models_of_the_set_count(opened: Open) -> None:
    place = await opened(world([on(FAMILY, requests="2/day"), {"requests": "9/day"}]))
    for model in (DEAR, MODEL, DEAR, MODEL):
        assert (await place.chat(model=model)).status == 200
    refused = await place.chat(model=DEAR)
    assert refused.status == 402
    error = error_of(refused)
    assert 'for user "anna" on anthropic/*' in error["message"]
    assert (error["models"], error["limit"], error["used"], error["remaining"]) == (FAMILY, 2, 2, 0)
    answer = await place.chat(model=MODEL)
    assert answer.status == 200
    assert answer.header("x-ratelimit-limit-requests") == "9"
    shown = {tuple(row["models"] or ()): (row["limit"], row["used"]) for row in await place.limits()}
    assert shown == {("anthropic/*",): (2, 2), (): (9, 5)}
    assert (await place.chat("bo", model=DEAR)).status == 200
    await place.quiet()
    same_as_rebuilt(place)
    await place.restart()
    assert (await place.chat(model=DEAR)).status == 402
    assert (await place.chat(model=MODEL)).status == 200
    await place.check_books()


async def test_money_to_the_pico_dollar(opened: Open) -> None:
    """Many at once do not pass it, others are not held back by it, and a limit that comes later knows the past."""
    place = await opened(world())
    worst = await place.worst_case(model=DEAR)
    await place.charge(worst)
    assert (await place.chat(model=DEAR)).status == 200
    await place.configure(world([on(FAMILY, cost=cost(4 * worst + worst // 2, "day"))]))
    dear = [place.chat(model=DEAR) for _ in range(8)]
    other = [place.chat(model=MODEL) for _ in range(4)]
    answers = await asyncio.gather(*dear, *other)
    assert sorted(answer.status for answer in answers[:8]) == [200] * 3 + [402] * 5
    assert {answer.status for answer in answers[8:]} == {200}
    await place.quiet()
    row = await place.limit()
    assert (row["used_pusd"], row["reserved_pusd"]) == (4 * worst, 0)
    same_as_rebuilt(place)
    await place.restart()
    assert (await place.limit())["used_pusd"] == 4 * worst
    await place.check_books()


async def test_the_model_that_answered_decides(opened: Open) -> None:
    """A route to several is held against the set, and counts there if one of it answered, or may have been paid for."""
    route = {"presets": {"both": [DEAR, MODEL]}}
    place = await opened(world([on(FAMILY, requests="9/day"), on(["openai/*"], requests="9/day")], **route))

    async def used() -> tuple[int, int]:
        await place.quiet()
        same_as_rebuilt(place)
        rows = {row["models"][0]: row["used"] for row in await place.limits()}
        return rows["anthropic/*"], rows["openai/*"]

    assert (await place.chat(model="both")).status == 200
    assert await used() == (1, 0)
    await place.sim.behave(f"model:{DEAR}", error="overloaded")
    assert (await place.chat(model="both")).status == 200
    assert await used() == (1, 1)  # certainly not billed there
    await place.sim.behave(f"model:{DEAR}", stop_at="before_headers", stop_with="rst")
    assert (await place.chat(model="both")).status == 200
    assert await used() == (2, 2)  # nobody knows
    assert [row["other_models"] for row in place.rows("SELECT other_models FROM requests ORDER BY id")] == [
        None,
        None,
        f"openrouter/{DEAR}",
    ]


async def test_groups_above_count_what_was_booked_below_them(opened: Open) -> None:
    def tree(parent: str | None, **users: Any) -> dict[str, Any]:
        groups: dict[str, Any] = {
            "company": {"limits": {"requests": "4/day"}},
            "unit": {"parent": "company", "limits": {"requests": "9/day"}},
            "team": {"parent": parent} if parent else {},
            "other": {"limits": {"requests": "9/day"}},
        }
        people = {"anna": user("anna", group="team"), "bo": user("bo", group="unit"), **users}
        return {"groups": groups, "users": people}

    place = await opened(tree("unit"))

    async def used(who: str) -> dict[str, int]:
        await place.quiet()
        same_as_rebuilt(place)
        return {row["scope"]: row["used"] for row in await place.limits(who)}

    for who in ("anna", "anna", "bo"):
        answer = await place.chat(who)
        assert answer.status == 200
    assert answer.header("x-tollkeeper-limits") == "requests group:company"
    assert await used("anna") == {"group:unit": 3, "group:company": 3}
    await place.configure(tree("other"))
    assert (await place.chat("anna")).status == 200
    assert await used("anna") == {"group:other": 1}
    assert await used("bo") == {"group:unit": 3, "group:company": 3}  # what was spent stays where it was booked
    await place.restart()
    assert await used("bo") == {"group:unit": 3, "group:company": 3}
    assert (await place.chat("bo")).status == 200
    refused = await place.chat("bo")
    assert refused.status == 402
    assert error_of(refused)["scope"] == "group:company"
    await place.configure(tree(None))
    assert (await place.chat("anna")).status == 200
    assert await used("anna") == {}
    await place.check_books()


async def test_a_set_within_a_use_case(opened: Open) -> None:
    limits = [on(FAMILY, requests="1/day")]
    place = await opened(
        world(use_case_limits={"sms": limits}, presets={"texts": {"targets": [DEAR], "use_case": "sms"}})
    )
    assert (await place.chat(model=DEAR)).status == 200  # under no use case
    assert (await place.chat(model="texts")).status == 200
    refused = await place.chat("bo", model="texts")
    assert refused.status == 402
    assert 'use case "sms" on anthropic/*' in error_of(refused)["message"]
    await place.restart()
    assert (await place.chat(model="texts")).status == 402


async def test_a_limit_on_models_never_lifts_one_on_all(opened: Open) -> None:
    """A user's own limit on some models stands beside what defaults say of all of them."""
    place = await opened(world([on(FAMILY, requests="9/day")], defaults={"limits": {"requests": "1/day"}}))
    assert (await place.chat()).status == 200
    assert (await place.chat(model=DEAR)).status == 402
    assert [(row["models"], row["limit"]) for row in await place.limits()] == [(None, 1), (FAMILY, 9)]


async def test_a_kill_leaves_sets_and_groups_above_as_the_ledger_has_them(tmp_path: Path, sim: Controls) -> None:
    """SIGKILL with requests open on both kinds of models, one of them downgraded: what is held stays held."""
    downgrade = {"on_spent": {"downgrade": "cheap"}}
    more = {
        "presets": {"cheap": [MODEL]},
        "groups": {"company": {"limits": {"requests": "99/day"}}, "team": {"parent": "company"}},
        "users": {"anna": user("anna", group="team", limits=[on(FAMILY, requests="2/day", **downgrade)])},
    }
    config = write_config(tmp_path, settings(sim.url, more))

    async def figures(process: Process) -> dict[str, int]:
        found = (await process.ask("GET", "/v1/me/limits")).json()["limits"]
        return {f"{row['scope']} {row['models']}": row["used"] + row["reserved"] for row in found}

    async with serving(tmp_path, config) as process, AsyncExitStack() as clients:
        assert (await process.ask("POST", CHAT, {"model": DEAR, "messages": MESSAGES})).status == 200
        await sim.forget()
        await sim.behave("all", delay_ms=60_000)
        for _ in range(2):  # the second one goes by the preset
            client = await clients.enter_async_context(await connect(process.port))
            await client.send(request_bytes("POST", CHAT, {"model": DEAR, "messages": MESSAGES}, token=process.token))

        async def arrived() -> bool:
            return len(await sim.requests()) == 2

        await eventually(arrived)
        before = await figures(process)
        assert before == {f"user:anna {FAMILY}": 2, "group:company None": 3}
        process.signal(signal.SIGKILL)
        await process.ended()
    await sim.normal()
    async with serving(tmp_path, config) as process:
        assert await figures(process) == before
        answer = await process.ask("POST", CHAT, {"model": DEAR, "messages": MESSAGES})
        assert answer.header("x-tollkeeper-downgraded") is not None
        assert await figures(process) == {**before, "group:company None": 4}
        assert await process.stop() == 0
