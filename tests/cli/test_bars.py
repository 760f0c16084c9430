"""Bars and sparklines: as long as their figures say, and nothing is lost that is not nothing."""

from hypothesis import given
from hypothesis import strategies as st

from proxy.cli.bars import BAR_CELLS, bar, sparkline


@given(most=st.integers(1, 10**15), data=st.data())
def test_a_bar_grows_with_its_part(most: int, data: st.DataObject) -> None:
    less, more = sorted(data.draw(st.lists(st.integers(1, most), min_size=2, max_size=2)))
    assert 1 <= len(bar(less, most)) <= len(bar(more, most)) <= BAR_CELLS
    assert bar(most, most) == "█" * BAR_CELLS
    assert bar(0, most) == bar(-less, most) == bar(less, 0) == ""


@given(st.lists(st.integers(0, 10**15), max_size=30))
def test_a_sparkline_has_a_block_for_each_figure(figures: list[int]) -> None:
    line = sparkline(figures)
    assert len(line) == len(figures)
    for figure, block in zip(figures, line, strict=True):
        assert (block == " ") == (figure == 0)
        assert (block == "█") == (figure == max(figures) > 0 or figure * 8 // max([*figures, 1]) >= 7)
