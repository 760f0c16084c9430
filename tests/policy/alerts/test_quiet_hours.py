"""Quiet hours by the clock of a zone, also in nights with a shift."""

from datetime import UTC, datetime, time
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.policy.alerts.quiet_hours import QuietHours

STOCKHOLM = ZoneInfo("Europe/Stockholm")
NIGHT = QuietHours(time(22), time(7), STOCKHOLM)


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


@pytest.mark.parametrize(
    ("now", "end"),
    [
        ("2026-11-21T21:59:59+01:00", None),
        ("2026-11-21T22:00:00+01:00", "2026-11-22T07:00:00+01:00"),
        ("2026-11-22T06:59:59+01:00", "2026-11-22T07:00:00+01:00"),
        ("2026-11-22T07:00:00+01:00", None),
        ("2026-10-24T23:00:00+02:00", "2026-10-25T07:00:00+01:00"),  # the clock is set back in this night
        ("2026-03-28T23:00:00+01:00", "2026-03-29T07:00:00+02:00"),
    ],
)
def test_over_midnight(now: str, end: str | None) -> None:
    assert NIGHT.end_ms(ms(now)) == (None if end is None else ms(end))


def test_within_a_day_and_never() -> None:
    noon = QuietHours(time(12), time(13, 30), STOCKHOLM)
    assert noon.end_ms(ms("2026-11-21T12:00:00+01:00")) == ms("2026-11-21T13:30:00+01:00")
    assert noon.end_ms(ms("2026-11-21T13:30:00+01:00")) is None
    assert QuietHours(time(12), time(12), STOCKHOLM).end_ms(ms("2026-11-21T12:00:00+01:00")) is None


@given(st.integers(ms("2026-01-01T00:00:00+00:00"), ms("2027-01-01T00:00:00+00:00")), st.times(), st.times())
def test_an_end_is_ahead_and_is_not_quiet(now_ms: int, starts: time, ends: time) -> None:
    quiet = QuietHours(starts.replace(microsecond=0), ends.replace(microsecond=0), STOCKHOLM)
    end_ms = quiet.end_ms(now_ms)
    if end_ms is not None:
        assert now_ms < end_ms <= now_ms + 26 * 3_600_000
        assert datetime.fromtimestamp(end_ms / 1000, UTC)
