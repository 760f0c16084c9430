"""Time as a part that is handed in, so that tests can move it."""

import time
from typing import Protocol


class Clock(Protocol):
    def now_ms(self) -> int:
        """Give wall time: milliseconds since 1970 in UTC."""
        ...

    def monotonic_s(self) -> float:
        """Give seconds that never step back; for durations only."""
        ...


class SystemClock:
    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic_s(self) -> float:
        return time.monotonic()
