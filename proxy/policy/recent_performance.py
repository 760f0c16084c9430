"""How a target performed lately: latency and error rate, the last attempts counting most."""

from proxy.policy.witnesses import Witnesses

_WEIGHT = 0.1  # of the newest attempt: after 22 others it counts for a tenth of that


class RecentPerformance:
    """A moving average over the attempts of one target. latency_ms is the time to the first content.

    witnesses: who was served by it, for a breaker that is made with its first failure.
    """

    __slots__ = ("attempts", "error_rate", "latency_ms", "witnesses")

    def __init__(self) -> None:
        self.attempts = 0
        self.error_rate: float | None = None  # None: nothing is known
        self.latency_ms: float | None = None
        self.witnesses = Witnesses()

    def answered(self, latency_ms: float | None, user: str, now_s: float) -> None:
        """Count an attempt that gave content, and to whom; as note() and served() do, in one call of each request."""
        self.attempts += 1
        witnesses = self.witnesses
        if user == witnesses.last_served:
            witnesses.last_served_s = now_s
        else:
            witnesses.served(user, now_s)
        rate, latency = self.error_rate, self.latency_ms
        if rate != 0.0:
            self.error_rate = 0.0 if rate is None else rate - _WEIGHT * rate
        if latency_ms is not None:
            self.latency_ms = latency_ms if latency is None else latency + _WEIGHT * (latency_ms - latency)

    def note(self, failed: bool, latency_ms: float | None) -> None:
        """Count one attempt; latency_ms None where no content came."""
        self.attempts += 1
        error, rate, latency = 1.0 if failed else 0.0, self.error_rate, self.latency_ms
        self.error_rate = error if rate is None else rate + _WEIGHT * (error - rate)
        if latency_ms is not None:
            self.latency_ms = latency_ms if latency is None else latency + _WEIGHT * (latency_ms - latency)
