"""The whole hours of a day: all of it where its zone is whole hours off UTC, never more than it."""

from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from proxy.policy.day_span import day_span
from proxy.policy.quota.window import HOUR_MS, window_bounds

ZONES = ("UTC", "Europe/Stockholm", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "Asia/Gaza")


@given(st.sampled_from(ZONES), st.integers(1_420_070_400_000, 2_366_841_600_000))
def test_the_whole_hours_of_a_day(name: str, at_ms: int) -> None:
    zone = ZoneInfo(name)
    day = day_span(zone, at_ms)
    start_ms, end_ms = window_bounds("day", zone, at_ms)
    assert end_ms is not None
    assert 0 <= day.start_ms - start_ms < HOUR_MS
    assert 0 <= end_ms - day.end_ms < HOUR_MS
    assert day.start_ms % HOUR_MS == day.end_ms % HOUR_MS == 0
    assert day.covers(day.start_ms)
    assert not day.covers(day.end_ms)
    if not start_ms % HOUR_MS:
        assert day.start_ms == start_ms
