"""Sums by model: what inexact amounts explain, and that nothing is left out."""

from hypothesis import given
from hypothesis import strategies as st

from proxy.policy.reconciliation.drift_class import OWN_KEY, PENDING, RESERVATION_CHARGED, UNKNOWN
from proxy.policy.reconciliation.sums_comparison import BilledSum, BookedSum, compare_sums

_DAY_MS = 86_400_000


def classes(booked: list[BookedSum], billed: list[BilledSum], other: int = 0) -> dict[str, int]:
    found = compare_sums(_DAY_MS, booked, billed, other)
    return {entry.drift_class: entry.amount_pusd for entry in found.entries}


def test_equal_sums_have_no_difference() -> None:
    assert not classes([BookedSum("a/m", 500)], [BilledSum(("a/m", "a/m-1"), 500)])
    assert not classes([BookedSum("a/m-1", 500)], [BilledSum(("a/m", "a/m-1"), 500)])


def test_what_is_not_exact_explains_as_much_as_it_is() -> None:
    row = BookedSum("a/m", 1000, reservation_pusd=300)
    assert classes([row], [BilledSum(("a/m",), 800)]) == {RESERVATION_CHARGED: -200}
    assert classes([row], [BilledSum(("a/m",), 600)]) == {RESERVATION_CHARGED: -300, UNKNOWN: -100}
    assert classes([row], [BilledSum(("a/m",), 1200)]) == {UNKNOWN: 200}
    waiting = BookedSum("a/m", 0, pending_pusd=300)
    assert classes([waiting], [BilledSum(("a/m",), 400)]) == {PENDING: 300, UNKNOWN: 100}


def test_what_others_bill_is_no_drift_of_ours() -> None:
    row = BookedSum("a/m", 1000, elsewhere_pusd=950)
    assert classes([row], [BilledSum(("a/m",), 50)]) == {OWN_KEY: -950}


_amounts = st.integers(0, 10**15)
_sums = st.lists(st.builds(BookedSum, st.sampled_from("abc"), _amounts, _amounts, _amounts, _amounts, _amounts))
_bills = st.lists(st.builds(BilledSum, st.tuples(st.sampled_from("abc"), st.just("x")), _amounts), max_size=5)


@given(_sums, _bills, _amounts)
def test_the_classes_add_up_to_the_drift(booked: list[BookedSum], billed: list[BilledSum], other: int) -> None:
    found = compare_sums(_DAY_MS, booked, billed, other)
    assert sum(entry.amount_pusd for entry in found.entries) == found.billed_pusd - found.booked_pusd
    assert found.booked_pusd == sum(row.booked_pusd for row in booked)
    assert found.billed_pusd == sum(row.usage_pusd for row in billed) + other
