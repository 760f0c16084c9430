"""Scales: round ticks that hold every value."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from proxy.web.dashboard.charts.scale import round_step, value_scale
from proxy.web.dashboard.charts.series import amount


@given(st.lists(st.one_of(st.integers(), st.floats()), max_size=20), st.integers(2, 9))
def test_every_value_has_its_place(raw: list[int | float], most: int) -> None:
    values = [amount(value) for value in raw]
    scale = value_scale(values, 200, 10, most)
    assert 1 <= len(scale.ticks) <= most + 3  # one at either end, and one where floats round
    assert len({*scale.ticks}) == len(scale.ticks)
    assert all(10 <= scale.at(value) <= 200 for value in [*values, *scale.ticks])
    assert scale.low <= min([0, *values])
    assert scale.high >= max([0, *values])
    places = [scale.at(value) for value in sorted(values)]
    assert all(second <= first + 1e-9 for first, second in pairwise(places))


def test_steps_are_one_two_or_five() -> None:
    assert [round_step(span, 5) for span in (5, 6, 10, 11, 26, 51)] == [1, 2, 2, 5, 10, 20]
    assert round_step(9_999_999_999_999, 5) == 2_000_000_000_000
    assert round_step(0.7, 5) == 0.2
    assert isinstance(round_step(3, 5), int)  # money stays an integer


def test_ticks() -> None:
    assert value_scale([3, 17], 0, 1).ticks == (0, 5, 10, 15, 20)
    assert value_scale([-4, 17], 0, 1).ticks == (-5, 0, 5, 10, 15, 20)
    assert value_scale([0, 0], 0, 1).ticks == (0,)
    assert value_scale([], 0, 1).ticks == (0,)
