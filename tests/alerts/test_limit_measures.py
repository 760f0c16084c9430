"""Many limits: read in turns, and no more often than they are worth."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from proxy.config.alerts import AlertRule
from proxy.jobs.alerts.limit_measures import LimitMeasures
from tests.alerts.place import Watched
from tests.support.installation import token_hash_of
from tests.support.stand import stand

USERS = {
    f"user{n}": {"token_hash": token_hash_of(f"user{n}"), "limits": {"requests": "9/day", "cost": "$1/day"}}
    for n in range(300)
}


async def test_reading_many_limits_takes_turns_and_rests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cpu_s, turns, reads = 0.0, 0, 0

    def thread_time() -> float:
        nonlocal cpu_s
        cpu_s += 0.01  # what each piece costs
        return cpu_s

    async with stand(tmp_path, {"users": USERS}) as at:
        watched = Watched(at, {})
        measures = LimitMeasures(watched.services)
        now_s = watched.clock.monotonic_s()
        monkeypatch.setattr(watched.clock, "monotonic_s", lambda: now_s)
        monkeypatch.setattr("proxy.jobs.alerts.limit_readings.time.thread_time", thread_time)
        monkeypatch.setattr("proxy.core.loop_turn._MOST_S", 0.0)
        limits = watched.services.limiter.limits

        def counted(quotas: Any, now_ms: int) -> Any:
            nonlocal reads
            reads += 1
            assert len(quotas) <= 8
            return limits(quotas, now_ms)

        monkeypatch.setattr(watched.services.limiter, "limits", counted)

        async def others() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1

        other = asyncio.create_task(others())
        try:
            rule = AlertRule.read({"watch": "limit_share", "limits": ["requests", "cost"]})
            now_ms = watched.clock.now_ms()
            (most,) = await measures.limit_share(rule, (), now_ms)
            assert most.value == 0, "idle limits are one reading"
            assert reads == 300, "their windows are summed first: two at a time"
            assert turns >= 300
            await measures.limit_share(rule, (), now_ms + 1)
            assert reads == 300
            now_s += 300 * 0.01 * 50 + 0.1
            (known,) = await measures.limit_share(rule, ("user:user7 cost day",), now_ms + 2)
            assert (reads, known.scope) == (375, "user:user7"), "where a rule stands with one, it is always told of"
        finally:
            other.cancel()
