"""How figures are written for people: what is rounded is never less than it was, as far as 0 goes."""

from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.web.dashboard.figures import (
    count_text,
    duration_text,
    money,
    money_text,
    share_text,
    short_count_text,
    time_element,
    time_text,
)

USD = 10**12
MINUS = "\N{MINUS SIGN}"


@pytest.mark.parametrize(
    ("pusd", "text"),
    [
        (0, "$0.00"),
        (USD, "$1.00"),
        (1204 * USD + USD // 2, "$1,204.50"),
        (11 * 10**9, "$0.011"),
        (4_100_000_000, "$0.0041"),
        (168_000_000, "$0.000168"),
        (1, "$0.000000000001"),
        (USD // 2, "$0.50"),
        (-USD // 4, f"{MINUS}$0.25"),
        (None, "\N{EN DASH}"),
    ],
)
def test_amounts(pusd: int | None, text: str) -> None:
    assert money_text(pusd) == text


@given(st.integers(min_value=-(2**62), max_value=2**62))
def test_an_amount_is_near_what_it_says_and_only_nothing_reads_as_nothing(pusd: int) -> None:
    text = money_text(pusd).replace("$", "").replace(",", "").replace(MINUS, "-")
    shown = Decimal(text).scaleb(12)
    assert (shown == 0) == (pusd == 0)
    assert abs(shown - pusd) <= max(Decimal(abs(pusd)) / 100, Decimal(1))
    assert f'value="{Decimal(pusd).scaleb(-12).normalize():f}"' in money(pusd) or pusd == 0


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0"), (999, "999"), (18_342, "18.3 k"), (912_000, "912 k"), (91_200_000, "91.2 M")]
)
def test_large_counts(number: int, text: str) -> None:
    assert short_count_text(number) == text


def test_other_figures() -> None:
    assert count_text(1_234_567) == "1,234,567"
    assert count_text(2.25) == "2.2"
    assert [share_text(share) for share in (0, 0.0001, 0.003, 0.47, Decimal("0.995"))] == [
        "0.0 %",
        "< 0.1 %",
        "0.3 %",
        "47 %",
        "100 %",
    ]
    lengths = (0.6, 738, 12_400, 300_000, 25_200_000, 864_000_000)
    assert [duration_text(each) for each in lengths] == ["0.6 ms", "738 ms", "12.4 s", "5 min", "7 h", "10 d"]


def test_a_moment_is_in_the_zone_and_says_so() -> None:
    zone = ZoneInfo("Europe/Stockholm")
    assert time_text("2026-07-01T22:00:00Z", zone) == "2026-07-02 00:00:00"
    element = time_element(1_782_943_200_000, zone)
    assert 'datetime="2026-07-01T22:00:00+00:00"' in element
    assert 'title="2026-07-02 00:00:00 Europe/Stockholm"' in element


def test_a_moment_at_the_end_of_the_calendar() -> None:
    """It means never; the day after it has no name in zones that are ahead."""
    assert time_text("9999-12-31T23:59:59.000Z", ZoneInfo("Asia/Kolkata")) == "9999-12-31 05:30:00"
