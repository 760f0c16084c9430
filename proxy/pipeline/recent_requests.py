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
        self._slices: dict[int, MutableMapping[str, _Slice]] = {}

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
            for name, one in slices.items():
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
        for finished_ms, provider, status, attempts, duration_ms in ends:
            slices = self._slice_at(finished_ms // SLICE_MS)
            bucket = duration_bucket(duration_ms) if duration_ms is not None and 200 <= status < 300 else None
            for name in (ALL,) if provider is None else (ALL, provider):
                one = slices[name]
                one.requests += 1
                one.failed += status >= 500
                one.retried += attempts > 1
                if bucket is not None:
                    one.durations[bucket] += 1
        self._forget()

    def _slice_at(self, number: int) -> MutableMapping[str, _Slice]:
        found = self._slices.get(number)
        if found is None:
            found = self._slices[number] = defaultdict(_Slice)
        return found

    def _forget(self) -> None:
        """Drop what is older than the hour, and what a clock that stepped left ahead of it."""
        newest = self._now_ms() // SLICE_MS
        if len(self._slices) > _SLICES:
            self._slices = {n: one for n, one in self._slices.items() if newest - _SLICES < n <= newest + 1}
