"""Which of many series are drawn, and how points are joined."""

import math

from hypothesis import given
from hypothesis import strategies as st

from proxy.web.dashboard.charts.series import Series, joined, known, runs, top_series, total


@given(st.lists(st.lists(st.integers(), min_size=3, max_size=3), max_size=30), st.integers(1, 8))
def test_nothing_is_lost_in_other(values: list[list[int]], most: int) -> None:
    series = [Series(str(n), each) for n, each in enumerate(values)]
    kept = top_series(series, most)
    assert len(kept) == min(most, len(series))
    assert sum(total(one.values) for one in kept) == sum(map(sum, values))


def test_other_stays_last() -> None:
    kept = top_series([Series("other", [100], is_other=True), Series("a", [1]), Series("b", [-5])])
    assert [one.name for one in kept] == ["b", "a", "other"]


@given(st.integers(0, 2000), st.integers(1, 100))
def test_runs_hold_every_point_once(count: int, most: int) -> None:
    found = runs(count, most)
    assert len(found) <= most
    assert [n for run in found for n in run] == [*range(count)]


def test_values_that_cannot_be_drawn() -> None:
    assert known(math.nan) is None
    assert known(None) is None
    assert known(math.inf) == 10**300
    assert known(1e-310) == 0
    assert joined(Series("a", [1, None, None, None, 4, math.nan]), runs(6, 3), max).values == [1, None, 4]
