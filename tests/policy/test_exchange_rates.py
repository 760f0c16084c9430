"""Rates over time: what is held of the past stays, parts of a time make it up, amounts are exact."""

from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.policy.exchange_rates import (
    RateStep,
    dated_steps,
    join_steps,
    local_amount,
    plain_text,
    rate_at,
    rate_spans,
)

HOUR_MS = 3_600_000
MOMENTS = st.integers(0, 50).map(lambda hour: hour * HOUR_MS)
STEPS = st.dictionaries(MOMENTS, st.sampled_from(["1", "2.5", "10"]), max_size=6).map(
    lambda found: tuple(RateStep(*step) for step in sorted(found.items()))
)


@given(st.integers(-(2**63), 2**63 - 1), st.decimals("0.000001", "100000", allow_nan=False, places=9))
def test_amounts_are_exact(pusd: int, rate: Decimal) -> None:
    text = plain_text(local_amount(pusd, str(rate)))
    assert "E" not in text.upper()
    assert Fraction(text) * 10**21 == pusd * int(rate * 10**9)


@given(STEPS, STEPS, MOMENTS, st.integers(0, 60 * HOUR_MS))
def test_the_past_stays_and_the_future_is_as_wanted(
    held: tuple[RateStep, ...], wanted: tuple[RateStep, ...], from_ms: int, at_ms: int
) -> None:
    joined = join_steps(held, wanted, from_ms)
    if wanted and not held:
        expected = rate_at(wanted, max(at_ms, wanted[0].from_ms))
    elif wanted and at_ms >= max(from_ms, wanted[0].from_ms):
        expected = rate_at(wanted, at_ms)
    else:
        expected = rate_at(held, at_ms)
    assert rate_at(joined, at_ms) == expected
    assert join_steps(joined, wanted, from_ms) == joined or not wanted
    assert all(one.from_ms < other.from_ms and one.usd_rate != other.usd_rate for one, other in pairwise(joined)) or (
        joined == held
    )


@given(STEPS, MOMENTS, st.integers(0, 40 * HOUR_MS))
def test_spans_make_up_the_time_with_one_rate_each(steps: tuple[RateStep, ...], start_ms: int, length_ms: int) -> None:
    end_ms = start_ms + length_ms
    spans = list(rate_spans(steps, start_ms, end_ms))
    assert sum(end - start for start, end, _ in spans) == length_ms
    assert [end for _, end, _ in spans[:-1]] == [start for start, _, _ in spans[1:]]
    for start, end, rate in spans:
        assert rate_at(steps, start) == rate_at(steps, end - 1) == rate


@pytest.mark.parametrize(
    ("zone", "hour"),
    [
        ("UTC", "2026-11-05T00:00"),
        ("Asia/Kolkata", "2026-11-04T19:00"),  # its day begins at 18:30
        ("America/New_York", "2026-11-05T05:00"),
    ],
)
def test_a_date_begins_with_the_first_full_hour_of_its_day(zone: str, hour: str) -> None:
    first, second = dated_steps({date(2026, 11, 5): Decimal("10.50"), date(2026, 11, 1): Decimal(10)}, ZoneInfo(zone))
    assert join_steps((), (first, second), 0) == (RateStep(0, "10"), second)  # the first for all that was before, too
    assert (first.usd_rate, second.from_ms - first.from_ms) == ("10", (96 + (zone == "America/New_York")) * HOUR_MS)
    assert second.usd_rate == "10.5"
    assert second.from_ms % HOUR_MS == 0
    assert datetime.fromtimestamp(second.from_ms / 1000, UTC).isoformat()[:16] == hour


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "UTC", "Pacific/Pago_Pago"])
def test_dates_at_the_ends_of_the_calendar(zone: str) -> None:
    dated = {date.min: Decimal(1), date(1969, 12, 31): Decimal(2), date(2026, 11, 1): Decimal(3), date.max: Decimal(4)}
    steps = dated_steps(dated, ZoneInfo(zone))
    assert [step.usd_rate for step in steps] == ["2", "3", "4"]
    assert steps[0].from_ms == 0
