"""An answer is kept for a while, and then shown while it is read again; a failure is never kept."""

import asyncio

import pytest

from proxy.web.dashboard.answer_cache import AnswerCache
from tests.support.moved_clock import MovedClock
from tests.support.patience import eventually

START_MS = 1_800_000_000_000


class Counted:
    """Returns how often it was asked; wait_s: how long that takes."""

    def __init__(self, wait_s: float = 0.0) -> None:
        self.wait_s, self.asked, self.problem = wait_s, 0, ""

    async def __call__(self) -> int:
        self.asked += 1
        number = self.asked
        await asyncio.sleep(self.wait_s)
        if self.problem:
            raise ValueError(self.problem)
        return number


async def test_an_answer_is_kept_and_read_again_behind_the_old_one() -> None:
    cache, make, clock = AnswerCache(), Counted(0.01), MovedClock(START_MS)
    both = [*await asyncio.gather(cache.read("a", clock, make), cache.read("a", clock, make))]
    assert (both, make.asked) == ([1, 1], 1)
    assert await cache.read("a", clock, make) == 1
    assert await cache.read("b", clock, Counted(0.01)) == 1
    clock.move_to(clock.now_ms() + 120_000)
    assert await cache.read("a", clock, make) == 1, "the old one at once"

    async def is_read() -> bool:
        return await cache.read("a", clock, make) == 2

    assert await eventually(is_read)
    assert make.asked == 2
    clock.move_to(clock.now_ms() + 3_600_000)
    assert await cache.read("a", clock, make) == 3, "nothing that old is shown"
    await cache.close()


async def test_a_failure_is_told_and_not_kept() -> None:
    cache, make, clock = AnswerCache(), Counted(0.01), MovedClock(START_MS)
    make.problem = "no disk"
    for _ in range(2):
        with pytest.raises(ValueError, match="no disk"):
            await cache.read("a", clock, make)
    make.problem = ""
    assert await cache.read("a", clock, make) == 3
    clock.move_to(clock.now_ms() + 120_000)
    make.problem = "no disk"
    assert await cache.read("a", clock, make) == 3

    async def is_told() -> bool:
        try:
            return await cache.read("a", clock, make) == 0
        except ValueError:
            return True

    assert await eventually(is_told)
    await cache.close()
