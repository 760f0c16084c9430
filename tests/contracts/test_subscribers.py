"""What every part that hears of requests keeps to, whichever it is; and what the publisher keeps to for any of them."""

import io
import threading
from collections.abc import Callable

import pytest

from proxy.cli.logs import Output
from proxy.core.batch_thread import BatchThread
from proxy.pipeline.access_log import AccessLog
from proxy.pipeline.counters import Counters
from proxy.pipeline.events import Publisher, Subscriber
from proxy.pipeline.values.finished import RequestFinished, RequestRefused
from tests.support.ended_request import END, OPEN

FINISHED = RequestFinished(OPEN, END)
REFUSED = RequestRefused(
    request_id="req_1",
    at_ms=1_000,
    user="anna",
    path="/v1/chat/completions",
    model="m",
    status=402,
    code="insufficient_quota",
    param=None,
    reason="It is spent.",
    fault="caller",
    duration_ms=1,
)


class Collector:
    """Keeps the events themselves, on a thread of its own."""

    def __init__(self) -> None:
        self.kept: list[RequestFinished | RequestRefused] = []
        self._thread: BatchThread[RequestFinished | RequestRefused] = BatchThread("collector", self._keep, 100_000)
        self.finished: Callable[[RequestFinished], None] = self._thread.put
        self.refused: Callable[[RequestRefused], None] = self._thread.put
        self.close = self._thread.close

    def _keep(self, events: list[RequestFinished | RequestRefused], _dropped: int) -> None:
        self.kept += events


def counted() -> tuple[Subscriber, Callable[[], int]]:
    counters = Counters()
    return counters, lambda: sum(counters.ended().requests.values()) + sum(counters.refusals.values())


def logged() -> tuple[Subscriber, Callable[[], int]]:
    stream = io.StringIO()
    log = AccessLog(Output(stream, "json"))

    def lines() -> int:
        log.close()
        return len(stream.getvalue().splitlines())

    return log, lines


def collected() -> tuple[Subscriber, Callable[[], int]]:
    collector = Collector()

    def kept() -> int:
        collector.close()
        return len(collector.kept)

    return collector, kept


@pytest.mark.parametrize("make", [counted, logged, collected])
def test_each_event_is_taken_up_once(make: Callable[[], tuple[Subscriber, Callable[[], int]]]) -> None:
    subscriber, taken_up = make()
    publisher = Publisher(subscriber)
    for n in range(500):
        publisher.finished(FINISHED._replace(end=END._replace(id=n)))
        publisher.refused(REFUSED)
    assert taken_up() == 1000
    assert publisher.failures == 0


@pytest.mark.parametrize("make", [counted, logged, collected])
def test_an_unwritten_or_bare_end_is_taken_up_as_well(
    make: Callable[[], tuple[Subscriber, Callable[[], int]]],
) -> None:
    subscriber, taken_up = make()
    publisher = Publisher(subscriber)
    bare = END._replace(provider=None, model=None, duration_ms=None, ttft_ms=None, flags=None, cost_pusd=None)
    publisher.finished(RequestFinished(OPEN, bare, is_written=False))
    publisher.refused(REFUSED._replace(user=None, model=None, reason=None))
    assert taken_up() == 2
    assert publisher.failures == 0


class Broken:
    def finished(self, _event: RequestFinished) -> None:
        raise RuntimeError("broken")

    def refused(self, _event: RequestRefused) -> None:
        raise RuntimeError("broken")


def test_one_that_fails_keeps_an_event_from_nobody_else(caplog: pytest.LogCaptureFixture) -> None:
    before, after = Counters(), Counters()
    publisher = Publisher(before, Broken(), after)
    publisher.finished(FINISHED)
    publisher.refused(REFUSED)
    assert sum(before.ended().requests.values()) == sum(after.ended().requests.values()) == 1
    assert sum(before.refusals.values()) == sum(after.refusals.values()) == 1
    assert publisher.failures == 2
    assert [record.getMessage() for record in caplog.records] == ["event.subscriber_failed"] * 2


def test_one_that_works_slowly_delays_nobody_and_is_bounded() -> None:
    goes_on, handled, dropped_in_all = threading.Event(), list[int](), list[int]()

    def work(items: list[int], dropped: int) -> None:
        assert goes_on.wait(30)
        handled.extend(items)
        dropped_in_all.append(dropped)

    thread: BatchThread[int] = BatchThread("slow", work, 10)
    for n in range(100):
        thread.put(n)  # returns at once, though nothing is handled
    goes_on.set()
    thread.close()
    assert len(handled) + sum(dropped_in_all) == 100
    assert sum(dropped_in_all) >= 80
    assert handled[0] == 0


def test_a_batch_that_fails_is_told_and_the_next_is_handled(caplog: pytest.LogCaptureFixture) -> None:
    handled: list[str] = []
    seen = threading.Event()

    def work(items: list[str], _dropped: int) -> None:
        if "bad" in items:
            seen.set()
            raise ValueError("bad")
        handled.extend(items)

    thread: BatchThread[str] = BatchThread("work", work, 10)
    thread.put("bad")
    assert seen.wait(30)
    thread.put("good")
    thread.close()
    assert handled == ["good"]
    assert "batch.failed" in [record.getMessage() for record in caplog.records]
