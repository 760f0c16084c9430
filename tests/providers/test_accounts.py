"""Answers about accounts are kept a while, shown old while they are asked for again, and asked for once at a time."""

import asyncio
from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path

import pytest

from proxy.config.load import load_file
from proxy.providers.account.accounts import Accounts
from proxy.providers.build import build_providers
from proxy.providers.provider import ProviderRow
from tests.support.control import Controls
from tests.support.installation import settings, write_config
from tests.support.patience import eventually
from tests.support.stand import simulator

MANAGED = {"providers": {"openrouter": {"management_key": "sk-or-v1-management-" + "0" * 40}}}


class HandClock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now_s = 1_793_539_200.0

    def now_ms(self) -> int:
        return int(self.now_s * 1000)

    def monotonic_s(self) -> float:
        return self.now_s


@pytest.fixture
async def sim() -> AsyncIterator[Controls]:
    async with simulator() as controls:
        yield controls


@pytest.fixture
async def rows(tmp_path: Path, sim: Controls) -> AsyncIterator[dict[str, ProviderRow]]:
    found = build_providers(load_file(write_config(tmp_path, settings(sim.url, MANAGED)), {}).settings, {})
    yield found
    for row in found.values():
        await row.transport.close()


async def test_an_answer_is_kept_shown_old_and_asked_for_once(sim: Controls, rows: dict[str, ProviderRow]) -> None:
    clock, row = HandClock(), rows["openrouter"]
    accounts = Accounts(clock)
    assert accounts.last_credits(row) is None
    await sim.behave("path:/credits", delay_ms=50)
    several = await asyncio.gather(*(accounts.credits(row, 5.0) for _ in range(20)))
    assert {None if one is None else one.heard_ms for one in several} == {clock.now_ms()}
    clock.now_s += 59
    kept = await accounts.credits(row, 5.0)
    assert len(await sim.requests("/credits")) == 1
    clock.now_s += 2
    old = await accounts.credits(row, 0.0)
    assert kept is not None
    assert old is not None
    assert (old.value, old.heard_ms, old.is_old) == (kept.value, kept.heard_ms, True)
    fresh = await accounts.credits(row, 5.0)
    assert fresh is not None
    assert (fresh.heard_ms, fresh.is_old) == (clock.now_ms(), False)
    assert accounts.last_credits(row) == fresh
    assert len(await sim.requests("/credits")) == 2
    assert await accounts.credits(rows["plain"], 5.0) is None
    await accounts.close()


async def test_after_a_failure_the_last_answer_stays_and_the_provider_is_left_alone(
    sim: Controls, rows: dict[str, ProviderRow]
) -> None:
    clock, row = HandClock(), rows["openrouter"]
    accounts = Accounts(clock)
    good = await accounts.key(row, row.keys[0], 5.0)
    await sim.behave("path:/key", error="upstream-rate-limit", retry_after="900")
    clock.now_s += 301
    for _ in range(3):
        failed = await accounts.key(row, row.keys[0], 5.0)
        assert good is not None
        assert failed is not None
        assert failed.value == good.value
        assert failed.problem is not None
        assert failed.problem.kind == "limited"
    assert len(await sim.requests("/key")) == 2
    await sim.normal()
    clock.now_s += 3601
    healed = await accounts.key(row, row.keys[0], 5.0)
    assert healed is not None
    assert healed.problem is None
    accounts.keep_only([rows["plain"]])
    assert not accounts._entries
    await accounts.close()


async def test_what_is_being_asked_ends_when_all_ends(sim: Controls, rows: dict[str, ProviderRow]) -> None:
    accounts = Accounts(HandClock())
    await sim.behave("path:/credits", stop_at="before_headers", stop_with="hang")
    waiting = asyncio.create_task(accounts.credits(rows["openrouter"], 5.0))
    await eventually(lambda: sim.requests("/credits"))
    await accounts.close()
    heard = await waiting
    assert heard is not None
    assert heard.value is None


async def test_days_are_kept_a_minute_and_then_forgotten(sim: Controls, rows: dict[str, ProviderRow]) -> None:
    clock, row = HandClock(), rows["openrouter"]
    await sim.reset()
    day = date(2026, 10, 31)
    accounts = Accounts(clock)
    for key_hash in (None, None, "0" * 64):
        heard = await accounts.activity(row, day, key_hash, 5.0)
        assert heard is not None
        assert heard.value == ()
    assert len(await sim.requests("/activity")) == 2
    clock.now_s += 200
    await accounts.activity(row, day, None, 5.0)
    assert len(accounts._entries) == 1
    assert await accounts.activity(rows["plain"], day, None, 5.0) is None
    await accounts.close()
