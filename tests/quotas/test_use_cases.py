"""Limits of a preset: they hold for all that is booked under its use case, over all users together."""

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.quotas.place import Place, cost, error_of, user
from tests.support.stand import CHAT, MODEL

Open = Callable[..., Awaitable[Place]]
TEN = 10 * 10**9  # more than one answer costs at most, in pico-USD


def world(limits: dict[str, Any] | None = None, *, use_case: str | None = "sms") -> dict[str, Any]:
    preset = {"targets": [MODEL], **({"use_case": use_case} if use_case else {})}
    return {
        "users": {"anna": user("anna"), "bo": user("bo")},
        "presets": {"texts": {**preset, **({"limits": limits} if limits else {})}, "free": [MODEL]},
        "use_cases": {"sms": "texts"},
    }


async def test_requests_of_all_users_count_together(opened: Open) -> None:
    place = await opened(world({"requests": "3/day"}))
    for who in ("anna", "bo", "anna"):
        assert (await place.chat(who, model="texts")).status == 200
    refused = await place.chat("bo", model="texts")
    assert (refused.status, error_of(refused)["code"]) == (402, "insufficient_quota")
    assert 'use case "sms"' in error_of(refused)["message"]
    assert (await place.chat("bo", model="free")).status == 200
    assert (await place.chat("bo")).status == 200
    await place.check_books()


@pytest.mark.parametrize("header", [None, "other"])
async def test_no_header_leads_around_it(opened: Open, header: str | None) -> None:
    """Another use case in the header changes nothing for a preset with limits; its own one leads into it."""
    place = await opened(world({"requests": "2/day"}))
    headers = [] if header is None else [("X-Tollkeeper-Use-Case", header)]
    body = {"model": "texts", "messages": [{"role": "user", "content": "x"}]}
    assert (await place.ask("anna", "POST", CHAT, body, headers=headers)).status == 200
    by_map = await place.ask("anna", "POST", CHAT, {**body, "model": MODEL}, headers=[("X-Tollkeeper-Use-Case", "sms")])
    assert by_map.status == 200
    assert (await place.ask("anna", "POST", CHAT, body, headers=headers)).status == 402
    assert [row["use_case"] for row in place.rows()] == ["sms", "sms"]


async def test_money_to_the_pico_dollar(opened: Open) -> None:
    """The worst case is set aside; many at once do not pass the limit, and a restart knows what was spent."""
    place = await opened(world({"cost": cost(1)}))
    worst = await place.worst_case("anna", model="free")
    await place.configure(world({"cost": cost(5 * worst)}))
    await place.charge(worst)
    answers = await asyncio.gather(*(place.chat(who, model="texts") for who in ("anna", "bo") for _ in range(10)))
    assert sorted(answer.status for answer in answers).count(200) == 5
    await place.quiet()
    spent = sum(row["cost_pusd"] for row in place.rows() if row["use_case"] == "sms")
    assert spent == 5 * worst
    await place.restart()
    assert (await place.chat("anna", model="texts")).status == 402
    assert (await place.chat("anna", model="free")).status == 200
    await place.check_books()


async def test_a_new_limit_sees_what_was_spent(opened: Open) -> None:
    """Also what is under way when it comes into force; and the user's own limits hold beside it."""
    place = await opened(world())
    for _ in range(2):
        assert (await place.chat("anna", model="texts")).status == 200
    await place.sim.behave("next", first_token_ms=300)
    running = await place.begin_chat("bo", model="texts")
    await place.arrived(3)
    await place.configure(world({"requests": "4/day"}))
    assert (await place.chat("bo", model="texts")).status == 200
    assert (await place.chat("bo", model="texts")).status == 402
    assert (await running.read_answer()).status == 200
    await place.restart()
    assert (await place.chat("anna", model="texts")).status == 402
    await place.configure(world({"requests": "6/day"}))
    assert (await place.chat("anna", model="texts")).status == 200
    await place.check_books()


async def test_the_clamp_and_explain_know_it(opened: Open) -> None:
    place = await opened(world({"cost": cost(1)}))
    shown = await place.explain("anna", model="texts")
    assert (shown["admitted"], shown["refusal"]["code"]) == (False, "insufficient_quota")
    assert [row["scope"] for row in shown["limits"]] == ["use_case:sms"]
    assert (await place.explain("anna", model="free"))["admitted"] is True
    full = await place.worst_case("anna", model="free", max_tokens=4000)
    await place.configure(world({"cost": cost(full)}))
    lowered = await place.chat("anna", model="texts", max_tokens=4000)
    assert lowered.status == 200
    assert int(lowered.header("x-tollkeeper-max-tokens") or 0) < 4000
    assert lowered.header("x-tollkeeper-budget-remaining-usd") is not None


async def test_the_audit_sums_it_too(opened: Open) -> None:
    place = await opened(world({"cost": cost(TEN), "requests": {"amount": 2, "window": "total"}}))
    for _ in range(2):
        assert (await place.chat("anna", model="texts")).status == 200
    await place.quiet()
    await place.configure(world({"cost": cost(1), "requests": {"amount": 1, "window": "total"}}))
    command = [sys.executable, "-m", "proxy", "audit", "-c", str(place.folder / "config.yaml")]
    told = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
    assert "use_case:sms requests/total" in told.stdout + told.stderr
    assert "use_case:sms cost/total" in told.stdout + told.stderr


async def test_limits_need_a_use_case(opened: Open) -> None:
    place = await opened(world())
    place.more = world({"requests": "2/day"}, use_case=None)
    path = place._write()
    command = [sys.executable, "-m", "proxy", "check", "-c", str(path), "--offline"]
    told = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
    assert told.returncode == 2
    assert "presets.texts.limits: apply to what is booked under use_case" in told.stderr + told.stdout
