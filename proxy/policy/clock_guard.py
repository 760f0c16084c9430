"""Which time windows are chosen by when the wall clock cannot be trusted.

A wall clock that leaps ahead would open new windows, and with them new money. Time passed by the monotonic
clock is real: windows go on by it until somebody confirms the wall clock.
"""

STEP_MS = 30_000  # more than any slewing by NTP between two requests
OFF_MS = 120_000  # the Date header has whole seconds and travels; a clock further off than this is wrong


class ClockGuard:
    """Turn readings of wall and monotonic clock into the time that windows and ledger rows go by.

    stepped_ms is how far the wall clock stands from it, 0 while both agree; off_ms is what a provider's Date
    header last said against the wall clock, 0 while within two minutes. Either is a reason for an alarm.
    """

    def __init__(self, wall_ms: int, monotonic_s: float) -> None:
        self._anchor_ms = wall_ms
        self._anchor_s = monotonic_s
        self._held_ms: int | None = None
        self.stepped_ms = 0
        self.off_ms = 0

    def now_ms(self, wall_ms: int, monotonic_s: float) -> int:
        """Give the time to go by.

        While wall and monotonic clock agree that is the wall clock. After a step of more than 30 s, either
        way, it goes on by the monotonic clock. While the wall clock is off a provider's by more than two
        minutes it stands still, so that no new window opens.
        """
        if self._held_ms is not None:
            return self._held_ms
        expected_ms = self._anchor_ms + round((monotonic_s - self._anchor_s) * 1000)
        step_ms = wall_ms - expected_ms
        if -STEP_MS <= step_ms <= STEP_MS:
            self._anchor_ms = wall_ms
            self._anchor_s = monotonic_s
            self.stepped_ms = 0
            return wall_ms
        self.stepped_ms = step_ms
        return expected_ms

    def confirm(self, date_ms: int, wall_ms: int, monotonic_s: float) -> bool:
        """Hold the wall clock against a provider's Date header.

        Within two minutes the wall clock counts again, also after a step (a laptop that slept). Further off,
        time stands still until a later header agrees. Returns whether the wall clock is trusted.
        """
        off_ms = wall_ms - date_ms
        if -OFF_MS <= off_ms <= OFF_MS:
            self._anchor_ms, self._anchor_s = wall_ms, monotonic_s
            self._held_ms = None
            self.stepped_ms = self.off_ms = 0
            return True
        if self._held_ms is None:
            self._held_ms = self.now_ms(wall_ms, monotonic_s)
        self.off_ms = off_ms
        return False
