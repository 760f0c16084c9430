"""Times as people type them."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import click
import pytest

from proxy.cli.moments import moment_ms

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
