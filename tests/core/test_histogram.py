"""A percentile that is read from a histogram lies in the bucket of the exact one."""

import itertools
import math

from hypothesis import given
from hypothesis import strategies as st

from proxy.core.histogram import BOUNDS, BUCKETS, RELATIVE_ERROR, SMALL, bucket_of, percentile

AMOUNTS = st.one_of(st.integers(0, BOUNDS[-1]), st.integers(0, 60_000), st.sampled_from(BOUNDS))


def counted(amounts: list[int]) -> list[int]:
    counts = [0] * BUCKETS
    for amount in amounts:
        counts[bucket_of(amount)] += 1
    return counts


@given(st.lists(AMOUNTS, min_size=1, max_size=200), st.sampled_from((0.01, 0.5, 0.9, 0.95, 0.99, 1.0)))
def test_the_error_is_bounded(amounts: list[int], share: float) -> None:
    exact = sorted(amounts)[max(1, math.ceil(share * len(amounts) - 1e-9)) - 1]
    found = percentile(counted(amounts), share)
    assert found is not None
    assert bucket_of(math.ceil(found)) == bucket_of(exact)
    assert abs(found - exact) <= max(BOUNDS[0], RELATIVE_ERROR * exact)


@given(st.integers(0, 10**9))
def test_an_amount_is_within_its_bounds(amount: int) -> None:
    place = bucket_of(amount)
    assert place == 0 or amount > BOUNDS[place - 1]
    assert place == BUCKETS - 1 or amount <= BOUNDS[place]


def test_bounds_grow_by_a_quarter_of_an_octave() -> None:
    assert BOUNDS[:5] == (8, 9, 11, 13, 16)
    assert all(high / (low + 1) <= 1 + RELATIVE_ERROR for low, high in itertools.pairwise(BOUNDS))
    assert (BOUNDS[4], BOUNDS[80]) == (16, 8 << 20)


def test_what_has_no_bound_is_told_as_the_last_one() -> None:
    assert percentile(counted([10**9]), 0.5) == BOUNDS[-1]
    assert percentile([0] * BUCKETS, 0.5) is None
    assert percentile([], 0.5) is None


def test_small_amounts_are_looked_up() -> None:
    assert [*SMALL] == [bucket_of(amount) for amount in range(1 << 16)]
