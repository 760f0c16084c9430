"""What requests came to within the last hour, for alerts: how many failed, were tried again, and how long they took.

An event costs a place in a list; many are counted at once. What is kept is bounded by the hour and by the providers of
the configuration, whatever the number of requests.
"""

from collections import defaultdict
from collections.abc import Callable, MutableMapping
from typing import Final, NamedTuple

from proxy.pipeline.values.finished import RequestFinished, RequestRefused
from proxy.policy.alerts.measures import duration_bucket
from proxy.storage.rows import of_end

ALL: Final = "all"
SLICE_MS: Final = 10_000
_SLICES: Final = 360 + 1
_ENDS_AT_ONCE: Final = 256
_read = of_end("finished_ms", "provider", "status", "attempts", "duration_ms")


class RequestSums(NamedTuple):
    """Requests of a span: all, those that failed (500 and above), those with more than one attempt, and durations.

    durations: of answers with 2xx, how many by bucket of policy/alerts/measures.py.
    """

    requests: int
    failed: int
    retried: int
    durations: MutableMapping[int, int]


class _Slice:
    __slots__ = ("durations", "failed", "requests", "retried")

    def __init__(self) -> None:
        self.requests = self.failed = self.retried = 0
        self.durations: MutableMapping[int, int] = defaultdict(int)


class RecentRequests:
    """A subscriber. Times are epoch ms of the clock that rows go by."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._ends: list[tuple[int, str | None, int, int, int | None]] = []
        self._slices: dict[int, MutableMapping[str | None, _Slice]] = {}  # by provider; None: none was asked

    def finished(self, event: RequestFinished) -> None:
        """Count a request that has a row."""
        self._ends.append(_read(event.end))
        if len(self._ends) >= _ENDS_AT_ONCE:
            self._count()

    def refused(self, event: RequestRefused) -> None:
        """Count a request that failed before anything was booked; what the caller is to blame for is none."""
        if event.status >= 500:
            self._ends.append((event.at_ms, None, event.status, 0, None))
            if len(self._ends) >= _ENDS_AT_ONCE:
                self._count()

    def within(self, span_ms: int) -> dict[str, RequestSums]:
        """Return the sums of the last span_ms by provider, and of all together as ``all``; by slices of ten seconds."""
        self._count()
        newest = self._now_ms() // SLICE_MS
        first = newest - max(1, span_ms // SLICE_MS)
        found: dict[str, RequestSums] = {}
        for number, slices in self._slices.items():
            if not first <= number <= newest:
                continue
            for provider, one in slices.items():
                for name in (ALL,) if provider is None else (ALL, provider):
                    before = found.get(name) or RequestSums(0, 0, 0, defaultdict(int))
                    for bucket, count in one.durations.items():
                        before.durations[bucket] += count
                    found[name] = RequestSums(
                        before.requests + one.requests,
                        before.failed + one.failed,
                        before.retried + one.retried,
                        before.durations,
                    )
        return found

    def _count(self) -> None:
        ends, self._ends = self._ends, []
        last: tuple[int, str | None] | None = None
        one = _Slice()
        for finished_ms, provider, status, attempts, duration_ms in ends:
            place = finished_ms // SLICE_MS, provider
            if place != last:  # nearly all that are counted together are of one slice
                one, last = self._slice_at(*place), place
            one.requests += 1
            if attempts > 1:
                one.retried += 1
            if status >= 500:
                one.failed += 1
            elif duration_ms is not None and status < 300:
                one.durations[duration_bucket(duration_ms)] += 1
        self._forget()

    def _slice_at(self, number: int, provider: str | None) -> _Slice:
        slices = self._slices.get(number)
        if slices is None:
            slices = self._slices[number] = defaultdict(_Slice)
        return slices[provider]

    def _forget(self) -> None:
        """Drop what is older than the hour, and what a clock that stepped left ahead of it."""
        newest = self._now_ms() // SLICE_MS
        if len(self._slices) > _SLICES:
            self._slices = {n: one for n, one in self._slices.items() if newest - _SLICES < n <= newest + 1}
