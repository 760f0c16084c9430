"""Turns for those who may go on only one after the other, so many a minute for each of them."""

_KEPT_MAX = 4096  # one is kept until its turn is over


class Pace:
    """The next free turn of each key; owned by one process, and forgotten with it."""

    def __init__(self) -> None:
        self._next_s: dict[object, float] = {}  # monotonic

    def take(self, key: object, a_minute: int, now_s: float, most_s: float) -> tuple[bool, float]:
        """Return whether a turn was taken, and how long it is to it, in seconds.

        None is taken that is further away than most_s; then it is how long until one could be.
        """
        turn_s = max(self._next_s.get(key, now_s), now_s)
        wait_s = turn_s - now_s
        if wait_s > most_s:
            return False, wait_s - most_s
        if len(self._next_s) >= _KEPT_MAX:
            self._next_s = {one: next_s for one, next_s in self._next_s.items() if next_s > now_s}
        self._next_s[key] = turn_s + 60 / a_minute
        return True, wait_s
