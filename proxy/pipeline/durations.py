"""How long things took, by buckets: values that are replaced and never changed, so that a copy costs nothing."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from operator import add, sub
from typing import Final, NamedTuple

SECONDS: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
"""Upper bounds of the buckets of answers."""

OWN_SECONDS: Final = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
"""Upper bounds of the buckets of the proxy's own time."""

BOUNDS_MS: Final = tuple(int(bound * 1000) for bound in SECONDS)


class Durations(NamedTuple):
    """How often something took how long: by bucket, the last for all above the bounds; and the sum, in their unit."""

    buckets: tuple[int, ...]
    total: float = 0

    def plus(self, bounds: Sequence[float], values: Iterable[float]) -> "Durations":
        """Return this with more; bounds and values are of one unit."""
        ordered = sorted(values)  # then each bound is one search, and not each value
        within = [bisect_right(ordered, bound) for bound in bounds]
        counts = map(sub, (*within, len(ordered)), (0, *within))
        return Durations(tuple(map(add, self.buckets, counts)), self.total + sum(ordered))

    def joined(self, other: "Durations") -> "Durations":
        """Return both together; they are of the same bounds."""
        return Durations(tuple(map(add, self.buckets, other.buckets)), self.total + other.total)


NO_DURATIONS: Final = Durations((0,) * (len(SECONDS) + 1))
NO_OWN_TIME: Final = Durations((0,) * (len(OWN_SECONDS) + 1))
