"""Sums by model: what inexact amounts explain, and that nothing is left out."""

from hypothesis import given
from hypothesis import strategies as st

from proxy.policy.reconciliation.drift_class import (
    OUTSIDE_CALL,
    OWN_KEY,
    PENDING,
    REFUNDED,
    RESERVATION_CHARGED,
    UNKNOWN,
)
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


def booked_of(booked: list[BookedSum], billed: list[BilledSum], *, is_final: bool = True) -> dict[str, int | None]:
    found = compare_sums(_DAY_MS, booked, billed, 0, is_final=is_final)
    assert sum(entry.amount_pusd for entry in found.entries) == found.difference_pusd
    return {f"{entry.drift_class} {entry.generation_id or ''}".strip(): entry.actual_pusd for entry in found.entries}


def test_what_a_key_was_charged_for_a_model_that_nobody_asked_for_is_booked() -> None:
    asked, bill = BookedSum("a/m", 500, requests=3), BilledSum(("a/m", "a/m-1"), 500, "k")
    strange = [BilledSum(("b/n", "b/n-1"), 70, "k"), BilledSum(("b/n", "b/n-1"), 30, "l")]
    ours, theirs = "sum of 1970-01-02 k b/n", "sum of 1970-01-02 l b/n"
    assert booked_of([asked], [bill, *strange]) == {f"{OUTSIDE_CALL} {ours}": 70, f"{OUTSIDE_CALL} {theirs}": 30}
    done = BookedSum("b/n", 100, apart={ours: 70, theirs: 30})
    assert booked_of([asked, done], [bill, *strange]) == {}
    changed = [BilledSum(("b/n",), 75, "k"), BilledSum(("b/n",), 10, "l")]
    assert booked_of([asked, done], [bill, *changed]) == {f"{OUTSIDE_CALL} {ours}": 75, f"{REFUNDED} {theirs}": 10}


def test_a_reservation_that_is_not_billed_may_be_a_model_by_another_name() -> None:
    killed, bill = BookedSum("a/m:nitro", 500, reservation_pusd=500, requests=1), [BilledSum(("a/m",), 70, "k")]
    assert booked_of([killed], bill) == {RESERVATION_CHARGED: None, UNKNOWN: None}


def test_a_key_that_came_later_may_have_been_used_before() -> None:
    found = compare_sums(_DAY_MS, [], [BilledSum(("b/n",), 70, "k")], 0, is_final=True, new_keys={"k"})
    assert [(entry.drift_class, entry.actual_pusd) for entry in found.entries] == [(UNKNOWN, None)]


def test_what_may_be_a_request_is_not_booked_by_sums() -> None:
    bill = [BilledSum(("a/m",), 500, "k"), BilledSum(("b/n",), 70, "k")]
    exact = BookedSum("a/m", 500, requests=3)
    for booked, is_final in (
        ([exact], False),  # the bill of the day may get more, or some of it is history
        ([exact, BookedSum("b/n", 0, requests=1)], True),  # of the evening before, or to another provider
        ([exact, BookedSum("b/n", 10)], True),  # a call that was booked apart, of which nobody knows the key
        ([exact._replace(booked_pusd=570)], True),  # the ledger may call the model by another name
        ([exact, BookedSum("c/o", 0, pending_pusd=90, requests=1)], True),
    ):
        bills = [*bill, BilledSum(("c/o",), 80, "k")] if len(booked) > 1 and booked[1].pending_pusd else bill
        assert {*booked_of(booked, bills, is_final=is_final).values()} == {None}
    untold = [one._replace(key_hash="") for one in bill]
    assert {*booked_of([exact], untold).values()} == {None}


_amounts = st.integers(0, 10**15)
_apart = st.dictionaries(st.sampled_from(["sum of 1970-01-02 k a", "sum of 1970-01-02 l b"]), _amounts, max_size=2)
_sums = st.lists(
    st.builds(
        BookedSum,
        st.sampled_from("abc"),
        _amounts,
        _amounts,
        _amounts,
        _amounts,
        _amounts,
        st.integers(0, 1),
        _apart,
    )
)
_bills = st.lists(
    st.builds(BilledSum, st.tuples(st.sampled_from("abc"), st.just("x")), _amounts, st.sampled_from(["", "k", "l"])),
    max_size=5,
)


def bare(row: BookedSum) -> BookedSum:
    """Return a row as the ledger has them: without requests all of it was booked apart."""
    return row if row.requests else BookedSum(row.model, sum(row.apart.values()), apart=row.apart)


@given(_sums.map(lambda rows: [*{row.model: bare(row) for row in rows}.values()]), _bills, _amounts, st.booleans())
def test_the_classes_add_up_to_the_drift(
    booked: list[BookedSum], billed: list[BilledSum], other: int, is_final: bool
) -> None:
    found = compare_sums(_DAY_MS, booked, billed, other, is_final=is_final)
    assert sum(entry.amount_pusd for entry in found.entries) == found.billed_pusd - found.booked_pusd
    assert found.booked_pusd == sum(row.booked_pusd for row in booked)
    assert found.billed_pusd == sum(row.usage_pusd for row in billed) + other
