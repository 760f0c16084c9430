"""Whoever waits for the disk is let go in time and not before, and what was written is let be."""

import asyncio

import pytest

from proxy.core.eager_task import InlineFuture
from proxy.pipeline.settlement.write_timeout import WriteTimeout


def expect(patience: WriteTimeout, written: InlineFuture[None], wait_s: float, request_id: str) -> None:
    """Wait as the end of a request does."""
    if not patience.is_timed:
        patience.look_later(written.loop)
    patience.longest_s = wait_s
    patience.waiting[written] = request_id


async def test_only_what_is_not_written_is_let_go(caplog: pytest.LogCaptureFixture) -> None:
    loop, patience = asyncio.get_running_loop(), WriteTimeout()
    written, slow, slower = (InlineFuture[None](loop) for _ in range(3))
    begun_s = loop.time()
    expect(patience, written, 0.02, "req_written")
    expect(patience, slow, 0.02, "req_slow")
    written.set_result(None)
    await slow
    assert loop.time() - begun_s >= 0.02
    begun_s = loop.time()
    expect(patience, slower, 0.3, "req_slower")
    await slower
    assert loop.time() - begun_s >= 0.3
    assert [record.request_id for record in caplog.records] == ["req_slow", "req_slower"]  # type: ignore[attr-defined]


async def test_those_that_come_later_are_let_go_too() -> None:
    loop, patience = asyncio.get_running_loop(), WriteTimeout()
    for _ in range(2):  # the timer has ended in between
        late = InlineFuture[None](loop)
        expect(patience, late, 0.01, "req_late")
        await late
        await asyncio.sleep(0.25)
