"""What is left at a provider is told before it is gone, and as over once there is more again."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from proxy.core.money import PUSD_PER_USD
from proxy.jobs.alerts.account_measures import drift
from proxy.policy.reconciliation.day_comparison import DriftEntry
from proxy.storage.reconciliation import ComparedDay, DayResult, count_of
from tests.alerts.place import Watched
from tests.support.patience import eventually
from tests.support.stand import Stand, stand

MANAGED = {"providers": {"openrouter": {"management_key": "sk-or-v1-management-" + "0" * 40}}}


async def credits_are(place: Stand, left: float) -> None:
    body = json.dumps({"data": {"total_credits": 100, "total_usage": 100 - left}})
    await place.sim.behave("path:/credits", body=body)
    place.app.services.accounts._entries.clear()


async def budgets_are(place: Stand, *spent: float) -> None:
    layers = [
        {"scope": scope, "limit_usd": 10, "spend_usd": used, "remaining_usd": 10 - used, "reset_interval": "daily"}
        for scope, used in zip(("member", "key_limit"), spent, strict=True)
    ]
    body = json.dumps({"data": {"label": "k", "usage": 1, "budgets": layers}})
    await place.sim.behave("path:/key", body=body)
    place.app.services.accounts._entries.clear()


async def told_in_time(watched: Watched, count: int) -> list[str]:
    async def look() -> list[str]:
        found = await watched.told()
        return found if len(found) >= count else []

    return await eventually(look)


async def measured(watched: Watched, count: int) -> Any:
    async def look() -> Any:
        await watched.watch.check()
        return len(watched.watch.measured) >= count

    return await eventually(look)


async def test_credits_that_run_out_are_told_once_and_so_is_their_end(tmp_path: Path) -> None:
    async with stand(tmp_path, MANAGED) as place:
        await credits_are(place, 30)
        watched = Watched(place, {"low": {"watch": "credits_low", "at": ["$5", "20"]}})
        await measured(watched, 1)
        assert await watched.told() == []
        await credits_are(place, 19.999)
        assert await told_in_time(watched, 1) == ["fired low openrouter"]
        (first,) = watched.deliveries()
        assert first.message.line == "openrouter: $19.99 of credits are left"
        assert first.message.detail == "$19.999 of $100 is left"
        await credits_are(place, -1)
        assert (await told_in_time(watched, 2))[1:] == ["fired low openrouter"]
        await credits_are(place, 90)
        assert (await told_in_time(watched, 3))[2:] == ["recovered low openrouter"]


async def test_a_budget_of_the_provider_is_told_before_it_refuses(stand: Stand) -> None:
    await budgets_are(stand, 2, 7.99)
    watched = Watched(stand, {"budget": {"watch": "provider_budget", "scope": "openrouter/*"}})
    await measured(watched, 2)
    assert await watched.told() == []
    await budgets_are(stand, 2, 8)
    assert await told_in_time(watched, 1) == ["fired budget openrouter/main key_limit daily"]
    (first,) = watched.deliveries()
    assert first.message.line == "openrouter/main key_limit daily: 80 % of the provider's budget is used"


async def test_a_rule_that_nothing_can_be_measured_for_says_so(stand: Stand, caplog: Any) -> None:
    watched = Watched(stand, {"low": {"watch": "credits_low"}})
    assert await watched.told() == []
    (record,) = [one for one in caplog.records if one.message == "alert.not_measured"]
    assert "providers.openrouter.management_key" in record.problem
    assert not await stand.sim.requests("/credits")


def compared(day: str, unknown_pusd: int) -> DayResult:
    entries = [
        DriftEntry(name, pusd, None, None, "", "", 0, 0, pusd)
        for name, pusd in (("unknown", unknown_pusd), ("other_key", 9 * PUSD_PER_USD))
        if pusd
    ]
    billed_pusd = sum(entry.amount_pusd for entry in entries)
    return DayResult(ComparedDay("openrouter", day, "calls", 0, billed_pusd, 0, True, None, 1), entries)


async def test_what_nothing_explains_is_told_until_it_is_explained(tmp_path: Path) -> None:
    async with stand(tmp_path, MANAGED) as place:
        today = datetime.now(UTC).date()
        yesterday, before = ((today - timedelta(days=n)).isoformat() for n in (1, 2))
        watched = Watched(place, {"drift": {"watch": "drift", "at": "$0.50"}})
        assert await watched.told() == []  # nothing was compared yet
        ledger = place.app.ledger
        await ledger.note_reconciliation(compared(yesterday, PUSD_PER_USD // 4))
        assert await watched.told() == []
        await ledger.note_reconciliation(compared(before, -PUSD_PER_USD // 4))  # apart the other way: they add up
        assert await watched.told() == ["fired drift openrouter"]
        (first,) = watched.deliveries()
        assert first.message.detail == "$0.5 on 2 days"
        await ledger.note_reconciliation(compared(before, 0))
        assert (await watched.told())[1:] == ["recovered drift openrouter"]
        result = compared(before, PUSD_PER_USD)
        counted = replace(result.day, level="keys", is_final=False)
        await ledger.note_reconciliation(replace(result, day=counted, activity={"k": [count_of(9, 0)]}))
        (reading,) = await drift(place.app.services)
        assert (reading.value, reading.detail) == (1.25, "$1.25 on 2 days, by what keys have counted")
