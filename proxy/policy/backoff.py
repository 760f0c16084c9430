"""How long to wait before a target is tried again. Pure: the random number is passed in."""

from typing import NamedTuple


class RetryRules(NamedTuple):
    """attempts: tries of one target, 1 = no retry; the wait grows from backoff_s to backoff_max_s.

    budget_percent: retries at one provider, as a share of the first tries there (policy/retry_budget.py).
    """

    attempts: int
    backoff_s: float
    backoff_max_s: float
    budget_percent: float


def delay_s(try_n: int, retry_after_s: float | None, rules: RetryRules, jitter01: float) -> float:
    """Return the wait after the try_n-th try (from 1) failed; jitter01 is drawn from [0, 1].

    Without word from the provider: backoff_s doubled with each try, at most backoff_max_s, of which half is left to
    chance, so that requests that failed together do not return together. With word: at least retry_after_s, and up to
    backoff_s more by chance. It may be far too long to wait: the caller checks it against its limit and deadline.
    """
    if retry_after_s is not None:
        return max(retry_after_s, 0.0) + rules.backoff_s * jitter01
    doubled = rules.backoff_s * 2.0 ** min(try_n - 1, 60)  # 2**60 times anything is above every maximum
    return min(doubled, rules.backoff_max_s) * (0.5 + 0.5 * jitter01)
