"""What requests came to lately: right, and bounded however many there are."""

import sys

from proxy.pipeline.counters import Counters
from proxy.pipeline.recent_requests import RecentRequests
from proxy.pipeline.values.finished import RequestFinished, RequestRefused
from tests.support.ended_request import END, OPEN

NOW_MS = END.finished_ms
MINUTE_MS = 60_000


class Clock:
    now_ms_ = NOW_MS

    def now_ms(self) -> int:
        return self.now_ms_


class Heard:
    """Requests as the proxy has them: ends come by way of the counters, refusals by themselves."""

    def __init__(self, clock: Clock | None = None) -> None:
        counters = Counters()
        self.recent = RecentRequests((clock or Clock()).now_ms, counters.ended)
        counters.listener = self.recent.count
        self.finished, self.refused, self.within = counters.finished, self.recent.refused, self.recent.within


def event(**changes: object) -> RequestFinished:
    return RequestFinished(OPEN, END._replace(**changes))  # type: ignore[arg-type]


def refused(status: int) -> RequestRefused:
    return RequestRefused("req_1", NOW_MS, "anna", "/v1", "m", status, "x", None, None, "ours", 1)


def test_requests_are_counted_by_provider_and_all_together() -> None:
    recent = Heard()
    recent.finished(event(attempts=1))
    recent.finished(event(status=502, provider="plain"))
    recent.refused(refused(503))
    recent.refused(refused(402))  # the caller's own
    sums = recent.within(MINUTE_MS)
    assert {name: found[:3] for name, found in sums.items()} == {
        "all": (3, 2, 1), "openrouter": (1, 0, 0), "plain": (1, 1, 1),
    }  # fmt: skip
    assert sum(sums["all"].durations.values()) == 1
    assert recent.within(MINUTE_MS) == sums, "each is counted once"


def test_only_the_span_counts() -> None:
    clock = Clock()
    recent = Heard(clock)
    recent.finished(event(finished_ms=NOW_MS - 30 * MINUTE_MS))
    recent.finished(event(duration_ms=None))
    assert recent.within(5 * MINUTE_MS)["all"].requests == 1
    assert recent.within(60 * MINUTE_MS)["all"].requests == 2
    clock.now_ms_ += 61 * MINUTE_MS
    assert recent.within(60 * MINUTE_MS) == {}


def test_memory_is_bounded_by_time_and_providers_not_by_requests() -> None:
    recent = Heard()
    for _ in range(1000):
        recent.finished(event())
    slices = sum(len(found) for found in recent.recent._slices.values())
    before = sys.getallocatedblocks()
    for number in range(20_000):
        recent.finished(event(duration_ms=number % 1000))
    assert sum(len(found) for found in recent.recent._slices.values()) == slices == 1
    assert sys.getallocatedblocks() - before < 2000
    for hour in range(3):
        for ten_s in range(360):
            recent.finished(event(finished_ms=NOW_MS - hour * 3_600_000 - ten_s * 10_000))
    recent.within(MINUTE_MS)
    assert len(recent.recent._slices) <= 362
