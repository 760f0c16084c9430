"""What a provider has counted for a key, beside the ledger."""

from datetime import date, timedelta

from hypothesis import given
from hypothesis import strategies as st

from proxy.policy.reconciliation.key_comparison import KeyDay, KeyDrift, KeyWindow, compare_key, first_day, window_start


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
    assert found == [KeyDrift("day", "2026-12-02", 5, 6, 1), KeyDrift("week", "2026-11-30", 155, 170, 8)]
    assert [(one.difference_pusd, one.left_pusd) for one in found] == [(1, 0), (15, 7)]


@given(st.dates(date(2020, 1, 1), date(2030, 1, 1)), st.lists(st.integers(0, 10**12), min_size=40, max_size=40))
def test_a_counter_that_counts_what_is_booked_leaves_nothing(today: date, amounts: list[int]) -> None:
    days = [KeyDay((today - timedelta(days=n)).isoformat(), pusd, 0) for n, pusd in enumerate(amounts)]
    windows: tuple[KeyWindow, ...] = ("day", "week", "month")
    counted = {each: sum(amounts[: (today - window_start(each, today)).days + 1]) for each in windows}
    assert [one.left_pusd for one in compare_key(counted, days, today)] == [0, 0, 0]
