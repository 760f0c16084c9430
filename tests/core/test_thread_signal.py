"""A function is called in the event loop after any thread has asked for it, and never again once it is closed."""

import asyncio
import os
import threading

import pytest

from proxy.core.thread_signal import ThreadSignal
from tests.support.patience import eventually


@pytest.fixture(params=["as it is here", "a pipe"], autouse=True)
def _kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "a pipe":
        monkeypatch.delattr(os, "eventfd", raising=False)


async def test_every_thread_is_heard() -> None:
    loop, wanted, got, threads = asyncio.get_running_loop(), list(range(400)), list[int](), list[int]()
    waiting = list[int]()

    def take() -> None:
        threads.append(threading.get_ident())
        while waiting:
            got.append(waiting.pop())

    signal = ThreadSignal(loop, take)

    def send(numbers: list[int]) -> None:
        for number in numbers:
            waiting.append(number)
            signal.send()

    senders = [threading.Thread(target=send, args=(wanted[at::4],)) for at in range(4)]
    for sender in senders:
        sender.start()

    async def all_came() -> bool:
        return len(got) == len(wanted)

    await eventually(all_came)
    for sender in senders:
        await asyncio.to_thread(sender.join)
    signal.close()
    assert sorted(got) == wanted
    assert {*threads} == {threading.get_ident()}


async def test_more_signals_than_a_pipe_holds() -> None:
    """Nobody waits for the loop: what is full says enough."""
    calls = list[int]()
    signal = ThreadSignal(asyncio.get_running_loop(), lambda: calls.append(1))
    for _ in range(20_000):
        signal.send()
    await asyncio.sleep(0.05)
    signal.close()
    assert 1 <= len(calls) < 20_000


def test_a_closed_loop_is_told() -> None:
    loop = asyncio.new_event_loop()
    signal = ThreadSignal(loop, lambda: None)
    signal.close()
    loop.close()
    with pytest.raises(RuntimeError):
        signal.send()
