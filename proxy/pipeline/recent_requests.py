"""What requests came to within the last hour, for alerts: how many failed, were tried again, and how long they took.

Ends come as the counters have them, many at once, and are counted without a step of Python's for each: a request pays
next to nothing. What is kept is bounded by the hour and by the providers of the configuration, however many there are.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, MutableMapping, Sequence
from itertools import compress
from typing import Final, NamedTuple

from proxy.pipeline.values.finished import RequestRefused
from proxy.policy.alerts.measures import duration_bucket
from proxy.storage.rows import RequestEnd, of_end

ALL: Final = "all"
SLICE_MS: Final = 10_000
_SLICES: Final = 360 + 1
_finished_ms: Callable[[RequestEnd], int] = of_end("finished_ms")
_place: Callable[[RequestEnd], tuple[str | None, int, int]] = of_end("provider", "status", "attempts")
_duration_ms: Callable[[RequestEnd], int | None] = of_end("duration_ms")


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
    """Hears of ends from the counters, and of refusals itself. Times are epoch ms of the clock that rows go by."""

    def __init__(self, now_ms: Callable[[], int], flush: Callable[[], object]) -> None:
        """Keep the parts; flush has the counters hand over what they have not counted yet."""
        self._now_ms = now_ms
        self._flush = flush
        self._slices: dict[int, MutableMapping[str | None, _Slice]] = {}  # by provider; None: none was asked

    def count(self, ends: Sequence[RequestEnd]) -> None:
        """Count requests that have rows. Those of a slice are counted together, and mostly all are."""
        numbers = {finished_ms // SLICE_MS for finished_ms in (_finished_ms(ends[0]), _finished_ms(ends[-1]))}
        if len(numbers) == 1:
            self._count_slice(numbers.pop(), ends)
            return
        by_number: defaultdict[int, list[RequestEnd]] = defaultdict(list)
        for end in ends:
            by_number[_finished_ms(end) // SLICE_MS].append(end)
        for number, some in by_number.items():
            self._count_slice(number, some)

    def refused(self, event: RequestRefused) -> None:
        """Count a request that failed before anything was booked; what the caller is to blame for is none."""
        if event.status >= 500:
            one = self._slice_at(event.at_ms // SLICE_MS, None)
            one.requests += 1
            one.failed += 1

    def within(self, span_ms: int) -> dict[str, RequestSums]:
        """Return the sums of the last span_ms by provider, and of all together as ``all``; by slices of ten seconds."""
        self._flush()
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

    def _count_slice(self, number: int, ends: Sequence[RequestEnd]) -> None:
        places = Counter(map(_place, ends))
        answered: set[str | None] = set()
        for (provider, status, attempts), count in places.items():
            one = self._slice_at(number, provider)
            one.requests += count
            if attempts > 1:
                one.retried += count
            if status >= 500:
                one.failed += count
            elif status < 300:
                answered.add(provider)
        for provider in answered:
            timed: Iterable[RequestEnd] = ends
            if len(places) > 1:
                are_its = [found == provider and status < 300 for found, status, _ in map(_place, ends)]
                timed = compress(ends, are_its)
            durations = self._slice_at(number, provider).durations
            measured = [duration_ms for duration_ms in map(_duration_ms, timed) if duration_ms is not None]
            for bucket, count in Counter(map(duration_bucket, measured)).items():
                durations[bucket] += count
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
