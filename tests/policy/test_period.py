"""Times as people type them, for the command line and the operator's API."""

from datetime import datetime
from zoneinfo import ZoneInfo, available_timezones

import pytest

from proxy.policy.period import MOMENT_NAMES, read_moment, read_month, span_ms

ZONE = ZoneInfo("Europe/Stockholm")
NOW_MS = int(datetime.fromisoformat("2026-04-01T01:30+02:00").timestamp() * 1000)


def test_a_span_counts_back_or_ahead() -> None:
    assert span_ms("90m") == 5_400_000
    assert (span_ms("month"), span_ms("7x")) == (None, None)
    assert read_moment("2h", ZONE, NOW_MS) == NOW_MS - 7_200_000
    assert read_moment("2h", ZONE, NOW_MS, ahead=True) == NOW_MS + 7_200_000
    assert read_moment("999999w", ZONE, NOW_MS) == 0


def test_a_name_is_the_first_instant_of_its_time_in_the_zone() -> None:
    for name in MOMENT_NAMES:
        found = datetime.fromtimestamp(read_moment(name, ZONE, NOW_MS) / 1000, ZONE)
        assert (found.hour, found.minute) == (0, 0)
    assert datetime.fromtimestamp(read_moment("last-week", ZONE, NOW_MS) / 1000, ZONE).weekday() == 0


def test_a_month_ends_where_the_next_begins() -> None:
    ends = [read_month(f"2026-{month:02}", ZONE, NOW_MS) for month in range(1, 13)]
    assert all(ends[n][1] == ends[n + 1][0] for n in range(11))
    assert read_month("this-month", ZONE, NOW_MS) == ends[3]
    assert read_month(" Last-Month ", ZONE, NOW_MS) == ends[2]


@pytest.mark.parametrize("text", ["2026", "2026-13", "today", "7d", "", "9999-12", "0001-01", "1969-12"])
def test_what_is_no_month(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a month"):
        read_month(text, ZONE, NOW_MS)


@pytest.mark.parametrize("text", ["tomorrow", "2026-13-01", "1960-01-01", "", "0001-01-01", "9999-12-31T23:59-12:00"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(ValueError, match="is not a time I know"):
        read_moment(text, ZONE, NOW_MS)


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "UTC", "Pacific/Pago_Pago"])
@pytest.mark.parametrize("text", ["9999-12-30", "9999-12-31T00:00Z"])
def test_what_is_read_can_be_shown_in_every_zone(zone: str, text: str) -> None:
    found_ms = read_moment(text, ZoneInfo(zone), NOW_MS)
    shown = {datetime.fromtimestamp(found_ms / 1000, ZoneInfo(one)).year for one in available_timezones()}
    assert shown == {9999}


def test_a_span_beyond_the_calendar_is_no_time() -> None:
    with pytest.raises(ValueError, match="is not a time I know"):
        read_moment("999999w", ZONE, NOW_MS, ahead=True)
