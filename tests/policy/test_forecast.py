"""Forecasts of made series: exact where each day is alike, by weekdays where they differ, never below what is used."""

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import assume, given
from hypothesis import strategies as st

from proxy.policy.forecast import EVEN, WEEKS, Weekdays, WindowWeights, forecast, weigh_window
from proxy.policy.quota.window import HOUR_MS, window_bounds

ZONES = st.sampled_from(["UTC", "Europe/Stockholm", "Australia/Lord_Howe"]).map(ZoneInfo)
DAY_MS = 24 * HOUR_MS


def ms(day: date, zone: ZoneInfo) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp() * 1000)


def month_of(day: date, zone: ZoneInfo) -> tuple[int, int]:
    start_ms, end_ms = window_bounds("month", zone, ms(day, zone) + 1)
    assert end_ms is not None
    return start_ms, end_ms


@given(
    rate=st.integers(0, 10**9),
    share=st.integers(10, 100),
    month=st.dates(date(2026, 1, 1), date(2028, 12, 31)),
    zone=ZONES,
    weeks=st.integers(0, 12),
)
def test_a_constant_series_goes_on_exactly(rate: int, share: int, month: date, zone: ZoneInfo, weeks: int) -> None:
    start_ms, end_ms = month_of(month, zone)
    passed_ms = -(-(end_ms - start_ms) * share // 100)
    days = {month - timedelta(days=n): rate * DAY_MS for n in range(1, weeks * 7 + 1)}
    weekdays = Weekdays.of_days(days, month)
    assert len(set(weekdays.weights)) == 1
    weights = weigh_window(weekdays, zone, start_ms, end_ms, start_ms + passed_ms)
    assert forecast(rate * passed_ms, weights) == rate * (end_ms - start_ms)


@given(
    week=st.lists(st.integers(0, 10**13), min_size=7, max_size=7),
    now=st.dates(date(2026, 1, 5), date(2027, 12, 30)),
)
def test_a_week_that_repeats_goes_on_nearly_as_it_was(week: list[int], now: date) -> None:
    """One even week among eight is mixed in: it may be off by a ninth of what days differ by, and no more."""
    zone = ZoneInfo("UTC")
    days = {now - timedelta(days=n): week[(now - timedelta(days=n)).weekday()] for n in range(1, WEEKS * 7 + 1)}
    weekdays = Weekdays.of_days(days, now)
    assert min(weekdays.weights) > 0
    mean = sum(week) / 7
    start_ms, end_ms = month_of(now, zone)
    first = datetime.fromtimestamp(start_ms / 1000, zone).date()
    length = (end_ms - start_ms) // DAY_MS
    weights = weigh_window(weekdays, zone, start_ms, end_ms, ms(now, zone))
    assume(mean > 0 and weights.passed * 10 >= weights.whole)
    used = sum(week[(first + timedelta(days=n)).weekday()] for n in range((now - first).days))
    true = sum(week[(first + timedelta(days=n)).weekday()] for n in range(length))
    found = forecast(used, weights)
    assert found is not None
    assert found >= used
    expected = [(WEEKS * each + mean) / (WEEKS + 1) for each in week]
    passed = sum(expected[(first + timedelta(days=n)).weekday()] for n in range((now - first).days))
    whole = sum(expected[(first + timedelta(days=n)).weekday()] for n in range(length))
    assert abs(found - max(used, used * whole / passed)) <= 1 + true * 1e-9


@given(
    used=st.integers(0, 10**18),
    passed=st.integers(0, 10**12),
    left=st.integers(0, 10**12),
    before=st.integers(0, 10**12),
    used_before=st.integers(-(10**15), 10**18),
)
def test_it_is_never_less_than_is_used(used: int, passed: int, left: int, before: int, used_before: int) -> None:
    found = forecast(used, WindowWeights(passed, passed + left, before), used_before)
    if found is None:
        assert before == 0
        assert passed * 10 < passed + left or passed == 0
    else:
        assert found >= used


def test_in_the_first_tenth_it_goes_on_as_before() -> None:
    assert forecast(50, WindowWeights(99, 1000)) is None
    assert forecast(50, WindowWeights(99, 1000, 500), 1000) == 50 + 901 * 2
    assert forecast(50, WindowWeights(100, 1000, 500), 1000) == 500


def test_few_weeks_weigh_nothing() -> None:
    today = date(2026, 11, 2)
    assert Weekdays.of_days({}, today) == Weekdays.of_days({today - timedelta(days=13): 5}, today) == EVEN
    assert Weekdays.of_days({today - timedelta(days=14): 5}, today) != EVEN
    assert Weekdays.of_days({today - timedelta(days=14): 0, today: 99}, today) == EVEN
