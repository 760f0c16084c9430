"""Time as a part that is handed in, so that tests can move it, and a wall clock that nobody need trust.

A wall clock that leaps ahead would open new windows, and with them new money. Time on the monotonic clock is real:
windows follow it until the wall clock is confirmed.
"""

from datetime import UTC, datetime
from time import monotonic, time_ns
from typing import Protocol

from proxy.core.http_date import read_http_date

STEP_MS = 30_000  # how far the wall clock may be from where it is expected
OFF_MS = 120_000  # the Date header has whole seconds and travels; a clock further off than this is wrong
_SAME_MS = 2.0  # readings of whole milliseconds differ by this much
_SAME_LEAST_MS = -_SAME_MS
_FOLLOW_MAX_S = 10.0  # a longer gap is not caught up with: hours of agreement excuse no step
_HEADER_MS = 1000  # a Date header is cut to the second
_FOLLOW_MS = 10.0  # in a second: so fast a wall clock that is slewed is followed; more is a step, in parts or not


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
    monotonic_s = staticmethod(monotonic)  # called ten times a request, so there is no wrapper of our own

    def now_ms(self) -> int:
        return time_ns() // 1_000_000


class ClockGuard:
    """Turn readings of wall and monotonic clock into the time that windows and ledger rows go by.

    stepped_ms is how far the wall clock stands from it, 0 while both agree; off_ms is what a provider's Date
    header last said against the wall clock, 0 while within two minutes. Either is a reason for an alarm.
    """

    def __init__(self, wall_ms: int, monotonic_s: float) -> None:
        self._anchor_ms = wall_ms  # the last wall time that was trusted
        self._anchor_s = monotonic_s
        # how far ahead of the monotonic clock the wall clock is expected, and since when: it follows steps slowly
        self._ahead_ms = wall_ms - monotonic_s * 1000.0
        self._ahead_s = monotonic_s
        self._agrees = True  # nothing is held, and nothing has stepped
        self._held_ms: int | None = None
        self.stepped_ms = 0
        self.off_ms = 0

    def now_ms(self, wall_ms: int, monotonic_s: float) -> int:
        """Return the trusted time.

        While wall and monotonic clock agree that is the wall clock. After steps of more than 30 s together, either
        way, it goes on by the monotonic clock; what steps of the past come to is forgotten by 10 ms a second. While
        the wall clock is off a provider's by more than two minutes it stands still, so that no new window opens.
        """
        away_ms = wall_ms - monotonic_s * 1000.0 - self._ahead_ms
        if self._agrees and away_ms <= _SAME_MS and away_ms >= _SAME_LEAST_MS:  # nearly always; a chain takes longer
            self._anchor_ms = wall_ms
            self._anchor_s = monotonic_s
            return wall_ms
        return self._examined_ms(wall_ms, monotonic_s, away_ms)

    def _examined_ms(self, wall_ms: int, monotonic_s: float, away_ms: float) -> int:
        """Return the trusted time where the clocks do not agree, or did not; away_ms: by how much, rightly signed."""
        if self._held_ms is not None:
            return self._held_ms
        anchored_ms = (monotonic_s - self._anchor_s) * 1000.0
        stepped_ms = wall_ms - self._anchor_ms - anchored_ms
        if -STEP_MS <= away_ms <= STEP_MS and -STEP_MS <= stepped_ms <= STEP_MS:
            self._follow(away_ms, monotonic_s)
            self._anchor_ms = wall_ms
            self._anchor_s = monotonic_s
            if not self._agrees:
                self._set_stepped(0)
            return wall_ms
        expected_ms = self._anchor_ms + round(anchored_ms)
        self._set_stepped(wall_ms - expected_ms)
        return expected_ms

    def _follow(self, away_ms: float, monotonic_s: float) -> None:
        """Expect the wall clock nearer to where it is; by comparisons, as a slewed clock brings each request here."""
        gap_s = monotonic_s - self._ahead_s
        follow_ms = (min(_FOLLOW_MAX_S, gap_s)) * _FOLLOW_MS
        if away_ms > follow_ms:
            away_ms = follow_ms
        elif away_ms < -follow_ms:
            away_ms = -follow_ms
        self._ahead_ms += away_ms
        self._ahead_s = monotonic_s

    def _set_stepped(self, stepped_ms: int) -> None:
        self.stepped_ms = stepped_ms
        self._agrees = not stepped_ms and self._held_ms is None

    def confirm(self, date_ms: int, wall_ms: int, monotonic_s: float) -> bool:
        """Compare the wall clock with a provider's Date header.

        Within two minutes the wall clock counts again, also after a step (a laptop that slept), unless the time that is
        gone by agrees with the header better: then the step made it worse. Further off, time stands still until a later
        header agrees. Returns whether the wall clock is trusted.
        """
        off_ms = wall_ms - date_ms
        if not -OFF_MS <= off_ms <= OFF_MS:
            if self._held_ms is None:
                self._held_ms = self.now_ms(wall_ms, monotonic_s)
                self._agrees = False
            self.off_ms = off_ms
            return False
        was_held, self._held_ms = self._held_ms is not None, None
        self.off_ms = 0
        now_ms = self.now_ms(wall_ms, monotonic_s)
        if not was_held and self.stepped_ms and abs(now_ms - date_ms) <= abs(off_ms) + _HEADER_MS:
            return False
        self._anchor_ms, self._anchor_s = wall_ms, monotonic_s
        if self.stepped_ms or was_held:  # a small difference is kept: a header is too coarse to excuse it
            self._ahead_ms, self._ahead_s = wall_ms - monotonic_s * 1000.0, monotonic_s
        self._set_stepped(0)
        return True


class TrustedClock:
    """The clock that windows and ledger rows go by: the wall clock, as long as it can be trusted; see ClockGuard."""

    def __init__(self, clock: Clock) -> None:
        self._wall_ms = clock.now_ms
        self.monotonic_s = clock.monotonic_s
        self._guard = ClockGuard(clock.now_ms(), clock.monotonic_s())
        self._trusted_ms = self._guard.now_ms

    def now_ms(self) -> int:
        # named first: a function that an object holds is found more slowly where it is called than where it is read
        trusted_ms, wall_ms, monotonic_s = self._trusted_ms, self._wall_ms, self.monotonic_s
        return trusted_ms(wall_ms(), monotonic_s())

    def hear_date(self, header: str | None) -> None:
        """Compare the wall clock with a provider's Date header; ignore one that cannot be parsed."""
        if header is None:
            return
        try:
            date_ms = int(read_http_date(header).timestamp() * 1000)
        except (ValueError, OverflowError):
            return
        self._guard.confirm(date_ms, self._wall_ms(), self.monotonic_s())

    @property
    def problem(self) -> str | None:
        """Return what is wrong with this machine's clock; None while nothing is."""
        if self._guard.off_ms:
            side = "ahead of" if self._guard.off_ms > 0 else "behind"
            return f"this machine's clock is {abs(self._guard.off_ms) // 1000} s {side} the provider's; fix NTP"
        if self._guard.stepped_ms:
            return (
                f"this machine's clock stepped by {self._guard.stepped_ms // 1000} s; budgets go on by the time that"
                " passed until a provider's Date header agrees with it"
            )
        return None
