"""Which days are compared when."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from proxy.policy.reconciliation.sync_schedule import (
    KEPT_DAYS,
    DayState,
    changed_days,
    daily_days,
    day_of,
    days_between,
    hourly_days,
    is_hour_over,
    last_daily_ms,
    past_days,
    start_ms,
)

STOCKHOLM = ZoneInfo("Europe/Stockholm")
THREE = time(3)


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


def state(at: str, *, is_final: bool = True, is_pending: bool = False) -> DayState:
    return DayState(ms(at), is_final, is_pending)


def test_days_are_those_of_utc() -> None:
    assert day_of(ms("2026-11-29T23:59:59Z")) == date(2026, 11, 29)
    assert start_ms(date(2026, 11, 29)) == ms("2026-11-29T00:00:00Z")
    assert days_between(date(2026, 2, 27), date(2026, 3, 1)) == [date(2026, 2, d) for d in (27, 28)] + [
        date(2026, 3, 1)
    ]
    assert len(past_days(date(2026, 11, 29))) == KEPT_DAYS


@pytest.mark.parametrize(
    ("now", "last"),
    [
        ("2026-11-29T02:00:00Z", "2026-11-29T02:00:00Z"),  # 03:00 in Stockholm
        ("2026-11-29T01:59:59Z", "2026-11-28T02:00:00Z"),
        ("2026-07-01T01:00:00Z", "2026-07-01T01:00:00Z"),  # in summer
    ],
)
def test_the_hour_is_of_the_zone(now: str, last: str) -> None:
    assert last_daily_ms(ms(now), STOCKHOLM, THREE) == ms(last)


def test_an_hour_that_the_clocks_skip_comes_all_the_same() -> None:
    """On 29 March 2026 clocks go from 02:00 to 03:00 in Stockholm: there is no half past two."""
    moments = {last_daily_ms(ms("2026-03-29T00:00:00Z") + n * 600_000, STOCKHOLM, time(2, 30)) for n in range(150)}
    assert len(moments) == 3  # the day before, this day, the next


def test_yesterday_is_compared_once_it_is_over() -> None:
    early = daily_days(ms("2026-11-29T01:30:00Z"), STOCKHOLM, THREE, _all_but("2026-11-28", "2026-11-29T00:00:00Z"))
    assert early == []
    late = daily_days(ms("2026-11-29T02:00:00Z"), STOCKHOLM, THREE, _all_but("2026-11-28", "2026-11-29T00:00:00Z"))
    assert late == [date(2026, 11, 28)]


def test_missed_days_are_made_up() -> None:
    now_ms = ms("2026-11-29T12:00:00Z")
    assert daily_days(now_ms, STOCKHOLM, THREE, {}) == past_days(date(2026, 11, 29))


def test_a_day_that_is_not_final_is_compared_each_day() -> None:
    now_ms, day = ms("2026-11-29T12:00:00Z"), date(2026, 11, 20)
    known = _all_but("2026-11-20", "2026-11-29T00:00:00Z")
    before = {**known, day: state("2026-11-28T12:00:00Z", is_final=False)}
    assert daily_days(now_ms, STOCKHOLM, THREE, before) == [day]
    done = {**known, day: state("2026-11-29T02:00:10Z", is_final=False)}
    assert daily_days(now_ms, STOCKHOLM, THREE, done) == []


def test_each_hour_looks_at_today_and_at_what_is_awaited() -> None:
    now_ms = ms("2026-11-29T12:00:00Z")
    known = {
        date(2026, 11, 20): state("2026-11-21T02:00:00Z", is_final=False, is_pending=True),
        date(2026, 11, 21): state("2026-11-22T02:00:00Z"),
        date(2026, 10, 1): state("2026-10-02T02:00:00Z", is_pending=True),  # the provider has forgotten it
    }
    assert hourly_days(now_ms, known) == [date(2026, 11, 20), date(2026, 11, 29)]


def test_a_sum_that_the_provider_changed_is_noticed() -> None:
    days = [date(2026, 11, day) for day in (3, 2, 1)]
    known = {"2026-11-01": 5, "2026-11-02": 6}
    assert changed_days(known, {"2026-11-01": 5, "2026-11-02": 7, "2026-11-03": 1}, days) == days[1::-1]
    assert not changed_days(known, known, days)


def _all_but(day: str, compared: str) -> dict[date, DayState]:
    now = datetime.fromisoformat(compared).astimezone(UTC).date()
    days = days_between(now - timedelta(days=40), now)
    return {each: state(compared) for each in days if each.isoformat() != day}


def test_a_clock_that_was_ahead_holds_up_no_look() -> None:
    now_ms = 1_790_000_000_000
    assert is_hour_over(None, now_ms)
    assert not is_hour_over(now_ms - 3_599_999, now_ms)
    assert is_hour_over(now_ms - 3_600_000, now_ms)
    assert is_hour_over(now_ms + 10 * 86_400_000, now_ms)
