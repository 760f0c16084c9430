"""What to do after an attempt that did not answer: one table over where it broke and the status. Pure."""

from typing import Literal

Next = Literal["stop", "next_target"]

# Statuses after which another target may do better: no credits, no key, no such model, too large for this model's
# context, rate limits, the provider's own failures. 400 and 422 are the request's fault at every target.
_NEXT_TARGET = frozenset(
    {401, 402, 403, 404, 408, 413, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 525, 526, 527, 529}
)


def after_status(status: int) -> Next:
    """Decide after an answer whose status is not 2xx; it was certainly not billed."""
    return "next_target" if status in _NEXT_TARGET else "stop"


def after_break(*, dispatched: bool) -> Next:
    """Decide after an exchange that broke before an answer began.

    Once a byte of the request may have reached the provider it may be billed: a second attempt could be paid twice.
    """
    return "stop" if dispatched else "next_target"
