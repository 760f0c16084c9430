"""Counts since the start, for /metrics: plain integers, so that counting costs a request next to nothing."""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import MutableMapping, Sequence
from typing import Final

from proxy.pipeline.values.finished import RequestFinished, RequestRefused
from proxy.storage.rows import RequestEnd, of_end

SECONDS: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
"""Upper bounds of the buckets of durations."""

_BOUNDS_MS = [int(bound * 1000) for bound in SECONDS]
_ENDS_AT_ONCE = 128
_status, _counts, _flags = of_end("status"), of_end("counts"), of_end("flags")
_timing = of_end("status", "provider", "duration_ms", "ttft_ms")
_TOKENS = [(name, of_end(f"{name}_tokens")) for name in ("input", "output", "cached", "reasoning")]


class Durations:
    """How long something took: how often by bucket of SECONDS, the last for all above them; and the sum."""

    __slots__ = ("buckets", "sum_ms")

    def __init__(self) -> None:
        self.buckets = [0] * (len(SECONDS) + 1)
        self.sum_ms = 0

    def add(self, ms: int) -> None:
        self.buckets[bisect_left(_BOUNDS_MS, ms)] += 1
        self.sum_ms += ms

    def cumulative(self) -> Sequence[tuple[str, float]]:
        """Return each bound as text with how many were at most that long, as Prometheus wants them."""
        total, found = 0, []
        for bound, count in zip((*map(str, SECONDS), "+Inf"), self.buckets, strict=True):
            total += count
            found.append((bound, float(total)))
        return found


class EndCounts:
    """What ended requests came to: requests by status, tokens by class, rows by flag, and how long they took.

    durations, and first_tokens for the time to the first content, are by provider, of answers with 2xx.
    """

    __slots__ = ("doubts", "durations", "first_tokens", "requests", "tokens")

    def __init__(self) -> None:
        self.doubts: MutableMapping[str, int] = defaultdict(int)
        self.tokens: MutableMapping[str, int] = defaultdict(int)
        self.requests: MutableMapping[int, int] = defaultdict(int)
        self.durations: MutableMapping[str, Durations] = defaultdict(Durations)
        self.first_tokens: MutableMapping[str, Durations] = defaultdict(Durations)

    def add(self, ends: Sequence[RequestEnd]) -> None:
        """Count requests that have ended."""
        for status, number in Counter(map(_status, ends)).items():
            self.requests[status] += number
        for name, column in _TOKENS:
            self.tokens[name] += sum(filter(None, map(column, ends)))
        for counts in filter(None, map(_counts, ends)):
            for name, count in counts._asdict().items():
                self.tokens[name.removesuffix("_tokens")] += count
        for flags in filter(None, map(_flags, ends)):
            for flag in flags.split():
                self.doubts[flag] += 1
        for status, provider, duration_ms, ttft_ms in map(_timing, ends):
            if provider is not None and 200 <= status < 300 and duration_ms is not None:
                self.durations[provider].add(duration_ms)
                if ttft_ms is not None:
                    self.first_tokens[provider].add(ttft_ms)


class Counters:
    """A subscriber that counts. Ends are kept and counted many at once: for one alone that takes several times as long.

    attempts by (provider, outcome); refusals, which leave no row, by (status, code). outcome is a word of the ledger's
    attempts; the words are ours, so that the numbers of labels are bounded.
    """

    __slots__ = (
        "_counts",
        "_ends",
        "attempts",
        "over_pusd",
        "over_requests",
        "refusals",
        "retries",
        "set_asides",
    )

    def __init__(self) -> None:
        self._counts = EndCounts()
        self._ends: list[RequestEnd] = []
        self.over_requests = 0  # that cost more than was reserved
        self.over_pusd = 0  # and by how much, in all
        self.refusals: MutableMapping[tuple[int, str], int] = defaultdict(int)
        self.attempts: MutableMapping[tuple[str, str], int] = defaultdict(int)
        self.set_asides: MutableMapping[tuple[str, str, str], int] = defaultdict(int)  # provider, key, case
        self.retries: MutableMapping[str, int] = defaultdict(int)  # provider

    def finished(self, event: RequestFinished) -> None:
        """Count a request that has a row."""
        self._ends.append(event.end)
        if len(self._ends) >= _ENDS_AT_ONCE:
            self.ended()

    def ended(self) -> EndCounts:
        """Return the counts of all requests that have ended."""
        ends, self._ends = self._ends, []
        self._counts.add(ends)
        return self._counts

    def refused(self, event: RequestRefused) -> None:
        """Count a request without a row; what a provider is to blame for is counted with the attempts."""
        if event.fault != "provider":
            self.refusals[event.status, event.code] += 1
