"""Long work on the event loop lets others run, and short work does not stop for it."""

import asyncio
import time

from proxy.core.loop_turn import LoopTurn


async def test_long_work_lets_others_run_and_short_work_goes_on() -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.ensure_future(count())
    turn = LoopTurn()
    for _ in range(5):
        time.sleep(0.0006)  # noqa: ASYNC251 - the work that holds the loop
        before = turns
        await turn.rest()
        assert turns > before
    long_ago = LoopTurn()
    long_ago._since_s += 3600  # as if it had begun just now, however slow this machine is
    before = turns
    for _ in range(1000):
        await long_ago.rest()
    assert turns == before
    counting.cancel()
