"""A waiter is as good as a future to all of asyncio, and resumes a stepper at once."""

import asyncio
from typing import Any

import pytest

from proxy.core.eager_task import EagerTask, InlineFuture


def _waiter() -> InlineFuture[int]:
    return InlineFuture(asyncio.get_running_loop())


async def _wait(waiter: InlineFuture[int]) -> int:
    await waiter
    return waiter.result()


async def test_gather_shield_and_wait() -> None:
    first, second, third = _waiter(), _waiter(), _waiter()
    asyncio.get_running_loop().call_soon(first.set_result, 1)
    asyncio.get_running_loop().call_soon(second.set_result, 2)
    asyncio.get_running_loop().call_soon(third.set_result, 3)
    assert list(await asyncio.gather(first, asyncio.shield(second))) == [1, 2]
    await asyncio.wait_for(third, 5)
    assert third.result() == 3
    assert list(await asyncio.gather(first, third)) == [1, 3]


async def test_an_error() -> None:
    waiter = _waiter()
    asyncio.get_running_loop().call_soon(waiter.set_exception, KeyError("k"))
    with pytest.raises(KeyError):
        await asyncio.gather(waiter)
    with pytest.raises(KeyError):
        await waiter


async def test_a_time_out_cancels() -> None:
    waiter = _waiter()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(waiter, 0.01)
    assert waiter.cancelled()


async def test_a_cancelled_task() -> None:
    waiter = _waiter()
    task = asyncio.create_task(_wait(waiter))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert waiter.done()


async def test_twice() -> None:
    waiter = _waiter()
    waiter.set_result(1)
    assert not waiter.cancel()
    with pytest.raises(asyncio.InvalidStateError):
        waiter.set_result(2)


async def test_a_stepper_goes_on_at_once() -> None:
    ends: list[Any] = []
    found: list[int] = []
    waiter = _waiter()

    async def work() -> None:
        await waiter
        await asyncio.sleep(0)
        await asyncio.sleep(0.001)
        found.append(waiter.result())

    async def work_once(waiter: InlineFuture[int]) -> None:
        found.append(await _wait(waiter))

    stepper = EagerTask(asyncio.get_running_loop(), ends.append)
    stepper.start(work())
    waiter.set_result(7)
    await asyncio.sleep(0.1)
    assert (found, ends) == ([7], [None])

    other = _waiter()
    stepper.start(work_once(other))
    other.set_result(8)
    assert (found, ends) == ([7, 8], [None, None])


async def test_a_stepper_hands_on_what_is_raised_and_what_is_caught() -> None:
    ends: list[Any] = []
    stepper = EagerTask(asyncio.get_running_loop(), ends.append)

    async def work(waiter: InlineFuture[int], *, catches: bool) -> None:
        try:
            await waiter
        except KeyError:
            if not catches:
                raise

    for catches in (True, False):
        waiter = _waiter()
        stepper.start(work(waiter, catches=catches))
        waiter.set_exception(KeyError("k"))
    assert ends[0] is None
    assert isinstance(ends[1], KeyError)


async def test_a_stepper_is_cancelled() -> None:
    ends: list[Any] = []

    async def work() -> None:
        await _waiter()

    stepper = EagerTask(asyncio.get_running_loop(), ends.append)
    stepper.start(work())
    stepper.cancel()
    assert isinstance(ends.pop(), asyncio.CancelledError)


async def test_a_wait_for_several_can_be_given_up() -> None:
    """asyncio.gather() asks each for its error of cancellation, by a name that futures have."""
    waiters: list[InlineFuture[int]] = [InlineFuture(asyncio.get_running_loop()) for _ in range(2)]
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.gather(*waiters), 0.01)
    assert all(waiter.cancelled() for waiter in waiters)
