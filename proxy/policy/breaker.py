"""When to stop asking something that fails, and when to ask again. Pure: time is passed in.

    closed ──(failures in a row, or too many in the window, or set aside)──> open
    open ──(its cool-down is over)──> half open: `probes` may pass
    half open ──(a probe succeeded)──> closed        ──(a probe failed)──> open, cool-down doubled

A failure counts that the next user would meet too (policy/witnesses.py): none that only one request meets, and none
that one user alone meets while others are served.

Each stay in a state has a number. try_pass() hands it out as a pass, and what is reported under an older one is not
counted: a long answer that began before the breaker opened tells nothing about now.
"""

from typing import Literal, NamedTuple

from proxy.policy.rolling_count import RollingCount
from proxy.policy.witnesses import Witness, Witnesses

State = Literal["closed", "open", "half_open"]


class BreakerRules(NamedTuple):
    """It opens after `failures` in a row, or at error_rate_percent of at least min_attempts within window_s.

    The first cool-down is cooldown_s; each that a failed probe ends doubles the next, up to cooldown_max_s.
    probes is how many may be on their way at once while it is half open.
    """

    failures: int
    error_rate_percent: float
    min_attempts: int
    window_s: float
    cooldown_s: float
    cooldown_max_s: float
    probes: int


class BreakerView(NamedTuple):
    """For display: retry_in_s is the rest of the cool-down; attempts and errors are those of the window."""

    state: State
    failures_in_row: int
    attempts: int
    errors: int
    retry_in_s: float | None
    opened_count: int


class Breaker:
    """One breaker, of a provider, a key or a model. Times are of a clock that never runs backwards, in seconds."""

    __slots__ = (
        "_cooldown_s",
        "_half_open_s",
        "_opened_count",
        "_probes_out",
        "_rules",
        "_state",
        "_until_s",
        "attempts",
        "failures_in_row",
        "is_closed",
        "pass_",
        "witnesses",
    )

    def __init__(self, rules: BreakerRules, witnesses: Witnesses | None = None) -> None:
        """Set the rules, and who was served before the breaker existed."""
        self._rules = rules
        self._state: State = "closed"
        self.is_closed = True  # it lets all through; only reports change that
        self.pass_ = 1
        # what ProviderHealth.answered() writes of each request where this is closed, as succeeded() would
        self.attempts = RollingCount(rules.window_s)
        self.failures_in_row = 0
        self.witnesses = Witnesses() if witnesses is None else witnesses
        self._cooldown_s = rules.cooldown_s
        self._until_s = 0.0
        self._half_open_s = 0.0
        self._probes_out = 0
        self._opened_count = 0

    def state(self, now_s: float) -> State:
        if self._state == "open":
            self._cool(now_s)
        return self._state

    def try_pass(self, now_s: float) -> int:
        """Return a pass for one attempt, or 0: do not ask now.

        Every pass ends in exactly one of succeeded(), failed() and cancelled(); of a streamed answer the first content
        is the success.
        """
        if self.is_closed:
            return self.pass_
        self._cool(now_s)
        if self._state == "open":
            return 0
        if self._probes_out >= self._rules.probes:
            # A probe that never reports must not block the way forever.
            if now_s - self._half_open_s < self._rules.cooldown_max_s:
                return 0
            self._enter("half_open", now_s)
        self._probes_out += 1
        return self.pass_

    def succeeded(self, now_s: float, pass_: int, user: str) -> None:
        """Record an answer, and who got it."""
        if pass_ == self.pass_:
            if self._state == "half_open":
                self._enter("closed", now_s)
                self._cooldown_s = self._rules.cooldown_s
                self.attempts.clear()
            self.failures_in_row = 0
            self.attempts.add(now_s)
        self.witnesses.served(user, now_s)

    def failed(self, now_s: float, pass_: int, cooldown_s: float | None = None, witness: Witness | None = None) -> None:
        """Record a failure; cooldown_s: the provider's Retry-After, respected up to cooldown_max_s.

        witness: whose request met it; None: nothing of one was sent.
        """
        is_new = self.witnesses.failed(witness, now_s)
        if pass_ != self.pass_:
            return
        if not is_new or (self._state == "half_open" and not self.witnesses.are_many(now_s)):
            self.cancelled(now_s, pass_)
            return
        self.failures_in_row += 1
        self.attempts.add(now_s, marked=True)
        if self._state == "half_open":
            self._cooldown_s = min(self._cooldown_s * 2, self._rules.cooldown_max_s)
            self._open(now_s, cooldown_s)
        elif self._fails_too_often() and self.witnesses.are_many(now_s):
            self._open(now_s, cooldown_s)

    def cancelled(self, now_s: float, pass_: int) -> None:  # noqa: ARG002 - all three ends of a pass are called alike
        """Return a pass whose attempt proved nothing: the client went away, or the request itself was at fault."""
        if pass_ == self.pass_ and self._state == "half_open":
            self._probes_out -= 1

    def set_aside(self, now_s: float, for_s: float) -> None:
        """Open for a stated time, at most cooldown_max_s, and count no failure (429 with Retry-After).

        It ends every pass in use, so the attempt that reported it must report nothing else.
        """
        if for_s <= 0:
            return
        until_s = now_s + min(for_s, self._rules.cooldown_max_s)
        self._cool(now_s)
        if self._state == "open":
            self._until_s = max(self._until_s, until_s)
        else:
            self._enter("open", now_s)
            self._until_s = until_s

    def view(self, now_s: float) -> BreakerView:
        self._cool(now_s)
        self.attempts.move(now_s)
        retry_in_s = max(self._until_s - now_s, 0.0) if self._state == "open" else None
        return BreakerView(
            self._state,
            self.failures_in_row,
            self.attempts.all,
            self.attempts.marked,
            retry_in_s,
            self._opened_count,
        )

    def _fails_too_often(self) -> bool:
        rules, counts = self._rules, self.attempts
        if self.failures_in_row >= rules.failures:
            return True
        return counts.all >= rules.min_attempts and counts.marked * 100 >= rules.error_rate_percent * counts.all

    def _open(self, now_s: float, cooldown_s: float | None) -> None:
        self._enter("open", now_s)
        self._until_s = now_s + min(max(self._cooldown_s, cooldown_s or 0.0), self._rules.cooldown_max_s)

    def _cool(self, now_s: float) -> None:
        if self._state == "open" and now_s >= self._until_s:
            self._enter("half_open", now_s)

    def _enter(self, state: State, now_s: float) -> None:
        self._state = state
        self.is_closed = state == "closed"
        self.pass_ += 1
        self._probes_out = 0
        self._half_open_s = now_s
        self._opened_count += state == "open"
