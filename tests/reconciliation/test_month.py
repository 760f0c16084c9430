"""Thirty days against the simulator's bill over real sockets: every cent in its class, then all of it booked, once."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from proxy.app import App
from proxy.jobs.reconciliation.account_sync import AccountSync
from proxy.jobs.reconciliation.bill_corrections import BillCorrections
from proxy.policy.reconciliation.drift_class import BY_NAME
from proxy.providers.account.source import AccountError
from proxy.storage.audit import Actor
from proxy.storage.reconciliation import ClassSum, ComparedDay
from tests.cli.command_line import Commands
from tests.reconciliation.month import ALL_WAYS, KEY_HASH, USERS, Month, month_before
from tests.storage.made_rows import insert, ledger
from tests.support.control import Controls
from tests.support.installation import settings, token_hash_of, token_of, write_config
from tests.support.leaks import nothing_leaks
from tests.support.raw import ask
from tests.support.stand import app_in_loop, read_rows, simulator

MANAGEMENT_KEY = "sk-or-v1-management-" + "0" * 40
_MUCH = "$1000000/total"
MORE: dict[str, Any] = {
    "providers": {"openrouter": {"management_key": MANAGEMENT_KEY}, "plain": None},
    "users": {name: {"token_hash": token_hash_of(name), "limits": {"cost": _MUCH}} for name in ("anna", "bob")},
    "limits": {"cost": _MUCH},
}


class Played:
    """A month in both books, and a proxy beside them."""

    def __init__(self, folder: Path, sim: Controls, app: App, month: Month) -> None:
        self.folder, self.sim, self.app, self.month = folder, sim, app, month
        self.waits: list[float] = []
        self.on_wait: Any = None
        self.account = AccountSync(app.services, BillCorrections(app.late, app.live), self._wait)

    async def _wait(self, seconds: float) -> None:
        self.waits.append(seconds)
        if self.on_wait is not None:
            await self.on_wait()

    async def sync(self, days: Iterable[date] | None = None) -> dict[str, ComparedDay]:
        found = [await self.account.sync("openrouter", day) for day in days or self.month.days]
        return {one.day: one for one in found}

    def rows(self, query: str) -> list[dict[str, Any]]:
        return read_rows(self.folder / "ledger.db", query)

    def booked(self) -> Counter[str]:
        """Return what the roll-up has for each user."""
        rows = self.rows("SELECT user, sum(cost_pusd) AS pusd FROM usage_hourly GROUP BY user")
        return Counter({row["user"]: row["pusd"] for row in rows if row["pusd"]})

    async def used(self) -> dict[str, int]:
        """Return what limits have counted, by scope, as their users see it."""
        found: dict[str, int] = {}
        for user in ("anna", "bob"):
            answer = await ask(self.app.port, "GET", "/v1/me/limits", token=token_of(user))
            found |= {row["scope"]: row["used_pusd"] for row in answer.json()["limits"]}
        return found

    async def let_adjust(self) -> None:
        """Change the configuration to book what the bill knows better."""
        _configure(self.folder, self.sim, "adjust")
        assert await self.app.live.reload(Actor("test", "test")) is None

    def adjustments(self) -> list[dict[str, Any]]:
        return self.rows("SELECT request_id, reference, amount_pusd, reason FROM adjustments ORDER BY id")


def _configure(folder: Path, sim: Controls, apply: str) -> Path:
    return write_config(folder, settings(sim.url, {**MORE, "reconcile": {"apply": apply, "hourly": False}}))


def plant_rows(path: Path, month: Month) -> None:
    with ledger(path) as connection:
        insert(connection, month.rows)


@asynccontextmanager
async def played(folder: Path, month: Month, apply: str) -> AsyncIterator[Played]:
    async with nothing_leaks(), simulator() as sim:
        await sim.reset(created=None)
        await sim.plant(month.calls)
        plant_rows(folder / "ledger.db", month)
        async with app_in_loop(_configure(folder, sim, apply)) as app:
            yield Played(folder, sim, app, month)


def today() -> date:
    return datetime.now(UTC).date()


def found_classes(days: Iterable[ComparedDay]) -> dict[str, dict[str, int]]:
    return {one.day: {each.drift_class: each.amount_pusd for each in one.classes if each.amount_pusd} for one in days}


def expected(month: Month) -> dict[str, dict[str, int]]:
    days = [day.isoformat() for day in month.days]
    return {day: {name: pusd for name, pusd in month.classes[day].items() if pusd} for day in days}


def check_classes(play: Played) -> None:
    """Compare what was booked of each class, and what remains of it, with docs/concepts/reconciliation.md."""
    month = play.month
    kept = play.app.services.reports.compared_days(month.days[0].isoformat(), month.days[-1].isoformat())
    assert [one.day for one in kept] == [day.isoformat() for day in month.days]
    for found in kept:
        classes = {each.drift_class: each for each in found.classes}
        for name, each in BY_NAME.items():
            pusd = month.classes[found.day][name] + month.later[found.day][name]
            left, booked = (pusd, 0) if each.is_lasting else (0, 0 if name == "pending" else pusd)  # its own row ends
            one = classes.get(name, ClassSum(name, 0, 0))
            assert (one.amount_pusd, one.adjusted_pusd) == (left, booked), (found.day, name)


def test_the_script_has_every_way() -> None:
    classes = {name for day in month_before(today()).classes.values() for name in day}
    assert classes == BY_NAME.keys() - {"unknown", "refunded", "raised", "before_proxy"}
    assert len(ALL_WAYS) == 18


async def test_every_cent_is_in_its_class_and_then_booked(tmp_path: Path) -> None:
    month = month_before(today())
    async with played(tmp_path, month, "report") as play:
        before = play.booked()
        first = await play.sync()
        assert found_classes(first.values()) == expected(month)
        assert all(one.level == "calls" and one.problem is None for one in first.values())
        assert play.booked() == before  # it was a report
        assert found_classes((await play.sync(month.days[:3])).values()) == dict([*expected(month).items()][:3])

        await play.let_adjust()
        for id_, charged in month.changes.items():
            await play.sim.charge(id_, charged)
        # the same days at once, by two that know nothing of each other
        await asyncio.gather(
            play.sync(month.days[3:9]), *(play.app.sync.sync("openrouter", day) for day in month.days[6:12])
        )
        second = await play.sync()
        check_classes(play)
        lasting = {name for name, each in BY_NAME.items() if each.is_lasting}
        assert {name for each in found_classes(second.values()).values() for name in each} <= lasting
        assert play.booked() == Counter({**month.final, "": month.apart})
        assert sum(play.booked().values()) == month.charged - month.other_keys + month.elsewhere
        told = play.rows("SELECT key_hash, sum(usage_pusd + byok_usage_pusd) AS pusd FROM provider_activity GROUP BY 1")
        bill = {one["key_hash"]: one["pusd"] for one in told}[KEY_HASH]
        [own] = play.rows("SELECT sum(cost_pusd) AS pusd FROM requests WHERE key = 'own'")
        [midnight] = play.rows("SELECT sum(amount_pusd) AS pusd FROM reconciliations WHERE class = 'other_day'")
        assert (await play.used())["all"] == bill + own["pusd"] - midnight["pusd"]
        [others] = play.rows("SELECT sum(cost_pusd) AS pusd FROM other_keys_usage")
        assert others["pusd"] == month.other_keys
        assert await play.used() == {
            "all": sum(play.booked().values()),
            **{f"user:{name}": month.final[name] for name in USERS},
        }

        done, rows = play.adjustments(), play.rows("SELECT * FROM requests ORDER BY id")
        third = await play.sync()  # the same once more, and days that overlap
        await play.sync(month.days[5:9])
        assert found_classes(third.values()) == found_classes(second.values())
        assert play.adjustments() == done
        assert play.rows("SELECT * FROM requests ORDER BY id") == rows
        checked = await asyncio.to_thread(Commands(tmp_path).run, "audit", "check")
        assert checked.returncode == 0, checked.stdout


async def test_a_bill_that_comes_in_pieces_late_and_not_at_all_is_the_same(tmp_path: Path) -> None:
    month = month_before(today(), days=3)
    async with played(tmp_path, month, "report") as play:
        whole = found_classes((await play.sync()).values())
        assert whole == expected(month)

        queries = "path:/api/v1/analytics/query"
        await play.sim.behave(queries, rows_max=2)
        assert found_classes((await play.sync()).values()) == whole
        await play.sim.behave(queries, rows_max=0)  # it never gives what it says that there is
        short = await play.sync(month.days[:1])
        assert all(one.problem and not one.is_final for one in short.values())

        for error in ("upstream-rate-limit", "server-error"):
            await play.sim.behave(queries, error=error)
            play.on_wait, play.waits = play.sim.normal, []
            assert found_classes((await play.sync()).values()) == whole
            assert play.waits

        await play.sim.behave("path:/api/v1/activity", error="server-error")
        kept = play.rows("SELECT * FROM reconciled_days")
        play.on_wait = None
        with pytest.raises(AccountError, match="Try again later"):
            await play.sync(month.days[:1])
        assert play.rows("SELECT * FROM reconciled_days") == kept
