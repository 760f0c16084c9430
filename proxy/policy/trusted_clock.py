"""The clock that windows and ledger rows go by: the wall clock, as long as it can be trusted."""

from email.utils import parsedate_to_datetime

from proxy.core.clock import Clock
from proxy.policy.clock_guard import ClockGuard


class TrustedClock:
    """A Clock that does not follow a wall clock that leaps; see ClockGuard."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.monotonic_s = clock.monotonic_s
        self._guard = ClockGuard(clock.now_ms(), clock.monotonic_s())
        self._trusted_ms = self._guard.now_ms

    def now_ms(self) -> int:
        return self._trusted_ms(self._clock.now_ms(), self.monotonic_s())

    def hear_date(self, header: str | None) -> None:
        """Compare the wall clock with a provider's Date header; ignore one that cannot be parsed."""
        if header is None:
            return
        try:
            date_ms = int(parsedate_to_datetime(header).timestamp() * 1000)
        except (ValueError, OverflowError):
            return
        self._guard.confirm(date_ms, self._clock.now_ms(), self.monotonic_s())

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
