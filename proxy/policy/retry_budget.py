"""How many retries a provider gets, so that they do not multiply an outage. Pure: time is passed in."""

from proxy.policy.rolling_count import RollingCount

FLOOR = 3
"""Retries that are always allowed in a window: a share of few requests would be none."""

_WINDOW_S = 60.0


class RetryBudget:
    """Retries of the last minute are at most a share of the first tries of that minute, plus FLOOR."""

    __slots__ = ("_percent", "tries")

    def __init__(self, percent: float) -> None:
        self._percent = percent
        self.tries = RollingCount(
            _WINDOW_S
        )  # all: tries of both kinds, the first ones by who makes them; marked: retries

    def take(self, now_s: float) -> bool:
        """Spend one retry of the budget; False: none is left, do not retry."""
        tries = self.tries
        tries.move(now_s)
        if (tries.marked + 1 - FLOOR) * 100 > (tries.all - tries.marked) * self._percent:
            return False
        tries.add(now_s, marked=True)
        return True

    def left(self, now_s: float) -> int:
        """Return the retries that are left now, for display."""
        tries = self.tries
        tries.move(now_s)
        return max(0, int((tries.all - tries.marked) * self._percent / 100) + FLOOR - tries.marked)
