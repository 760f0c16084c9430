"""Windows tile: every instant lies in exactly one, in every zone, over clock changes of every kind."""

import os
import random
import zoneinfo
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from importlib import resources
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.policy.quota.window import HOUR_MS, MINUTE_MS, length_ms, rolling_hours, window_at, window_bounds

LONG = os.environ.get("TOLLKEEPER_LONG") == "1"
QUARTER_MS = 15 * MINUTE_MS
NAMES = sorted(zoneinfo.available_timezones() - {"localtime", "posixrules", "Factory"})
# Half and quarter hours, shifts of half an hour and of two hours, midnights left out, days left out.
ODD = [
    *(
        "UTC",
        "Europe/Stockholm",
        "America/New_York",
        "Australia/Lord_Howe",
        "Asia/Kathmandu",
        "Pacific/Chatham",
    ),
    *(
        "Africa/Cairo",
        "America/Santiago",
        "America/Asuncion",
        "Asia/Beirut",
        "Antarctica/Troll",
        "America/Havana",
    ),
    *(
        "Asia/Kolkata",
        "Africa/Casablanca",
        "America/Nuuk",
        "America/Scoresbysund",
        "Asia/Gaza",
        "Pacific/Apia",
    ),
]


def _distinct(names: list[str]) -> list[str]:
    """Leave out names that are only another name of the same rules."""
    folder = resources.files("tzdata.zoneinfo")
    return list({folder.joinpath(name).read_bytes(): name for name in names}.values())


ZONES = _distinct(NAMES) if LONG else sorted({*ODD, *random.Random(3).sample(NAMES, 30)})


def _ms(*parts: int, zone: str = "UTC") -> int:
    return int(datetime(*parts, tzinfo=ZoneInfo(zone)).timestamp()) * 1000  # type: ignore[misc,arg-type]


FIRST_MS, LAST_MS = _ms(2020, 1, 1), _ms(2040, 12, 31)


def _step(window: str, zone: ZoneInfo, start_ms: int, last_ms: int) -> Iterator[tuple[int, int]]:
    while start_ms < last_ms:
        first, end = window_bounds(window, zone, start_ms)
        assert end is not None
        yield first, end
        start_ms = end


@pytest.mark.sampled(0.3)
@pytest.mark.parametrize("name", ZONES)
def test_days_weeks_and_months_tile(name: str) -> None:
    zone = ZoneInfo(name)
    dice = random.Random(name)
    for window, spread in (("day", 3.5), ("week", 3.5), ("month", 75)):
        begin_ms = window_bounds(window, zone, FIRST_MS)[0]
        at_ms = begin_ms
        for start, end in _step(window, zone, begin_ms, LAST_MS):
            assert start == at_ms < end
            assert start % QUARTER_MS == 0
            assert abs((end - start) - length_ms(window)) <= spread * HOUR_MS
            at_ms = end
            if window != "day" or dice.random() < 0.25:
                assert window_bounds(window, zone, end - 1) == (start, end)
                _check_start(window, zone, start)


def _check_start(window: str, zone: ZoneInfo, start_ms: int) -> None:
    """Hold the first instant against the calendar: it has a new date, the second before has the old one."""
    local = datetime.fromtimestamp(start_ms // 1000, UTC).astimezone(zone)
    before = (datetime.fromtimestamp(start_ms // 1000, UTC) - timedelta(seconds=1)).astimezone(zone)
    assert before.date() < local.date()
    if window == "week":
        assert local.weekday() == 0
    if window == "month":
        assert local.day == 1


@pytest.mark.sampled(0.3)
@pytest.mark.parametrize("name", ODD)
def test_hours_and_minutes_tile(name: str) -> None:
    zone = ZoneInfo(name)
    for window in ("hour", "minute"):
        months = range(1, 13) if window == "hour" else (4,)
        for month in months:
            begin_ms = window_bounds(window, zone, _ms(2026, month, 1))[0]
            at_ms = begin_ms
            for start, end in _step(window, zone, begin_ms, begin_ms + (31 if window == "hour" else 1) * 24 * HOUR_MS):
                assert start == at_ms < end <= start + length_ms(window)
                assert window_bounds(window, zone, (start + end) // 2) == (start, end)
                assert window_bounds(window, zone, end - 1) == (start, end)
                at_ms = end


@given(
    st.sampled_from(ODD),
    st.sampled_from(["minute", "hour", "day", "week", "month"]),
    st.integers(FIRST_MS, LAST_MS),
)
def test_every_instant_lies_in_its_window(name: str, window: str, now_ms: int) -> None:
    zone = ZoneInfo(name)
    start, end = window_bounds(window, zone, now_ms)
    assert end is not None
    assert start <= now_ms < end
    assert window_bounds(window, zone, start) == (start, end)
    assert window_bounds(window, zone, start - 1)[1] == start
    assert window_bounds(window, zone, end)[0] == end


@pytest.mark.parametrize(
    ("name", "day", "hours"),
    [
        ("Europe/Stockholm", (2026, 3, 29), 23),
        ("Europe/Stockholm", (2026, 10, 25), 25),
        ("America/Havana", (2026, 11, 1), 25),
        ("America/Santiago", (2026, 9, 6), 23),  # 00:00 does not exist
        ("Africa/Cairo", (2026, 4, 24), 23),  # nor here
        ("Australia/Lord_Howe", (2026, 4, 5), 24.5),
        ("Australia/Lord_Howe", (2026, 10, 4), 23.5),
        ("Antarctica/Troll", (2026, 3, 29), 22),
        ("Asia/Kathmandu", (2026, 1, 1), 24),
    ],
)
def test_days_are_as_long_as_they_are(name: str, day: tuple[int, int, int], hours: float) -> None:
    start, end = window_bounds("day", ZoneInfo(name), _ms(*day, 12, zone=name))
    assert end is not None
    assert (end - start) / HOUR_MS == hours


def test_a_date_that_a_zone_left_out_has_no_window() -> None:
    zone = ZoneInfo("Pacific/Apia")  # went from 29 to 31 December 2011
    start, end = window_bounds("day", zone, _ms(2011, 12, 29, 12, zone="Pacific/Apia"))
    assert end is not None
    assert end - start == 24 * HOUR_MS
    local = datetime.fromtimestamp(end // 1000, UTC).astimezone(zone)
    assert (local.month, local.day, local.hour) == (12, 31, 0)
    assert window_bounds("day", zone, end)[0] == end


def test_a_day_begins_when_the_clock_jumps_over_its_midnight() -> None:
    zone = ZoneInfo("America/Toronto")  # on 30 March 1919 the clock went from 23:30 to 00:30
    jump_ms = _ms(1919, 3, 31, 4, 30)
    assert window_bounds("day", zone, jump_ms)[0] == jump_ms
    assert window_bounds("day", zone, jump_ms - 1)[1] == jump_ms
    assert window_bounds("day", zone, jump_ms + 20 * MINUTE_MS)[0] == jump_ms


def test_a_clock_set_back_over_midnight_does_not_reopen_yesterday() -> None:
    zone = ZoneInfo("America/St_Johns")  # until 2011 the clock went back at 00:01, to 23:01 of the day before
    back_ms = _ms(2010, 11, 7, 2, 31)
    start, end = window_bounds("day", zone, back_ms - 30_000)
    assert start == back_ms - MINUTE_MS
    assert window_bounds("day", zone, back_ms + HOUR_MS // 2) == (start, end)
    assert window_bounds("day", zone, start - 1)[1] == start


def test_rolling_windows_count_the_running_hour_and_the_hours_before() -> None:
    zone = ZoneInfo("Asia/Kolkata")
    now_ms = _ms(2026, 11, 21, 10, 59)
    assert window_at("24h", zone, now_ms) == window_at("1d", zone, now_ms)
    found = window_at("24h", zone, now_ms)
    assert found.start_ms == _ms(2026, 11, 20, 10)
    assert found.end_ms is None
    assert found.until_ms == _ms(2026, 11, 21, 11)


def test_total_has_no_end() -> None:
    assert window_bounds("total", ZoneInfo("UTC"), 5) == (0, None)


@pytest.mark.parametrize("window", ["", "d", "0d", "year", "5m", "-1d", "1.5h", "²d", "Day"])
def test_what_is_no_window_raises(window: str) -> None:
    assert rolling_hours(window) is None
    with pytest.raises(ValueError, match="is not a window"):
        window_at(window, ZoneInfo("UTC"), 0)
    with pytest.raises(ValueError, match="is not a window"):
        length_ms(window)
