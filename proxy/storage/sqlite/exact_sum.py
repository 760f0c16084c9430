"""Sums of money that go beyond 64 bits: SQLite ends with "integer overflow" where its own sum() does.

A row holds up to 9.2 million USD; what many rows come to together may be more. So high and low bits are summed apart.
Neither sum overflows below billions of rows.
"""

from typing import Final

_BITS: Final = 30
_MASK: Final = (1 << _BITS) - 1


def sum_of_high(amount: str) -> str:
    """Return the sum of the high bits of an expression, in SQL; NULL of no row."""
    return f"sum(({amount}) >> {_BITS})"


def sum_of_low(amount: str) -> str:
    """Return the sum of the low bits of an expression, in SQL; they are never negative."""
    return f"sum(({amount}) & {_MASK})"


def exact_sum(amount: str) -> str:
    """Return both sums, as two columns for join_sums()."""
    return f"{sum_of_high(amount)}, {sum_of_low(amount)}"


def join_sums(high: int | None, low: int | None) -> int:
    """Return the exact sum; 0 of no row."""
    return ((high or 0) << _BITS) + (low or 0)
