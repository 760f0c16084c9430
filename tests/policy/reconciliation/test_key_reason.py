"""Parts of a difference: they add up to it, and none is more than the ledger allows for it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.policy.reconciliation.drift_class import BY_NAME as CLASSES
from proxy.policy.reconciliation.key_reason import (
    BY_NAME,
    KEY_REASONS,
    CountedTime,
    KeyDoubt,
    KeyPart,
    explain,
    part_sentence,
)

_AMOUNTS = st.integers(0, 10**15)
_DOUBTS = st.builds(
    KeyDoubt, st.integers(0, 10**6), _AMOUNTS, _AMOUNTS, _AMOUNTS, _AMOUNTS, _AMOUNTS, _AMOUNTS, st.integers(0, 2)
)


@pytest.mark.parametrize(
    ("left_pusd", "doubt", "wanted"),
    [
        (0, KeyDoubt(9, 100, 100, 100, 100, 100, 100), {}),
        (500, KeyDoubt(), {"unknown": 500}),
        (-500, KeyDoubt(), {"unknown": -500}),
        (-500, KeyDoubt(1, reservation_pusd=700), {"reservation_charged": -500}),
        (-500, KeyDoubt(0, reservation_pusd=400), {"reservation_charged": -400, "unknown": -100}),
        (500, KeyDoubt(0, reservation_pusd=700), {"unknown": 500}),  # a reservation is the most that was charged
        (-500, KeyDoubt(0, recent_pusd=450), {"not_counted_yet": -450, "unknown": -50}),
        (500, KeyDoubt(0, recent_pusd=450), {"unknown": 500}),
        (500, KeyDoubt(0, pending_pusd=300, running_pusd=300), {"pending": 300, "running": 200}),
        (-500, KeyDoubt(0, pending_pusd=300, running_pusd=300), {"unknown": -500}),  # nothing of it is booked
        (500, KeyDoubt(0, earlier_pusd=40, estimated_pusd=60), {"other_day": 40, "estimated": 60, "unknown": 400}),
        (-50, KeyDoubt(0, earlier_pusd=40, estimated_pusd=60), {"estimated": -50}),
        (2_000, KeyDoubt(2), {"price_rounding": 2_000}),
        (2_001, KeyDoubt(2), {"unknown": 2_001}),
        (-1, KeyDoubt(2), {"price_rounding": -1}),
        (500, KeyDoubt(unbounded=1), {"cost_unknown": 500}),
        (-500, KeyDoubt(unbounded=1), {"unknown": -500}),
    ],
)
def test_a_difference_has_the_reasons_that_the_ledger_knows(
    left_pusd: int, doubt: KeyDoubt, wanted: dict[str, int]
) -> None:
    found = explain(left_pusd, doubt, 1_000, CountedTime())
    assert {part.reason: part.amount_pusd for part in found} == wanted


def test_a_day_that_is_over_was_counted_somewhere() -> None:
    found = explain(-5, KeyDoubt(0, recent_pusd=9), 0, CountedTime(is_over=True))
    assert found == [KeyPart("other_day", -5)]


@pytest.mark.parametrize(("left_pusd", "reason"), [(5, "before_proxy"), (-5, "unknown")])
def test_what_a_key_was_used_for_before_is_no_drift(left_pusd: int, reason: str) -> None:
    assert explain(left_pusd, KeyDoubt(), 0, CountedTime(is_first=True)) == [KeyPart(reason, left_pusd)]


@pytest.mark.parametrize(("left_pusd", "reason"), [(5, "other_day"), (-5, "unknown")])
def test_a_day_that_has_just_begun_may_be_told_as_the_day_before(left_pusd: int, reason: str) -> None:
    assert explain(left_pusd, KeyDoubt(), 0, CountedTime(is_young=True)) == [KeyPart(reason, left_pusd)]


@given(st.integers(-(10**16), 10**16), _DOUBTS, st.builds(CountedTime, st.booleans(), st.booleans(), st.booleans()))
def test_the_parts_are_the_difference_and_point_where_it_does(
    left_pusd: int, doubt: KeyDoubt, time: CountedTime
) -> None:
    found = explain(left_pusd, doubt, 1_000, time)
    assert sum(part.amount_pusd for part in found) == left_pusd
    assert all((part.amount_pusd > 0) == (left_pusd > 0) for part in found)
    sums = {part.reason: abs(part.amount_pusd) for part in found}
    assert len(sums) == len(found)
    assert sums.get("reservation_charged", 0) <= doubt.reservation_pusd
    assert sums.get("pending", 0) + sums.get("running", 0) <= doubt.pending_pusd + doubt.running_pusd
    assert sums.get("price_rounding", 0) <= doubt.calls * 1_000
    if left_pusd > 0 and (time.is_first or time.is_young or doubt.unbounded):
        assert "unknown" not in sums


def test_each_reason_is_of_a_class_and_has_words() -> None:
    assert [each.name for each in KEY_REASONS if each.drift_class is None] == ["before_proxy"]
    assert {each.drift_class for each in KEY_REASONS if each.drift_class} <= CLASSES.keys()
    assert part_sentence(KeyPart("running", 2 * 10**12)) == "+$2 may be of requests that were still running."
    assert part_sentence(KeyPart("unknown", -1)).startswith("-$0.000000000001 nothing explains")
    assert len(BY_NAME) == len(KEY_REASONS)
