"""Times as people type them."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import click
import pytest

from proxy.cli.moments import local, moment_ms, period_ms, shown

ZONE = ZoneInfo("Europe/Stockholm")
NOW_MS = int(datetime(2026, 3, 31, 23, 30, tzinfo=UTC).timestamp() * 1000)  # 1 April, 01:30 there


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("today", "2026-04-01T00:00+02:00"),
        ("Yesterday", "2026-03-31T00:00+02:00"),
        ("this-week", "2026-03-30T00:00+02:00"),
        ("last-week", "2026-03-23T00:00+01:00"),
        ("this-month", "2026-04-01T00:00+02:00"),
        ("last-month", "2026-03-01T00:00+01:00"),
        ("this-year", "2026-01-01T00:00+01:00"),
        ("2026-11", "2026-11-01T00:00+01:00"),
        ("2026-11-01", "2026-11-01T00:00+01:00"),
        ("2026-11-01T08:00Z", "2026-11-01T08:00+00:00"),
    ],
)
def test_moments(text: str, found: str) -> None:
    assert moment_ms(text, ZONE, NOW_MS, option="--since") == datetime.fromisoformat(found).timestamp() * 1000


def test_spans() -> None:
    assert moment_ms("7d", ZONE, NOW_MS, option="--since") == NOW_MS - 7 * 86_400_000


@pytest.mark.parametrize("text", ["tomorrow", "2026-13", "next", "", "1", "2026"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is not a time I know"):
        moment_ms(text, ZONE, NOW_MS, option="--since")


@pytest.mark.parametrize(
    ("month", "since", "until"),
    [
        ("2026-12", "2026-12-01T00:00+01:00", "2027-01-01T00:00+01:00"),
        ("2026-03", "2026-03-01T00:00+01:00", "2026-04-01T00:00+02:00"),
        ("2028-02", "2028-02-01T00:00+01:00", "2028-03-01T00:00+01:00"),
        ("this-month", "2026-04-01T00:00+02:00", "2026-05-01T00:00+02:00"),
        ("Last-Month", "2026-03-01T00:00+01:00", "2026-04-01T00:00+02:00"),
    ],
)
def test_months(month: str, since: str, until: str) -> None:
    found = period_ms(None, None, month, ZONE, NOW_MS)
    assert found == tuple(datetime.fromisoformat(text).timestamp() * 1000 for text in (since, until))


def test_a_period_is_one_or_the_other() -> None:
    assert period_ms(None, None, None, ZONE, NOW_MS) == (None, None)
    assert period_ms("1d", None, None, ZONE, NOW_MS) == (NOW_MS - 86_400_000, None)
    for since, until, month in (("today", None, "2026-11"), (None, "today", "2026-11")):
        with pytest.raises(click.UsageError, match="Give --month"):
            period_ms(since, until, month, ZONE, NOW_MS)
    with pytest.raises(click.BadParameter, match="not after --since"):
        period_ms("today", "yesterday", None, ZONE, NOW_MS)
    for month in ("today", "7d", "2026", "2026-13"):
        with pytest.raises(click.BadParameter, match=r"month|time I know"):
            period_ms(None, None, month, ZONE, NOW_MS)


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "UTC", "Pacific/Pago_Pago"])
def test_never_is_shown_in_every_zone(zone: str) -> None:
    """An expiry at the very end of the calendar, which the operator's API takes."""
    text = "9999-12-31T23:59:59.000Z"
    assert local(text, ZoneInfo(zone)).year == 9999
    assert str(shown(int(datetime.fromisoformat(text).timestamp()) * 1000, ZoneInfo(zone))).startswith("9999-12-3")
