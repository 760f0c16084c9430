"""How a target performed lately: latency and error rate, the last attempts counting most."""

from proxy.policy.witnesses import Witnesses

WEIGHT = 0.1  # of the newest attempt: after 22 others it counts for a tenth of that


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

    def note(self, failed: bool, latency_ms: float | None) -> None:
        """Count one attempt; latency_ms None where no content came."""
        self.attempts += 1
        error, rate, latency = 1.0 if failed else 0.0, self.error_rate, self.latency_ms
        self.error_rate = error if rate is None else rate + WEIGHT * (error - rate)
        if latency_ms is not None:
            self.latency_ms = latency_ms if latency is None else latency + WEIGHT * (latency_ms - latency)
