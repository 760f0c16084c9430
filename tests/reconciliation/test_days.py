"""Days that go through the proxy itself, by a clock that is moved: what happens to requests is on the bill, and booked.

Midnight in the middle of a stream, a price that has moved, a cost that is told late, a key of one's own at the provider
behind the provider, a refund, another program and another key, a kill between answer and commit, and a ledger that was
restored from an older copy.
"""

import asyncio
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from proxy.jobs.reconciliation.sync_job import SyncJob
from proxy.policy.reconciliation.drift_class import BY_NAME
from proxy.policy.reconciliation.sync_schedule import start_ms
from proxy.storage.reconciliation import ComparedDay
from tests.reconciliation.month import KEY_HASH, OTHER_KEY
from tests.reconciliation.test_month import MORE
from tests.support.control import Controls
from tests.support.installation import PROVIDER_KEY, settings, write_config
from tests.support.leaks import nothing_leaks
from tests.support.moved_clock import MovedClock
from tests.support.patience import eventually
from tests.support.stand import MESSAGES, MODEL, Stand, app_in_loop, models_known, simulator

_ROOT = Path(__file__).parents[2]
_CHILD = Path(__file__).with_name("killed_request.py")
_FIRST = date(2026, 11, 2)
_HOUR_MS = 3_600_000
_BODY: dict[str, Any] = {"model": MODEL, "messages": MESSAGES}


def at_ms(day: int, hour: float) -> int:
    return start_ms(_FIRST + timedelta(days=day)) + int(hour * _HOUR_MS)


class Days:
    """A proxy that is started and ended over the days, and what has happened: generation ids by a word."""

    def __init__(self, folder: Path, sim: Controls, clock: MovedClock) -> None:
        self.folder, self.sim, self.clock = folder, sim, clock
        self.seen = Counter[str]()  # what was booked of each class when it was found
        self.named: dict[str, str] = {}

    @asynccontextmanager
    async def proxy(self) -> AsyncIterator[Stand]:
        async with app_in_loop(self.folder / "config.yaml", clock=self.clock) as app:
            await models_known(app)
            yield Stand(self.folder, app, self.sim)

    async def name(self, word: str) -> None:
        """Remember the generation that came last by a word."""
        generations = (await self.sim.books())["generations"]
        self.named[word] = [*generations][-1]

    async def look(self, place: Stand, day: int) -> list[ComparedDay]:
        """Let the job do what is due at half past three, and return all days as they were compared last."""
        self.clock.move_to(at_ms(day, 3.5))
        await SyncJob(place.app.services, place.app.sync, lambda: None).look()
        reports = place.app.services.reports
        found = await asyncio.to_thread(reports.compared_days, _FIRST.isoformat(), "9999-12-31")
        self.seen = Counter({each.drift_class: 0 for one in found for each in one.classes})
        for one in found:
            for each in one.classes:
                self.seen[each.drift_class] += each.adjusted
        return found


async def first_day(days: Days, place: Stand) -> None:
    sim = days.sim
    assert (await place.chat()).status == 200
    await days.name("refunded")
    await sim.behave("next", byok=True)
    assert (await place.chat()).status == 200
    assert (await sim.chat(_BODY, key=PROVIDER_KEY)).status == 200  # another program has the key
    await days.name("outside")
    assert (await sim.chat(_BODY, key=OTHER_KEY)).status == 200
    await days.name("other key")
    assert (await place.chat()).status == 200
    await days.name("raised")
    await sim.behave("next", cost_missing=True, generation_missing=True)  # it is told late
    assert (await place.chat()).status == 200
    days.clock.move_to(at_ms(1, 0) - 3_000)
    await sim.behave("next", billed_at_end=True, pace_ms=20)
    async with await place.begin_chat({"stream": True}) as client:
        await client.read_until(b"data: {")
        days.clock.move_to(at_ms(1, 0) + 10_000)
        await client.read_until(b"data: [DONE]")
    await place.settled(5)
    await sim.tell_generations()


async def killed(days: Days) -> None:
    """Let another process run the proxy, and kill it between the answer and the commit of its end."""
    environ = {**os.environ, "PYTHONPATH": str(_ROOT)}
    arguments = [sys.executable, str(_CHILD), str(days.folder), str(days.clock.now_ms())]
    await days.sim.behave("next", pace_ms=50)
    done = await asyncio.to_thread(
        subprocess.run, arguments, env=environ, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == -9, done.stderr

    async def has_ended() -> bool:
        return not (await days.sim.books())["open"]

    await eventually(has_ended)


async def lost(days: Days) -> None:
    """Make a request, and put a copy of the ledger in place that is older."""
    ledger, copy = days.folder / "ledger.db", days.folder / "copy.db"
    shutil.copy(ledger, copy)
    async with days.proxy() as place:
        assert (await place.chat()).status == 200
    await days.name("lost")
    for end in ("-wal", "-shm"):
        ledger.with_name(f"{ledger.name}{end}").unlink(missing_ok=True)
    copy.replace(ledger)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
async def test_what_happens_over_days_is_on_the_bill_and_booked(tmp_path: Path) -> None:
    clock = MovedClock(at_ms(0, 10))
    async with nothing_leaks(), simulator(clock) as sim:
        await sim.reset(created=None)
        more = {**MORE, "reconcile": {"apply": "adjust"}, "ledger": {"lookup_timeout_s": 1}}
        write_config(tmp_path, settings(sim.url, more))
        days = Days(tmp_path, sim, clock)
        async with days.proxy() as place:
            await first_day(days, place)
            await days.look(place, 1)
            assert {name for name, count in days.seen.items() if count} == {"outside_call", "reservation_charged"}
        clock.move_to(at_ms(1, 12))
        await lost(days)
        await killed(days)
        books = (await sim.books())["generations"]
        for word, share in (("refunded", 75), ("raised", 130)):  # a price that has moved, for what was told already
            id_ = days.named[word]
            await sim.charge(id_, books[id_]["charged_pusd"] * share // 100)
        async with days.proxy() as place:
            assert (await place.chat()).status == 200
            await place.settled(7)
            for day in (2, 3, 4):
                found = await days.look(place, day)
                await check(days, place, found)
                assert (await place.chat()).status == 200
            found = await days.look(place, 5)
            await check(days, place, found)
            before = await place.rows("SELECT * FROM adjustments ORDER BY id")
            await days.look(place, 6)  # the same once more
            assert await place.rows("SELECT * FROM adjustments ORDER BY id") == before


async def check(days: Days, place: Stand, found: list[ComparedDay]) -> None:
    """Compare ledger, limits and bill: every difference is explained, and what limits have counted is the bill."""
    books = await days.sim.books()
    charged = {id_: one["charged_pusd"] for id_, one in books["generations"].items()}
    ours = {id_: pusd for id_, pusd in charged.items() if books["generations"][id_]["key_sha256"] == KEY_HASH}
    apart = charged[days.named["outside"]] + charged[days.named["lost"]]
    answer = await place.ask("GET", "/v1/me/limits")
    used = {row["scope"]: row["used_pusd"] for row in answer.json()["limits"]}
    assert used == {"all": sum(ours.values()), "user:anna": sum(ours.values()) - apart}
    left = Counter[str]()
    for one in found:
        left.update({each.drift_class: each.amount_pusd for each in one.classes if each.amount_pusd})
        assert one.level == "calls"
    byok = sum(one["upstream_pusd"] for one in books["generations"].values())
    other = charged[days.named["other key"]]
    assert {name: pusd for name, pusd in left.items() if pusd} == {"own_key": -byok, "other_key": other}
    assert left["other_day"] == 0
    midnight = [each.amount_pusd for one in found for each in one.classes if each.drift_class == "other_day"]
    assert len(midnight) == 2
    assert midnight[0] == -midnight[1] != 0
    booked = {name for name, count in days.seen.items() if count}
    assert booked == {"outside_call", "refunded", "raised", "lost_row", "reservation_charged"}
    assert all(not BY_NAME[name].is_lasting for name in booked)
    day = datetime.fromtimestamp(days.clock.now_ms() / 1000, UTC).date().isoformat()
    assert {one.day for one in found} >= {f"2026-11-0{n}" for n in (2, 3, 4)} | {day}
