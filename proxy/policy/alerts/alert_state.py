"""Where one rule stands with one subject, and when that is told.

    at rest ──(a threshold is reached, for as long as the rule asks)──> firing: told
    firing ──(a higher threshold)──> firing: told, if not yet in this window
    firing ──(back beyond the margin)──> at rest: told once, if the firing was

Each threshold is told once a window, whatever lies between: a value that swings, a restart, a clock that steps. What
has been told is part of the state, and the state is stored in the transaction that stores what is sent.
"""

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

from msgspec import Struct

_AHEAD_MAX_MS: Final = 7 * 86_400_000
Told = Literal["fired", "recovered"]


class AlertState(NamedTuple):
    """level: how many thresholds are reached; peak: how many were told in the window that began at window_ms.

    is_told: the firing was told, and so its end will be. since_ms: when level left 0. fired_ms: when it was told last.
    pending_ms: since when a threshold has been reached that the rule wants held for a while. of: the measure and the
    thresholds that it tells of; where the rule has others, it begins at rest.
    """

    level: int = 0
    peak: int = 0
    window_ms: int = 0
    is_told: bool = False
    since_ms: int | None = None
    fired_ms: int | None = None
    pending_ms: int | None = None
    of: str = ""


AT_REST = AlertState()


class Thresholds(Struct, frozen=True):
    """at: lowest first, or highest first where is_below. margin: how far a value must come back to be over.

    for_ms: how long it must be reached; is_windowed: a new window begins at rest, whatever the old one came to.
    """

    at: tuple[float, ...]
    margin: float
    for_ms: int = 0
    is_below: bool = False
    is_windowed: bool = False

    def reached(self, value: float) -> int:
        """Return how many thresholds a value has reached."""
        return sum((value <= at) if self.is_below else (value >= at) for at in self.at)

    def is_over(self, value: float) -> bool:
        """Return whether a value is back beyond the margin of the first threshold."""
        first = self.at[0]
        return value > first + self.margin if self.is_below else value < first - self.margin


def thresholds(
    at: Sequence[float], *, margin_percent: int, for_ms: int = 0, is_below: bool = False, is_windowed: bool = False
) -> Thresholds:
    """Return thresholds in their order, with the margin as a share of the first one."""
    ordered = tuple(sorted(at, reverse=is_below))
    return Thresholds(ordered, abs(ordered[0]) * margin_percent / 100, for_ms, is_below, is_windowed)


def advance(
    state: AlertState, value: float, window_ms: int, limits: Thresholds, now_ms: int
) -> tuple[AlertState, Told | None]:
    """Return the state after a value was measured in the window that began at window_ms, and what is to be told.

    A window that began before the state's is a clock that stepped back: it counts as the state's own, and of one that
    begins anew nothing is known. A state of more than a week ahead is one of a clock that was wrong.
    """
    if state.window_ms > now_ms + _AHEAD_MAX_MS:
        state = state._replace(window_ms=0, peak=0)
    if window_ms < state.window_ms and limits.is_windowed:
        return state, None
    if window_ms > state.window_ms:
        state = state._replace(window_ms=window_ms, peak=0)
        if limits.is_windowed:
            state = state._replace(level=0, pending_ms=None)
    reached = limits.reached(value)
    if reached > state.level:
        return _risen(state, reached, limits, now_ms)
    if reached == 0 and state.pending_ms is not None:
        state = state._replace(pending_ms=None)
    if reached == 0 and (state.level or state.is_told) and (not state.level or limits.is_over(value)):
        over = state._replace(level=0, since_ms=None, is_told=False)
        return over, "recovered" if state.is_told else None
    return state, None


def _risen(state: AlertState, reached: int, limits: Thresholds, now_ms: int) -> tuple[AlertState, Told | None]:
    if limits.for_ms and state.level == 0:
        pending_ms = now_ms if state.pending_ms is None else min(state.pending_ms, now_ms)
        if now_ms - pending_ms < limits.for_ms:
            return state._replace(pending_ms=pending_ms), None
    since_ms = now_ms if state.since_ms is None else state.since_ms
    risen = state._replace(level=reached, since_ms=since_ms, pending_ms=None)
    if reached <= state.peak:
        return risen, None
    return risen._replace(peak=reached, is_told=True, fired_ms=now_ms), "fired"
