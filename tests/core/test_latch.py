"""A wait ends once, by what comes first, whoever runs it."""

import asyncio
from typing import Any

import pytest

from proxy.core.eager_task import EagerTask
from proxy.core.latch import Latch


async def by_task(latch: Latch, timeout_s: float | None = None) -> bool:
    return await asyncio.create_task(latch.wait(timeout_s))


async def without_task(latch: Latch, timeout_s: float | None = None) -> bool:
    loop = asyncio.get_running_loop()
    end: asyncio.Future[Any] = loop.create_future()

    found: list[bool] = []

    async def work() -> None:
        found.append(await latch.wait(timeout_s))

    def ended(error: BaseException | None) -> None:
        end.set_exception(error) if error is not None else end.set_result(found[0])

    EagerTask(loop, ended).start(work())
    return bool(await end)


WAYS = pytest.mark.parametrize("wait", [by_task, without_task])


@WAYS
async def test_it_comes(wait: Any) -> None:
    latch = Latch()
    asyncio.get_running_loop().call_soon(latch.set)
    assert await wait(latch, 60.0)
    assert latch.has_come


@WAYS
async def test_it_came_before_the_wait(wait: Any) -> None:
    latch = Latch()
    latch.set()
    assert await wait(latch)


@WAYS
async def test_time_runs_out(wait: Any) -> None:
    latch = Latch()
    assert not await wait(latch, 0.0)
    assert (latch.is_open, latch.has_come) == (False, False)


@WAYS
async def test_only_the_first_end_counts(wait: Any) -> None:
    latch = Latch()
    latch.give_up()
    latch.set()
    assert not await wait(latch)


async def test_what_comes_as_the_wait_is_cancelled() -> None:
    """Whoever lets one in knows afterwards whether that was in vain."""
    latch = Latch()
    task = asyncio.create_task(latch.wait())
    await asyncio.sleep(0)
    latch.set()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert latch.has_come


async def test_a_wait_that_is_cancelled_ends() -> None:
    latch = Latch()
    task = asyncio.create_task(latch.wait())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    latch.set()
    assert (latch.is_open, latch.has_come) == (False, False)


async def test_no_timer_stays() -> None:
    """One that is not needed any more would hold the latch for its time."""
    loop = asyncio.get_running_loop()
    latch = Latch()
    loop.call_soon(latch.set)
    timers: list[asyncio.TimerHandle] = []
    plain = loop.call_later

    def noted(*args: Any) -> asyncio.TimerHandle:
        timers.append(plain(*args))
        return timers[-1]

    loop.call_later = noted  # type: ignore[assignment, method-assign]
    assert await latch.wait(3600.0)
    assert [timer.cancelled() for timer in timers] == [True]
