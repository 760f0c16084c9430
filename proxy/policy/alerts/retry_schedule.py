"""When a delivery that failed is tried again, and when no more. The schedule of Standard Webhooks 1.0.0."""

from typing import Final, NamedTuple

RETRY_DELAYS_S: Final = (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""Seconds between one attempt and the next: ten attempts within about three days."""

JITTER: Final = 0.1  # of the delay, added, so that a receiver that comes back is not met by all at once
_RETRY_AFTER_MAX_S: Final = 86_400


class SendResult(NamedTuple):
    """What came of one attempt. problem None: it was delivered.

    is_final: no further attempt can help. is_gone: the receiver wants nothing more at all (410). retry_after_s: how
    long the receiver wants to be left alone.
    """

    problem: str | None = None
    status: int | None = None
    retry_after_s: float | None = None
    is_final: bool = False
    is_gone: bool = False


def next_attempt_ms(
    result: SendResult,
    attempts: int,
    now_ms: int,
    jitter: float,
    delays_s: tuple[float, ...] = RETRY_DELAYS_S,
) -> int | None:
    """Return when to try again after so many attempts; None: give up. jitter: from 0 up to 1."""
    if result.is_final or result.is_gone or attempts > len(delays_s):
        return None
    delay_s = delays_s[attempts - 1] * (1 + JITTER * jitter)
    if result.retry_after_s is not None:
        delay_s = max(delay_s, min(result.retry_after_s, _RETRY_AFTER_MAX_S))
    return now_ms + round(delay_s * 1000)
