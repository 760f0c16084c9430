"""Time as a part that is handed in, so that tests can move it."""

import time
from datetime import UTC, datetime
from typing import Protocol


def iso_utc(ms: int) -> str:
    """Write milliseconds since 1970 as ISO 8601 in UTC to the second: 2026-11-21T00:00:00Z."""
    return datetime.fromtimestamp(ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Clock(Protocol):
    def now_ms(self) -> int:
        """Return wall time in milliseconds since 1970, UTC."""
        ...

    def monotonic_s(self) -> float:
        """Return seconds of a clock that never steps back; for durations only."""
        ...


class SystemClock:
    monotonic_s = staticmethod(time.monotonic)  # called ten times a request, so there is no wrapper of our own

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000
