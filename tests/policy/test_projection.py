"""Months to come at a steady pace, and a revenue beside them."""

from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.policy.projection import SPANS, BreakEven, Projection, ProjectionError, project, read_growth, read_revenue

USD = 10**12


@given(st.integers(0, 10**19))
def test_without_growth_each_month_is_as_the_first(month_pusd: int) -> None:
    found = Projection.of_month(month_pusd, read_growth("0%"))
    assert found.sums_pusd == {span: span * month_pusd for span in SPANS}


@given(month_pusd=st.integers(0, 10**15), percent=st.integers(-99, 200))
def test_a_month_is_the_one_before_it_and_its_growth(month_pusd: int, percent: int) -> None:
    costs = [month_pusd, *project(month_pusd, read_growth(f"{percent}%/month"), 36)]
    for before, after in pairwise(costs):
        assert abs(after * 100 - before * (100 + percent)) <= 100 + abs(percent)
        assert after >= 0


def test_a_year_is_twelve_months() -> None:
    assert project(100 * USD, read_growth("60%/year"), 12)[-1] == 160 * USD
    assert project(100 * USD, read_growth("5%/month"), 2) == [105 * USD, 110 * USD + USD // 4]
    assert read_growth("-5 %") == Decimal("0.95")
    assert read_revenue("$6000/year") == read_revenue("500 USD/month") == read_revenue("500") == 500 * USD


@pytest.mark.parametrize("text", ["5", "5%/week", "-100%", "1001%/month", "five", "1e3%", ""])
def test_what_is_no_pace(text: str) -> None:
    with pytest.raises(ProjectionError):
        read_growth(text)


@pytest.mark.parametrize("text", ["-5", "€5/month", "$5/week", "five", "1e3", ""])
def test_what_is_no_revenue(text: str) -> None:
    with pytest.raises(ProjectionError):
        read_revenue(text)


def test_break_even() -> None:
    found = BreakEven.of_month(500 * USD, 100 * USD, 2000, read_growth("10%/month"))
    assert (found.margin_pusd, found.returned, found.requests) == (400 * USD, Decimal("4.0000"), 10_000)
    assert found.lost_in == 17  # 100 * 1.1 ** 17 = 505.4
    assert BreakEven.of_month(500 * USD, 100 * USD, 2000, Decimal(1)).lost_in is None
    assert BreakEven.of_month(500 * USD, 501 * USD, 2000, Decimal(1)).lost_in == 0
    assert BreakEven.of_month(500 * USD, 0, 0, Decimal(1)) == (500 * USD, 0, None, None, None)


@given(revenue=st.integers(0, 10**15), cost=st.integers(0, 10**15), requests=st.integers(0, 10**6))
def test_what_the_revenue_pays_is_not_more_than_it(revenue: int, cost: int, requests: int) -> None:
    found = BreakEven.of_month(revenue, cost, requests, Decimal(1))
    assert (found.lost_in == 0) == (cost > revenue)
    if found.requests is not None:
        assert found.requests * cost <= revenue * requests
