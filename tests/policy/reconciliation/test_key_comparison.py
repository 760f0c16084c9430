"""What a provider has counted for a key, beside the ledger."""

from datetime import date, timedelta

from hypothesis import given
from hypothesis import strategies as st

from proxy.policy.reconciliation.key_comparison import (
    COUNTED_AFTER_MS,
    KeyDay,
    KeyDrift,
    KeyWindow,
    compare_days,
    compare_key,
    first_day,
    window_start,
)
from proxy.policy.reconciliation.key_reason import CountedTime, KeyDoubt, KeyPart


def test_windows_begin_as_the_providers_do() -> None:
    today = date(2026, 12, 2)  # a Wednesday
    assert [window_start(each, today).isoformat() for each in ("day", "week", "month")] == [
        "2026-12-02",
        "2026-11-30",
        "2026-12-01",
    ]
    assert first_day(today) == date(2026, 11, 30)


def test_each_window_has_its_days_and_what_is_known_of_them() -> None:
    days = [KeyDay("2026-11-30", 100, 7), KeyDay("2026-12-01", 50, 0), KeyDay("2026-12-02", 5, 1)]
    found = compare_key({"day": 6, "week": 170}, days, date(2026, 12, 2))
    assert found == [
        KeyDrift("day", "2026-12-02", 5, 6, 1),
        KeyDrift("week", "2026-11-30", 155, 170, 8, (KeyPart("unknown", 7),)),
    ]
    assert [(one.difference_pusd, one.left_pusd, one.unexplained_pusd) for one in found] == [(1, 0, 0), (15, 7, 7)]


def test_what_ended_about_midnight_may_be_counted_on_the_next_day_and_in_no_other_window() -> None:
    days = [
        KeyDay("2026-11-30", 100, 0, doubt=KeyDoubt(earlier_pusd=30)),
        KeyDay("2026-12-01", 50, 0, doubt=KeyDoubt(earlier_pusd=20)),
        KeyDay("2026-12-02", 5, 0),
    ]
    found = compare_key({"day": 25, "week": 155, "month": 85}, days, date(2026, 12, 2))
    assert [one.parts for one in found] == [(KeyPart("other_day", 20),), (), (KeyPart("other_day", 30),)]


def test_a_window_in_which_the_key_came_may_hold_what_was_before() -> None:
    days = [KeyDay("2026-12-01", 50, 0), KeyDay("2026-12-02", 5, 0)]
    found = compare_key({"day": 6, "week": 60}, days, date(2026, 12, 2), "2026-12-01")
    assert [one.parts for one in found] == [(KeyPart("unknown", 1),), (KeyPart("before_proxy", 5),)]


def test_a_count_of_the_first_minutes_may_be_of_the_day_before() -> None:
    found = compare_key({"day": 6, "week": 6}, [], date(2026, 12, 2), passed_ms=COUNTED_AFTER_MS - 1)
    assert [one.parts for one in found] == [(KeyPart("other_day", 6),), (KeyPart("unknown", 6),)]
    (one,) = compare_key({"day": 6}, [], date(2026, 12, 2), passed_ms=COUNTED_AFTER_MS)
    assert one.unexplained_pusd == 6


def test_a_day_that_is_over_has_what_others_and_other_keys_had() -> None:
    doubt = KeyDoubt(recent_pusd=10)
    day = KeyDay("2026-12-01", 50, 0, doubt=doubt, upstream_pusd=3, replaced_pusd=4, users_pusd=5)
    found = compare_days("day", date(2026, 12, 1), 45, [day], time=CountedTime(is_over=True))
    assert found == KeyDrift("day", "2026-12-01", 50, 45, 0, (KeyPart("other_day", -5),), 3, 4, 5)


@given(st.dates(date(2020, 1, 1), date(2030, 1, 1)), st.lists(st.integers(0, 10**12), min_size=40, max_size=40))
def test_a_counter_that_counts_what_is_booked_leaves_nothing(today: date, amounts: list[int]) -> None:
    days = [KeyDay((today - timedelta(days=n)).isoformat(), pusd, 0) for n, pusd in enumerate(amounts)]
    windows: tuple[KeyWindow, ...] = ("day", "week", "month")
    counted = {each: sum(amounts[: (today - window_start(each, today)).days + 1]) for each in windows}
    assert [one.left_pusd for one in compare_key(counted, days, today)] == [0, 0, 0]
    outside = {each: pusd + 7 for each, pusd in counted.items()}
    assert [one.unexplained_pusd for one in compare_key(outside, days, today)] == [7, 7, 7]
