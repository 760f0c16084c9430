"""The axis of time: round local times, through the changes of the clock."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.web.dashboard.charts.time_axis import TimeAxis

BERLIN = ZoneInfo("Europe/Berlin")
ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Asia/Kolkata",
    "Australia/Lord_Howe",
    "Africa/Cairo",
    "Asia/Beirut",
)


def ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def hours(first: datetime, count: int) -> list[int]:
    return [ms(first.astimezone(UTC) + timedelta(hours=n)) for n in range(count)]


def days(zone: ZoneInfo, first: str, count: int) -> list[int]:
    start = datetime.fromisoformat(first)
    return [ms((start + timedelta(days=n)).replace(tzinfo=zone)) for n in range(count)]


@given(st.sampled_from(ZONES), st.integers(0, 4_000_000_000), st.integers(1, 400_000_000), st.integers(2, 12))
@settings(max_examples=80)
def test_ticks_are_few_in_order_and_within(zone: str, start_s: int, length_s: int, most: int) -> None:
    axis = TimeAxis([start_s * 1000, (start_s + length_s) * 1000], ZoneInfo(zone))
    ticks = axis.ticks(most)
    assert len(ticks) <= most + 1
    places = [tick.at_ms for tick in ticks]
    assert places == sorted({*places})
    assert all(start_s * 1000 <= place <= (start_s + length_s) * 1000 for place in places)
    assert all(0 <= axis.share(place) <= 1 for place in places)


def test_days_begin_at_local_midnight_through_the_change_of_the_clock() -> None:
    axis = TimeAxis(days(BERLIN, "2026-10-22", 7), BERLIN)  # the clock goes back on the 25th
    assert [tick.text for tick in axis.ticks()] == [f"10-{day}" for day in range(22, 29)]
    assert [tick.at_ms for tick in axis.ticks()] == list(axis.starts_ms)
    assert axis.text(3) == "2026-10-25"


def test_the_hour_that_comes_twice_has_its_offset() -> None:
    axis = TimeAxis(hours(datetime(2026, 10, 25, tzinfo=BERLIN), 5), BERLIN)
    assert [axis.text(n) for n in range(5)] == [
        "2026-10-25 00:00", "2026-10-25 01:00", "2026-10-25 02:00 +0200", "2026-10-25 02:00 +0100", "2026-10-25 03:00",
    ]  # fmt: skip


def test_the_hour_that_does_not_come_has_no_tick() -> None:
    axis = TimeAxis(hours(datetime(2026, 3, 29, tzinfo=BERLIN), 6), BERLIN)
    assert [tick.text for tick in axis.ticks()] == ["03-29", "01:00", "03:00", "04:00", "05:00", "06:00"]


def test_days_that_begin_at_one() -> None:
    """In Cairo the clock skips midnight on 2026-04-24."""
    zone = ZoneInfo("Africa/Cairo")
    axis = TimeAxis(days(zone, "2026-04-22", 5), zone)
    assert [axis.text(n) for n in range(5)] == [f"2026-04-{day}" for day in range(22, 27)]


def test_months_and_years() -> None:
    starts = [ms(datetime(2026 + n // 12, n % 12 + 1, 1, tzinfo=BERLIN)) for n in range(36)]
    axis = TimeAxis(starts, BERLIN)
    assert axis.text(1) == "2026-02"
    assert [tick.text for tick in axis.ticks()] == ["2026-01", "2026-07", "2027-01", "2027-07", "2028-01", "2028-07"]
    assert [
        tick.text for tick in TimeAxis([ms(datetime(y, 1, 1, tzinfo=BERLIN)) for y in (2020, 2027)], BERLIN).ticks()
    ] == [str(year) for year in range(2020, 2028)]


def test_one_point_and_none() -> None:
    (only,) = TimeAxis(days(BERLIN, "2026-11-03", 1), BERLIN).ticks()
    assert only.text == "2026-11-03"
    assert TimeAxis([], BERLIN).ticks() == []


def test_points_in_disorder_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="in order"):
        TimeAxis([2, 1], BERLIN)
