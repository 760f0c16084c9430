"""Kept sums are those of the period that a page names: not of the day before, nor of the days of another zone."""

from types import SimpleNamespace
from typing import Any, cast
from zoneinfo import ZoneInfo

import pytest

from proxy.web.dashboard.answer_cache import AnswerCache
from proxy.web.dashboard.large_sums import read_sums
from proxy.web.dashboard.period import CHOICES, read_period
from proxy.web.dashboard.view import DashboardRequest
from tests.support.moved_clock import MovedClock

BEFORE_MIDNIGHT_MS = 1_798_761_480_000  # 2026-12-31 23:58 UTC


def look(clock: MovedClock, answers: AnswerCache, word: str, zone: str) -> DashboardRequest:
    reports = SimpleNamespace(size_bytes=lambda: 1 << 30)
    deps = SimpleNamespace(
        services=SimpleNamespace(reports=reports, clock=clock), dashboard=SimpleNamespace(answers=answers)
    )
    now_ms, named = clock.now_ms(), ZoneInfo(zone)
    period = read_period(word, named, now_ms)
    return cast("DashboardRequest", SimpleNamespace(deps=deps, zone=named, period=period, now_ms=now_ms))


@pytest.mark.parametrize("word", CHOICES)
async def test_sums_are_kept_for_their_day_and_zone(word: str) -> None:
    clock, answers, asked = MovedClock(BEFORE_MIDNIGHT_MS), AnswerCache(), 0

    async def make() -> int:
        nonlocal asked
        asked += 1
        return asked

    async def shown(zone: str = "UTC") -> Any:
        sums = await read_sums(look(clock, answers, word, zone), "page", make)
        return sums.value, sums.kept_from

    assert await shown() == (1, None)
    clock.move_to(BEFORE_MIDNIGHT_MS + 20_000)
    value, kept_from = await shown()
    assert value == 1
    assert kept_from.startswith("23:58:0")
    assert await shown("Asia/Tokyo") == (2, None)
    clock.move_to(BEFORE_MIDNIGHT_MS + 150_000)
    assert await shown() == (3, None), "another day, of another month"
    await answers.close()
