"""A clock that tests move by hours and days, while everything that waits goes by real time."""

import time


class MovedClock:
    """Wall and monotonic time move together, as though the time had passed."""

    def __init__(self, start_ms: int) -> None:
        """Begin at a wall time, in milliseconds since 1970."""
        self._shift_ms = start_ms - time.time_ns() // 1_000_000
        self._passed_ms = 0

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000 + self._shift_ms

    def monotonic_s(self) -> float:
        return time.monotonic() + self._passed_ms / 1000

    def move_to(self, ms: int) -> None:
        """Let time pass until a wall time that is ahead."""
        passed_ms = ms - self.now_ms()
        assert passed_ms > 0, "time does not go back"
        self._shift_ms += passed_ms
        self._passed_ms += passed_ms
