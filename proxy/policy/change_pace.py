"""How often somebody may change something whose change costs everybody: some at once, then one each few seconds. Pure.

A bucket of changes for each name fills with time. Names come from callers: beyond so many the one that was idle longest
is forgotten, which gives it a full bucket again.
"""

from typing import Final

BURST: Final = 10
EVERY_S: Final = 6.0
_NAMES_MAX: Final = 1000


class ChangePace:
    """The buckets, by name."""

    def __init__(self) -> None:
        self._full_at_s: dict[str, float] = {}  # when each bucket is full again, in the order of the last change

    def wait_s(self, name: str, now_s: float) -> float:
        """Count a change that is about to be made; return for how long it has to wait instead, or 0."""
        full_at_s = max(self._full_at_s.get(name, now_s), now_s)
        over_s = full_at_s + EVERY_S - now_s - BURST * EVERY_S
        if over_s > 0:
            return over_s
        self._full_at_s.pop(name, None)
        self._full_at_s[name] = full_at_s + EVERY_S
        if len(self._full_at_s) > _NAMES_MAX:
            del self._full_at_s[next(iter(self._full_at_s))]
        return 0.0
