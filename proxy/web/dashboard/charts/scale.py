"""Scales: from values to coordinates, with ticks at round values."""

import math
from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from proxy.web.dashboard.charts.series import Number

_ROUND: Final = (1, 2, 5, 10)


class Scale(Struct, frozen=True):
    """Values from low to high, laid over coordinates from start to end; ticks lie at multiples of one round step."""

    low: Number
    high: Number
    ticks: tuple[Number, ...]
    start: float
    end: float

    def at(self, value: Number) -> float:
        """Return the coordinate of a value; what lies outside is drawn at the edge."""
        share = (value - self.low) / (self.high - self.low)
        return self.start + (self.end - self.start) * min(1.0, max(0.0, share))


def value_scale(values: Iterable[Number], start: float, end: float, most: int = 5) -> Scale:
    """Return the scale that shows zero and all values, ends at round values and has about so many ticks."""
    low, high = _reach(values)
    if low == high:
        return Scale(0, 1, (0,), start, end)
    step = round_step(high - low, most)
    first, last = int(low // step), int(-(-high // step))
    ticks = tuple(n * step for n in range(first, last + 1))
    return Scale(ticks[0], ticks[-1], ticks, start, end)


def round_step(span: Number, most: int) -> Number:
    """Return 1, 2 or 5 times a power of ten that divides a span into at most so many steps; an integer for integers.

    span: above 0.
    """
    is_whole = isinstance(span, int)
    least = span / most
    power = math.floor(math.log10(least))
    for power_ten in (power, power + 1):  # log10 may err by one where least is a power of ten
        for factor in _ROUND:
            if power_ten >= 0:
                step: Number = factor * 10**power_ten if is_whole else factor * 10.0**power_ten
            else:
                step = 1 if is_whole else factor / 10.0**-power_ten
            if step >= least:
                return step
    raise ValueError(f"no step for a span of {span}")  # not reached: 10 * 10**power is above least


def _reach(values: Iterable[Number]) -> tuple[Number, Number]:
    found: list[Number] = [0, *values]
    return min(found), max(found)
