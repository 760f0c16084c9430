"""What is compared by itself: what a stop has missed, once; what the provider changes later; history before it all."""

import json
from datetime import date, timedelta
from pathlib import Path

from proxy.jobs.reconciliation.sync_job import SyncJob
from proxy.policy.reconciliation.sync_schedule import past_days
from tests.reconciliation.month import OURS, Month, month_before
from tests.reconciliation.test_month import Played, played, today
from tests.support.installation import PROVIDER_KEY


def with_history(month: Month) -> date:
    """Add a call of the time before the first request; return its day."""
    day = month.days[0] - timedelta(days=5)
    created = month.rows[0]["started_ms"] // 1000 - 5 * 86_400
    month.calls.append(
        {"id": f"gen-{created}-old", "created": created, "key": PROVIDER_KEY, "charged_pusd": 123, "user_agent": OURS}
    )
    return day


def compared(play: Played) -> dict[str, str]:
    return {row["day"]: row["level"] for row in play.rows("SELECT day, level FROM reconciled_days ORDER BY day")}


async def days_asked(play: Played) -> set[str]:
    """Return the days whose calls were asked for since the last time."""
    asked = await play.sim.requests("/analytics/query")
    await play.sim.forget_requests()
    return {json.loads(one["body"])["time_range"]["start"][:10] for one in asked}


async def test_what_was_missed_is_made_up_and_what_changes_is_seen(tmp_path: Path) -> None:
    month = month_before(today(), days=2)
    old = with_history(month).isoformat()
    async with played(tmp_path, month, "adjust") as play:
        problem: list[str] = ["the clock is wrong"]
        job = SyncJob(play.app.services, play.account, lambda: next(iter(problem), None))
        await job.look()
        assert compared(play) == {}  # nobody knows which day it is

        problem.clear()
        await job.look()
        days = {day.isoformat() for day in past_days(today())}
        own = {day.isoformat() for day in month.days}
        found = compared(play)
        late = {(today() - timedelta(days=1)).isoformat()} - found.keys()  # within two hours of midnight
        assert found.keys() == days - late
        assert {day for day, level in found.items() if level == "calls"} == own - late
        history = play.rows("SELECT day, cost_pusd FROM provider_history")
        assert history == [{"day": old, "cost_pusd": 123}]
        begun = play.rows("SELECT min(hour_ms) / 3600000 AS hour FROM usage_hourly")
        assert begun == [{"hour": month.rows[0]["started_ms"] // 3_600_000}]  # it is in no report

        await days_asked(play)
        await job.look()
        assert await days_asked(play) == set()  # all is final

        changed = next(iter(month.changes))
        row = next(row for row in month.rows if row["generation_id"] == changed)
        await play.sim.charge(changed, month.changes[changed])
        job._daily_ms["openrouter"] += 10 * 86_400_000  # the clock was ahead, and is set back
        await job.look()
        assert row["day"] in await days_asked(play)
        assert [one["amount_pusd"] for one in play.adjustments() if one["request_id"] == row["id"]] == [
            month.changes[changed] - row["cost_pusd"]
        ]
