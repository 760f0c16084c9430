"""Requests at the same moment: as many are let in as there is room for, to the pico-USD."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.quotas.bursts import Burst, draw_bursts, run_bursts
from tests.quotas.place import Place, user
from tests.support.sampling import seed

SEED = int(os.environ.get("BURST_SEED", "") or seed(3))


async def check(folder: Path, seed: int, bursts: int, width: int) -> None:
    tally = await run_bursts(folder, seed, bursts, width)
    assert tally.faults == []
    assert tally.overspent_pusd == 0
    assert tally.reserved_left_pusd == 0
    assert tally.ledger_pusd == tally.books_pusd
    assert (tally.bursts, tally.requests) == (bursts, bursts * width)


async def test_exactly_as_many_as_there_is_room_for(tmp_path: Path) -> None:
    await check(tmp_path, SEED, 12, 160)


@pytest.mark.sampled(0.3, "long")
@pytest.mark.slow
async def test_many_and_wider(tmp_path: Path) -> None:
    await check(tmp_path, SEED + 1, 20, 500)


def test_a_seed_draws_the_same_bursts() -> None:
    first = draw_bursts(SEED, 40, 200)
    assert first == draw_bursts(SEED, 40, 200)
    assert first != draw_bursts(SEED + 1, 40, 200)
    assert {burst.scope for burst in first} == {"user", "group", "all", "models", "above"}
    assert {type(burst) for burst in first} == {Burst}


@pytest.mark.parametrize("kind", ["requests", "tokens", "concurrency"])
async def test_other_kinds_in_a_burst(opened: Callable[..., Awaitable[Place]], kind: str) -> None:
    """Sixty at once, room for seven."""
    place = await opened({"users": {"anna": user("anna", limits={"cost": "$1000"})}})
    prompt = await place.input_tokens("anna")
    await place.sim.behave("all", prompt_tokens=prompt, completion_tokens=16, delay_ms=300)
    amount = {"requests": "7/day", "tokens": f"{7 * (prompt + 16) + 15}/day", "concurrency": 7}[kind]
    await place.configure({"users": {"anna": user("anna", limits={kind: amount})}, "quotas": {"wait_s": 0}})
    answers = await asyncio.gather(*(place.chat() for _ in range(60)))
    statuses = [answer.status for answer in answers]
    refused = 429 if kind == "concurrency" else 402
    assert sorted(statuses) == [200] * 7 + [refused] * 53
    await place.quiet()
    assert (await place.limit(kind=kind))["reserved"] == 0
    await place.check_books()
