"""Counts of amounts by size, from which percentiles are read.

One table of bounds for whatever is counted. Four buckets are an octave, so that the bounds of a bucket are at most
2 ** (1 / 4), or 19 %, apart: a percentile that is read from it is no further from the exact one.
"""

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate, pairwise
from math import ceil
from typing import Final

BUCKETS: Final = 85
BOUNDS: Final = tuple(int(8 * 2 ** (n / 4)) for n in range(BUCKETS - 1))
"""The greatest amount of each bucket, from 8 to 14.1 million; the last bucket has none."""

RELATIVE_ERROR: Final = 2**0.25 - 1
"""How far a percentile between the first and the last bound can be from the exact one."""


_SMALL_BOUNDS: Final = (-1, *(bound for bound in BOUNDS if bound < 1 << 16), (1 << 16) - 1)
SMALL: Final = b"".join(
    bytes((place,)) * (bound - before) for place, (before, bound) in enumerate(pairwise(_SMALL_BOUNDS))
)
"""The bucket of each amount below 65,536: a third of the time of bucket_of()."""


def bucket_of(amount: int) -> int:
    """Return the place of an amount among the buckets."""
    return bisect_left(BOUNDS, amount)


def percentile(counts: Sequence[int], share: float) -> float | None:
    """Return the amount that a share (0 to 1) of what was counted does not exceed; None where nothing was.

    Amounts are taken to lie evenly within a bucket. Beyond the last bound that bound is returned: it is at least that.
    """
    reached = list(accumulate(counts))
    if not reached or not reached[-1]:
        return None
    rank = max(1, ceil(share * reached[-1] - 1e-9))  # of the exact one, from 1
    place = bisect_left(reached, rank)
    if place == len(BOUNDS):
        return float(BOUNDS[-1])
    least = BOUNDS[place - 1] + 1 if place else 0
    before = reached[place] - counts[place]
    return least + (BOUNDS[place] - least) * (rank - before - 0.5) / counts[place]
