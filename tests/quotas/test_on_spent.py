"""What follows when a limit has no room: other targets, a preset instead, a turn to wait for, or the refusal."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.quotas.place import Place, cost, error_of, usd, user
from tests.quotas.test_model_sets import DEAR, FAMILY, on, same_as_rebuilt
from tests.support.stand import CHAT, MESSAGES, MODEL

Open = Callable[..., Awaitable[Place]]
CHEAP = "openai/gpt-4.1-nano"
DOWN = {"on_spent": {"downgrade": "cheap"}}


def world(limits: Any, **more: Any) -> dict[str, Any]:
    presets = {"cheap": [CHEAP], "both": [DEAR, MODEL], "dear": [DEAR], **more.pop("presets", {})}
    rich = user("rich", limits={"cost": cost(10**15)})
    return {
        "users": {"anna": user("anna", limits=limits), "rich": rich},
        "presets": presets,
        "quotas": {"wait_s": 0},
        **more,
    }


async def test_targets_of_a_spent_set_are_left_out_while_others_remain(opened: Open) -> None:
    place = await opened(world([on(FAMILY, requests="1/day")]))
    first = await place.chat(model="both")
    assert first.header("x-tollkeeper-model") == DEAR
    assert first.header("x-tollkeeper-left-out") is None
    explained = await place.explain(model="both")
    assert explained["admitted"]
    assert [one["model"] for one in explained["targets"]] == [MODEL]
    told = f'requests 1/day of user "anna" on {FAMILY[0]} is spent'
    assert explained["left_out"] == [{"provider": "openrouter", "model": DEAR, "reason": told}]
    second = await place.chat(model="both")
    assert second.status == 200
    assert (second.header("x-tollkeeper-model") or "").startswith(MODEL)
    assert second.header("x-tollkeeper-left-out") == f"openrouter/{DEAR} ({told})"
    assert second.header("x-ratelimit-remaining-requests") is None  # no limit holds for it any more
    refused = await place.chat(model="dear")
    assert refused.status == 402
    assert error_of(refused)["models"] == FAMILY
    await place.quiet()
    same_as_rebuilt(place)
    await place.check_books()


async def test_money_that_is_left_for_others_only(opened: Open) -> None:
    """A burst to a route of two: exactly as many at the dear one as its limit pays for, the rest at the other one."""
    place = await opened(world([]))
    worst = await place.worst_case("rich", model="both")
    await place.charge(worst)
    await place.configure(world([on(FAMILY, cost=cost(3 * worst, "day"))]))
    answers = await asyncio.gather(*(place.chat(model="both") for _ in range(8)))
    assert {answer.status for answer in answers} == {200}
    await place.quiet()
    asked = [row["model"].startswith("anthropic/") for row in place.rows()]
    assert asked.count(True) == 3
    row = await place.limit()
    assert (row["used_pusd"], row["remaining_pusd"]) == (3 * worst, 0)
    same_as_rebuilt(place)
    await place.check_books()


@pytest.mark.parametrize("stream", [False, True])
async def test_a_downgrade_goes_by_the_preset(opened: Open, stream: bool) -> None:
    place = await opened(world([on(FAMILY, requests="1/day", **DOWN)], presets={"cheap": [CHEAP]}))
    assert (await place.chat(model=DEAR)).status == 200
    explained = await place.explain(model=DEAR)
    assert not explained["admitted"]
    limit = 'requests 1/day of user "anna" on anthropic/*'
    assert explained["then"] == f"{limit}: downgrade: cheap"
    answer = await place.chat(model=DEAR, stream=stream)
    assert answer.status == 200
    assert answer.header("x-tollkeeper-downgraded") == limit
    await place.quiet()
    row = place.rows()[-1]
    assert row["model"].startswith(CHEAP)
    assert (row["requested_model"], row["flags"]) == (DEAR, "downgraded")
    await place.restart()
    assert (await place.chat(model=DEAR)).header("x-tollkeeper-downgraded") == limit
    same_as_rebuilt(place)
    await place.check_books()


async def test_a_downgraded_burst_is_reserved_to_the_pico_dollar(opened: Open) -> None:
    """What goes by the preset is held against every limit that still counts it; who does not fit gets 402."""
    place = await opened(world([]))
    dear, cheap = await place.worst_case("rich", model=DEAR), await place.worst_case("rich", model="cheap")
    budget = dear + 3 * cheap + cheap // 2
    limits = [on(FAMILY, requests="1/day", **DOWN), {"cost": cost(budget, "day")}]
    await place.configure(world(limits))
    await place.sim.behave(f"model:{DEAR}", cost_literal=usd(dear))
    await place.sim.behave(f"model:{CHEAP}", cost_literal=usd(cheap))
    answers = await asyncio.gather(*(place.chat(model=DEAR) for _ in range(8)))
    statuses = [answer.status for answer in answers]
    assert sorted(statuses) == [200] * 4 + [402] * 4
    assert [answer.header("x-tollkeeper-downgraded") is not None for answer in answers].count(True) == 7
    await place.quiet()
    row = next(row for row in await place.limits() if row["kind"] == "cost")
    assert row["used_pusd"] == dear + 3 * cheap
    same_as_rebuilt(place)
    await place.check_books()


async def test_a_preset_that_does_not_fit_either_is_refused(opened: Open) -> None:
    """The limit counts all models: the cheaper one is asked as long as it fits, and then there is an end."""
    place = await opened(world([{"cost": cost(1, "day"), **DOWN}]))
    refused = await place.chat(model=DEAR)
    assert refused.status == 402
    assert error_of(refused)["scope"] == "user:anna"
    assert await place.sim.requests() == []
    cheap = await place.worst_case(model="cheap") if (await place.explain(model="cheap"))["worst_case_pusd"] else None
    assert cheap is None
    assert place.rows() == []


async def test_whoever_is_sent_to_a_preset_need_not_be_allowed_to_ask_for_it(opened: Open) -> None:
    limits = [on(FAMILY, requests="1/day", **DOWN)]
    config = world(limits)
    config["users"]["anna"]["models"] = ["anthropic/*"]
    place = await opened(config)
    assert (await place.chat(model=DEAR)).status == 200
    assert (await place.chat(model=DEAR)).header("x-tollkeeper-downgraded") is not None
    assert (await place.chat(model="cheap")).status == 403


async def test_a_preset_of_its_own_use_case_is_booked_there(opened: Open) -> None:
    presets = {"cheap": {"targets": [CHEAP], "use_case": "leftovers", "limits": {"requests": "1/day"}}}
    place = await opened(world([on(FAMILY, requests="1/day", **DOWN)], presets=presets))
    statuses = [(await place.chat(model=DEAR)).status for _ in range(3)]
    assert statuses == [200, 200, 402]
    assert [row["use_case"] for row in place.rows()] == [None, "leftovers"]


async def test_slow_lets_requests_in_one_after_the_other(opened: Open) -> None:
    """A soft limit that is spent: so many a minute, each after its turn, the rest is sent away for that long."""
    soft = {"cost": cost(1, "day", "soft"), "on_spent": {"slow": "120/minute"}}
    place = await opened(world([soft]))
    begun_s = time.monotonic()
    answers = await asyncio.gather(*(place.chat() for _ in range(3)))
    assert [answer.status for answer in answers] == [200] * 3
    assert time.monotonic() - begun_s > 0.9  # the first at once, the others half a second apart
    place.clock.ahead_s += 3600
    pace = place.app.services.pace
    for _ in range(61):
        assert pace.take(("user:anna", "cost", "day"), 120, place.clock.monotonic_s(), 30.0)[0]
    refused = await place.chat()
    assert refused.status == 429
    assert error_of(refused)["kind"] == "cost"
    assert int(refused.header("Retry-After") or "") >= 1
    await place.check_books()


async def test_a_turn_does_not_lead_past_another_limit(opened: Open) -> None:
    soft = {"cost": cost(1, "day", "soft"), "on_spent": "slow: 120/minute"}
    place = await opened(world([soft, {"requests": "1/day"}]))
    assert (await place.chat()).status == 200
    refused = await place.chat()
    assert (refused.status, error_of(refused)["kind"]) == (402, "requests")


async def test_soft_limits_use_the_estimate(opened: Open) -> None:
    """Let in while used + estimate < limit: one that is thought to come to more is refused though little was used."""
    place = await opened(world([{"cost": {"amount": "$0.0001", "window": "day", "mode": "soft"}}]))
    body = {"model": MODEL, "messages": MESSAGES}
    assert (await place.ask("anna", "POST", CHAT, {**body, "max_tokens": 16})).status == 200
    refused = await place.ask("anna", "POST", CHAT, {**body, "max_tokens": 500})
    assert refused.status == 402
    error = error_of(refused)
    assert error["mode"] == "soft"
    assert error["used_pusd"] + error["needed_pusd"] >= error["limit_pusd"]
