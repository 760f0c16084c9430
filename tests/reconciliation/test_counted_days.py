"""Days without a management key: each is kept by what the keys had counted of it, and gives way to a bill."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from proxy.jobs.reconciliation.sync_job import SyncJob
from proxy.policy.reconciliation.sync_schedule import start_ms
from proxy.providers.account.accounts import Accounts, Heard
from proxy.providers.account.source import AccountError
from proxy.storage.reconciliation import ComparedDay
from tests.reconciliation.test_counted_keys import KEYS, counted_stand, long_there, run
from tests.reconciliation.test_month import MANAGEMENT_KEY
from tests.support.installation import ADMIN_TOKEN, PROVIDER_KEY, settings, write_config
from tests.support.leaks import nothing_leaks
from tests.support.moved_clock import MovedClock
from tests.support.raw import ask
from tests.support.stand import MESSAGES, MODEL, Stand, app_in_loop, models_known, simulator

FIRST = date(2026, 11, 3)  # a Tuesday
HOUR_MS = 3_600_000
BODY: dict[str, Any] = {"model": MODEL, "messages": MESSAGES}
ALONE: dict[str, Any] = {
    "providers": {"plain": None},
    "reconcile": {"unexplained_max_usd": 0},
    "timezone": "America/Los_Angeles",  # its days are not the provider's
}


async def look(job: SyncJob, place: Stand) -> dict[str, ComparedDay]:
    await job.look()
    return {one.day: one for one in place.app.services.reports.compared_days("2026-11-01", "9999-12-31")}


def classes(day: ComparedDay) -> dict[str, int]:
    return {each.drift_class: each.amount_pusd for each in day.classes if each.amount_pusd}


async def charged(place: Stand) -> int:
    return int((await place.sim.books())["total_pusd"])


async def test_days_are_kept_as_their_keys_counted_them(tmp_path: Path) -> None:
    clock = MovedClock(start_ms(FIRST) + 10 * HOUR_MS)
    async with nothing_leaks(), simulator(clock) as sim:
        await sim.reset(created=None)
        path = write_config(tmp_path, settings(sim.url, ALONE))
        async with app_in_loop(path, clock=clock) as app:
            await models_known(app)
            place = Stand(tmp_path, app, sim)
            await long_there(place)
            job = SyncJob(app.services, app.sync, lambda: None)
            assert (await place.chat()).status == 200
            await place.settled(1)
            day = (await look(job, place))["2026-11-03"]
            assert (day.level, day.is_final, classes(day), day.problem) == ("keys", False, {}, None)
            assert day.booked_pusd == day.billed_pusd == await charged(place) > 0

            before = await charged(place)
            clock.move_to(start_ms(FIRST) + 24 * HOUR_MS - 3_000)
            await sim.behave("next", billed_at_end=True, pace_ms=20)
            async with await place.begin_chat({"stream": True}) as client:
                await client.read_until(b"data: {")
                clock.move_to(start_ms(FIRST) + 24 * HOUR_MS + 60_000)
                await client.read_until(b"data: [DONE]")
            await place.settled(2)
            over_midnight = await charged(place) - before
            clock.move_to(start_ms(FIRST) + 24 * HOUR_MS + 600_000)
            assert "2026-11-04" not in await look(job, place)  # the provider may still tell of yesterday
            clock.move_to(start_ms(FIRST) + 26 * HOUR_MS)
            found = await look(job, place)  # yesterday is ended by what was used in all
            assert classes(found["2026-11-03"]) == {"other_day": -over_midnight}
            assert classes(found["2026-11-04"]) == {"other_day": over_midnight}

            clock.move_to(start_ms(FIRST) + 47 * HOUR_MS)
            assert (await sim.chat(BODY, key=PROVIDER_KEY)).status == 200  # after the last look of the day
            outside = await charged(place) - before - over_midnight
            assert (await place.chat()).status == 200
            await place.settled(3)
            clock.move_to(start_ms(FIRST) + 49 * HOUR_MS)
            found = await look(job, place)
            assert classes(found["2026-11-04"]) == {"other_day": over_midnight, "unknown": outside}
            assert classes(found["2026-11-05"]) == {}
            await is_told(place, outside)
        managed = {"providers": {"plain": None, "openrouter": {"management_key": MANAGEMENT_KEY}}}
        path = write_config(tmp_path, settings(sim.url, {**ALONE, **managed}))
        async with app_in_loop(path, clock=clock) as app:
            await models_known(app)
            assert app.sync.counts.providers() == []
            clock.move_to(start_ms(FIRST) + 74 * HOUR_MS)
            place = Stand(tmp_path, app, sim)
            found = await look(SyncJob(app.services, app.sync, lambda: None), place)
            assert found["2026-11-04"].level == "calls"
            assert classes(found["2026-11-04"])["outside_call"] == outside
            assert not await place.rows("SELECT * FROM provider_activity WHERE model = ''")


async def is_told(place: Stand, outside: int) -> None:
    """Check where an operator sees it."""
    answer = await ask(place.port, "GET", "/admin/v1/reconciliations", token=ADMIN_TOKEN)
    days = {one["day"]: one for one in answer.json()["data"]}
    assert (days["2026-11-04"]["level"], days["2026-11-04"]["unexplained_pusd"]) == ("keys", outside)
    answer = await ask(place.port, "GET", "/admin/v1/reconciliations/rows?name=unknown", token=ADMIN_TOKEN)
    (row,) = answer.json()["data"]
    assert (row["key"], row["amount_pusd"]) == ("main", outside)
    answer = await ask(place.port, "GET", "/admin/v1/reconciliations/sources", token=ADMIN_TOKEN)
    assert answer.json()["data"] == [{"provider": "openrouter", "level": "keys", "problem": None}]
    kept = await place.rows("SELECT day, usage_pusd FROM provider_activity WHERE key_hash <> '' ORDER BY day")
    assert [one["day"] for one in kept] == ["2026-11-03", "2026-11-04", "2026-11-05"]
    assert sum(one["usage_pusd"] for one in kept) == await charged(place)


async def test_a_key_that_is_not_told_leaves_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ask_key = Accounts.key

    async def key(self: Accounts, provider: Any, key: Any, wait_s: float) -> Any:
        if key.name == "spare":
            return Heard(problem=AccountError("refused", "openrouter answers 401."))
        return await ask_key(self, provider, key, wait_s)

    monkeypatch.setattr(Accounts, "key", key)
    async with counted_stand(tmp_path, KEYS) as place:
        counts = place.app.sync.counts
        (day,) = await counts.sync("openrouter")
        assert (day.level, day.problem) == ("keys", "key spare: openrouter answers 401.")
        assert counts.problems == {}
        await place.sim.behave("path:/key", error="user-not-found")
        place.app.services.accounts._entries.clear()
        with pytest.raises(AccountError, match=r"key main: .*401"):
            await counts.sync("openrouter")
        answer = await ask(place.port, "GET", "/admin/v1/reconciliations/sources", token=ADMIN_TOKEN)
        (source,) = answer.json()["data"]
        assert "key spare: openrouter answers 401." in source["problem"]
        told = await run(place, "reconcile")
        assert "the last comparison failed" in told.stderr
