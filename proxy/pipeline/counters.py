"""Counts since the start, for /metrics: plain integers, so that counting costs a request next to nothing."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import MutableMapping, Sequence
from typing import Final

from proxy.pipeline.values.finished import RequestFinished, RequestRefused
from proxy.storage.rows import of_end, tokens_of

SECONDS: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
"""Upper bounds of the buckets of durations."""

_BOUNDS_MS = [int(bound * 1000) for bound in SECONDS]
_shown = of_end("status", "provider", "flags", "duration_ms", "ttft_ms")


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


class Counters:
    """A subscriber that counts.

    attempts by (provider, outcome); requests by status; refusals, which leave no row, by (status, code); durations, and
    the time to the first content, by provider.
    outcome is a word of the ledger's attempts; the words are ours, so that the numbers of labels are bounded.
    """

    __slots__ = (
        "attempts",
        "doubts",
        "durations",
        "first_tokens",
        "over_pusd",
        "over_requests",
        "refusals",
        "requests",
        "retries",
        "set_asides",
        "tokens",
    )

    def __init__(self) -> None:
        self.over_requests = 0  # that cost more than was reserved
        self.over_pusd = 0  # and by how much, in all
        self.doubts: MutableMapping[str, int] = defaultdict(int)  # rows by flag
        self.tokens: MutableMapping[str, int] = defaultdict(int)  # by class: a word of CLASSES
        self.requests: MutableMapping[int, int] = defaultdict(int)
        self.refusals: MutableMapping[tuple[int, str], int] = defaultdict(int)
        self.attempts: MutableMapping[tuple[str, str], int] = defaultdict(int)
        self.set_asides: MutableMapping[tuple[str, str, str], int] = defaultdict(int)  # provider, key, case
        self.retries: MutableMapping[str, int] = defaultdict(int)  # provider
        self.durations: MutableMapping[str, Durations] = defaultdict(Durations)  # provider
        self.first_tokens: MutableMapping[str, Durations] = defaultdict(Durations)  # provider

    def finished(self, event: RequestFinished) -> None:
        """Count a request that has a row: its status, its tokens by class, how long it took, and its flags."""
        end = event.end
        status, provider, flags, duration_ms, ttft_ms = _shown(end)
        self.requests[status] += 1
        tokens = self.tokens
        input_tokens, output_tokens, cached_tokens, reasoning_tokens, counts = tokens_of(end)
        if input_tokens is not None:
            tokens["input"] += input_tokens
        if output_tokens is not None:
            tokens["output"] += output_tokens
        if cached_tokens:
            tokens["cached"] += cached_tokens
        if reasoning_tokens:
            tokens["reasoning"] += reasoning_tokens
        if counts is not None:
            for name, count in counts._asdict().items():
                tokens[name.removesuffix("_tokens")] += count
        if flags is not None:
            for flag in flags.split():
                self.doubts[flag] += 1
        if provider is not None and 200 <= status < 300 and duration_ms is not None:
            self.durations[provider].add(duration_ms)
            if ttft_ms is not None:
                self.first_tokens[provider].add(ttft_ms)

    def refused(self, event: RequestRefused) -> None:
        """Count a request without a row; what a provider is to blame for is counted with the attempts."""
        if event.fault != "provider":
            self.refusals[event.status, event.code] += 1
