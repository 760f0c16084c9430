"""What requests came to lately: right, and bounded however many there are."""

import sys

from proxy.pipeline.recent_requests import RecentRequests
from proxy.pipeline.values.finished import RequestFinished, RequestRefused
from tests.support.ended_request import END, OPEN

NOW_MS = END.finished_ms
MINUTE_MS = 60_000


class Clock:
    now_ms_ = NOW_MS

    def now_ms(self) -> int:
        return self.now_ms_


def event(**changes: object) -> RequestFinished:
    return RequestFinished(OPEN, END._replace(**changes))  # type: ignore[arg-type]


def refused(status: int) -> RequestRefused:
    return RequestRefused("req_1", NOW_MS, "anna", "/v1", "m", status, "x", None, None, "ours", 1)


def test_requests_are_counted_by_provider_and_all_together() -> None:
    recent = RecentRequests(Clock().now_ms)
    recent.finished(event(attempts=1))
    recent.finished(event(status=502, provider="plain"))
    recent.refused(refused(503))
    recent.refused(refused(402))  # the caller's own
    sums = recent.within(MINUTE_MS)
    assert {name: found[:3] for name, found in sums.items()} == {
        "all": (3, 2, 1), "openrouter": (1, 0, 0), "plain": (1, 1, 1),
    }  # fmt: skip
    assert sum(sums["all"].durations.values()) == 1


def test_only_the_span_counts() -> None:
    clock = Clock()
    recent = RecentRequests(clock.now_ms)
    recent.finished(event(finished_ms=NOW_MS - 30 * MINUTE_MS))
    recent.finished(event())
    assert recent.within(5 * MINUTE_MS)["all"].requests == 1
    assert recent.within(60 * MINUTE_MS)["all"].requests == 2
    clock.now_ms_ += 61 * MINUTE_MS
    assert recent.within(60 * MINUTE_MS) == {}


def test_memory_is_bounded_by_time_and_providers_not_by_requests() -> None:
    recent = RecentRequests(Clock().now_ms)
    for _ in range(1000):
        recent.finished(event())
    slices = sum(len(found) for found in recent._slices.values())
    before = sys.getallocatedblocks()
    for number in range(20_000):
        recent.finished(event(duration_ms=number % 1000))
    assert sum(len(found) for found in recent._slices.values()) == slices == 1
    assert len(recent._ends) < 256
    assert sys.getallocatedblocks() - before < 2000
    for hour in range(3):
        for ten_s in range(360):
            recent.finished(event(finished_ms=NOW_MS - hour * 3_600_000 - ten_s * 10_000))
    recent.within(MINUTE_MS)
    assert len(recent._slices) <= 362
