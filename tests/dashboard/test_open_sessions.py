"""Sessions in memory and in the ledger: how long they hold, and what a disk that refuses changes of it."""

import asyncio
from typing import Any

import pytest

from proxy.storage.audit import Actor
from proxy.storage.ledger import LedgerUnavailableError
from proxy.storage.users import MissingError
from proxy.web.dashboard.open_sessions import IDLE_MS, LIFE_MS, OF_ONE_MAX, OpenSessions, Proof
from tests.contracts.memory_ledger import MemoryLedger, MemoryReports, Store

ROOT = Actor("root", "socket")
BY_CODE = Proof("code", "root")


class HandClock:
    """A clock that is set by hand."""

    ms = 1_000_000

    def now_ms(self) -> int:
        return self.ms

    def monotonic_s(self) -> float:
        return self.ms / 1000


class NoConfiguration:
    """What sessions by a code ask nothing of."""

    current: Any = None
    loaded: Any = None


class Parts:
    def __init__(self) -> None:
        self.store, self.clock = Store(), HandClock()
        self.ledger, self.reports = MemoryLedger(self.store, asyncio.get_running_loop()), MemoryReports(self.store)
        self.sessions = self.started()

    def started(self) -> OpenSessions:
        """Return the sessions as a start finds them."""
        found = OpenSessions(self.ledger, NoConfiguration(), self.clock)
        found.load(self.reports.sessions())
        return found

    async def log_in(self) -> str:
        secret, _ = await self.sessions.begin(BY_CODE, ROOT, "127.0.0.1", "Firefox\x00\u202e")
        return secret

    def is_in(self, secret: str) -> bool:
        return self.sessions.find([secret], is_users=False) is not None

    @property
    def stored(self) -> int:
        return len(self.reports.sessions().rows)


async def test_a_session_ends_when_nobody_uses_it() -> None:
    parts = Parts()
    secret = await parts.log_in()
    assert parts.sessions.all()[0].row.browser == "Firefox"
    for _ in range(3):
        parts.clock.ms += IDLE_MS - 1
        assert parts.is_in(secret)
    parts.clock.ms += IDLE_MS
    assert not parts.is_in(secret)
    assert parts.stored == 1
    await parts.sessions.tend()
    assert parts.stored == 0


async def test_what_a_page_does_by_itself_is_no_use() -> None:
    parts = Parts()
    secret = await parts.log_in()
    for _ in range(3):
        parts.clock.ms += IDLE_MS // 3
        found = parts.sessions.find([secret], is_users=False, is_use=False)
    assert found is None
    assert not parts.is_in(secret)


async def test_and_after_a_week_whoever_uses_it() -> None:
    parts = Parts()
    secret, end_ms = await parts.log_in(), parts.clock.ms + LIFE_MS
    while parts.clock.ms < end_ms:
        assert parts.is_in(secret)
        parts.clock.ms += min(IDLE_MS - 1, end_ms - parts.clock.ms)
    assert not parts.is_in(secret)
    with pytest.raises(MissingError):
        parts.sessions.named("ses_none")


async def test_use_is_noted_and_holds_through_a_start() -> None:
    parts = Parts()
    secret = await parts.log_in()
    parts.clock.ms += IDLE_MS - 1
    assert parts.is_in(secret)
    await parts.sessions.tend()
    cookie = parts.sessions.cookie
    parts.sessions = parts.started()
    assert parts.sessions.cookie == cookie
    parts.clock.ms += IDLE_MS - 1
    assert parts.is_in(secret)
    assert not parts.is_in(secret[:-1] + ("A" if secret[-1] != "A" else "B"))
    assert parts.sessions.find([secret], is_users=True) is None


async def test_a_further_one_ends_that_which_was_used_least_lately() -> None:
    parts = Parts()
    first, second = await parts.log_in(), await parts.log_in()
    parts.clock.ms += 1
    assert parts.is_in(first)
    for _ in range(OF_ONE_MAX - 1):
        parts.clock.ms += 1
        await parts.log_in()
    assert parts.is_in(first)
    assert not parts.is_in(second)
    assert parts.stored == OF_ONE_MAX


async def test_a_disk_that_refuses_lets_nobody_in_and_keeps_nobody() -> None:
    parts = Parts()
    secret = await parts.log_in()
    parts.ledger.is_down = True
    with pytest.raises(LedgerUnavailableError):
        await parts.log_in()
    assert len(parts.sessions.all()) == 1
    await parts.sessions.end(parts.sessions.all()[0].row.id, ROOT, "logged out")
    assert not parts.is_in(secret)
    await parts.sessions.tend()
    assert parts.stored == 1
    parts.ledger.is_down = False
    await parts.sessions.tend()
    assert parts.stored == 0
