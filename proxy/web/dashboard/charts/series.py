"""Series of values, and which of many are drawn by themselves."""

import math
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

Number: TypeAlias = int | float
Writer: TypeAlias = Callable[[Number], str]  # how a value reads: 1500000000000 -> "$1.50"

OTHER: Final = "other"
NO_VALUE: Final = "\N{EN DASH}"
DRAWN: Final = 7  # more colours than that are not told apart
_MOST: Final = 10**300  # sums of them are still floats
_LEAST: Final = 1e-300


class Series(Struct, frozen=True):
    """Values of one thing, one for each point of the axis; None where there is nothing.

    link: the address of a page of its own.
    """

    name: str
    values: Sequence[Number | None]
    link: str | None = None
    is_other: bool = False


def known(value: Number | None) -> Number | None:
    """Return a value that can be drawn; None for one that is not a number, and what is near zero as 0."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if abs(value) < _LEAST:
        return 0
    return max(-_MOST, min(_MOST, value))


def amount(value: Number | None) -> Number:
    """Return a value for sums: nothing counts 0."""
    return known(value) or 0


def total(values: Sequence[Number | None]) -> Number:
    """Return the sum: exact where all are integers."""
    return sum(amount(value) for value in values)


def weight(values: Sequence[Number | None]) -> Number:
    """Return how much a series takes of a chart, refunds too."""
    return sum(abs(amount(value)) for value in values)


def top_series(series: Sequence[Series], most: int = DRAWN) -> list[Series]:
    """Return the largest series, the largest first, and the sum of the rest as "other": ``most`` in all."""
    ranked = sorted(series, key=lambda one: (one.is_other, -weight(one.values)))
    if len(ranked) <= most:
        return ranked
    rest = ranked[most - 1 :]
    length = max(len(one.values) for one in rest)
    sums = [total([one.values[n] for one in rest if n < len(one.values)]) for n in range(length)]
    return [*ranked[: most - 1], Series(f"{OTHER} ({len(rest)})", sums, is_other=True)]


def runs(count: int, most: int = 62) -> list[range]:
    """Return the points in groups of neighbours, so that there are at most so many: each alone while they are few."""
    size = max(1, -(-count // most))
    return [range(start, min(start + size, count)) for start in range(0, count, size)]


def joined(series: Series, groups: Sequence[range], join: Callable[[list[Number]], Number]) -> Series:
    """Return a series with one value for each run of points: ``sum`` or ``max`` of those that are known."""
    values: list[Number | None] = []
    for group in groups:
        found = [value for n in group if n < len(series.values) and (value := known(series.values[n])) is not None]
        values.append(join(found) if found else None)
    return replace(series, values=values)
