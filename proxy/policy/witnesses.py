"""Who met the failures of a provider or a model, and who was served by it. Pure: time is passed in.

A breaker shuts out everybody, so that it must not open for what only one request meets: a picture that a server breaks
on, a prompt that it never answers. So the same request of the same user is heard once, and what one user alone meets
says nothing while another user is served.
"""

from typing import Final

from msgspec import Struct

HEARD_S: Final = 600.0
"""For how long a failure is remembered: one that times out takes minutes to be met a second time."""

_MOST: Final = 200  # failures that are kept apart


class Witness(Struct, frozen=True):
    """Whose request failed, and a number that identifies its body."""

    user: str
    body: int


class Witnesses:
    """Those of one breaker. Times are of a clock that never runs backwards, in seconds."""

    __slots__ = ("_before", "_before_s", "_failed_s", "_unmet_s", "last_served", "last_served_s")

    def __init__(self) -> None:
        self._failed_s: dict[Witness, float] = {}
        self._unmet_s: float | None = None  # the last failure for which no request can be blamed
        self.last_served: str | None = (
            None  # the last user who was served, and when: for those who see it of each request
        )
        self.last_served_s = 0.0
        self._before: str | None = None  # the last one other than that
        self._before_s = 0.0

    def served(self, user: str, now_s: float) -> None:
        if user != self.last_served:
            self._before, self._before_s = self.last_served, self.last_served_s
            self.last_served = user
        self.last_served_s = now_s

    def failed(self, witness: Witness | None, now_s: float) -> bool:
        """Record a failure; False: this request has met it before. None: nothing was sent, so it affects everybody."""
        if witness is None:
            self._unmet_s = now_s
            return True
        self._forget(now_s)
        is_new = witness not in self._failed_s
        self._failed_s.pop(witness, None)
        self._failed_s[witness] = now_s
        return is_new

    def are_many(self, now_s: float) -> bool:
        """Return whether the next user would meet the same failure."""
        if self._unmet_s is not None and now_s - self._unmet_s < HEARD_S:
            return True
        self._forget(now_s)
        users = {witness.user for witness in self._failed_s}
        if len(users) != 1:
            return len(users) > 1
        (user,) = users
        return len(self._failed_s) > 1 and not self._serves_another(user, now_s)

    def _serves_another(self, user: str, now_s: float) -> bool:
        last = ((self.last_served, self.last_served_s), (self._before, self._before_s))
        return any(other not in (None, user) and now_s - at_s < HEARD_S for other, at_s in last)

    def _forget(self, now_s: float) -> None:
        failed_s = self._failed_s
        while failed_s:
            oldest = next(iter(failed_s))
            if now_s - failed_s[oldest] < HEARD_S and len(failed_s) <= _MOST:
                return
            del failed_s[oldest]
