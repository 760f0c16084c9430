"""The period of a page: whole days in the zone, and the one before it of the same kind."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from proxy.web.dashboard.period import CHOICES, read_period

ZONE = ZoneInfo("Europe/Stockholm")
NOW = datetime(2026, 11, 3, 15, 20, tzinfo=ZONE)
NOW_MS = round(NOW.timestamp() * 1000)


def at(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=ZONE).timestamp() * 1000)


@pytest.mark.parametrize(
    ("word", "since", "until", "before"),
    [
        ("24h", "2026-11-02T16:00", "2026-11-03T15:20", "2026-11-01T16:40"),
        ("7d", "2026-10-28T00:00", "2026-11-03T15:20", "2026-10-21T09:00"),
        ("30d", "2026-10-05T00:00", "2026-11-03T15:20", "2026-09-05T07:00"),
        ("month", "2026-11-01T00:00", "2026-11-03T15:20", "2026-10-01T00:00"),
        ("last-month", "2026-10-01T00:00", "2026-11-01T00:00", "2026-09-01T00:00"),
        ("2026-03", "2026-03-01T00:00", "2026-04-01T00:00", "2026-02-01T00:00"),
    ],
)
def test_periods(word: str, since: str, until: str, before: str) -> None:
    period = read_period(word, ZONE, NOW_MS)
    assert (period.since_ms, period.until_ms) == (at(since), at(until))
    assert period.before_ms == at(before)
    assert datetime.fromisoformat(period.since).timestamp() * 1000 == period.since_ms
    assert period.before < period.since < period.until


def test_all_choices_are_periods_and_thirty_days_are_usual() -> None:
    assert [read_period(word, ZONE, NOW_MS).word for word in CHOICES] == [*CHOICES]
    assert read_period(None, ZONE, NOW_MS) == read_period("30d", ZONE, NOW_MS)


@pytest.mark.parametrize("word", ["fortnight", "2026-13", "2026-1", "<script>", "today"])
def test_other_words_are_refused_with_what_may_be_written(word: str) -> None:
    with pytest.raises(ValueError, match=r"2026-11"):
        read_period(word, ZONE, NOW_MS)
