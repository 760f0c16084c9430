"""The grammar of limits: every way to write one, every way to get it wrong."""

import re
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.diagnostic import SettingError
from proxy.config.limit import CALENDAR, Limit, is_rolling, parse_limit
from proxy.config.show import limit_text
from proxy.core.limit_kinds import NAMES
from proxy.core.money import PUSD_PER_USD

windows = st.one_of(
    st.sampled_from(CALENDAR),
    st.integers(1, 366).map(lambda days: f"{days}d"),
    st.integers(1, 366 * 24).map(lambda hours: f"{hours}h"),
)


@pytest.mark.parametrize(
    ("kind", "text", "amount", "window"),
    [
        ("cost", "$2/day", 2 * PUSD_PER_USD, "day"),
        ("cost", "2/day", 2 * PUSD_PER_USD, "day"),
        ("cost", " $50 / hour ", 50 * PUSD_PER_USD, "hour"),
        ("cost", "$500/30d", 500 * PUSD_PER_USD, "30d"),
        ("cost", "$100", 100 * PUSD_PER_USD, "total"),
        ("cost", "$100/total", 100 * PUSD_PER_USD, "total"),
        ("cost", "$0/day", 0, "day"),
        ("cost", "$0.000000000001/day", 1, "day"),
        ("cost", "$1_000.50/month", 1000 * PUSD_PER_USD + PUSD_PER_USD // 2, "month"),
        ("cost", 5, 5 * PUSD_PER_USD, "total"),
        ("cost", Decimal("2.50"), 2 * PUSD_PER_USD + PUSD_PER_USD // 2, "total"),
        ("requests", "60/minute", 60, "minute"),
        ("requests", "1k/12h", 1000, "12h"),
        ("tokens", "1M/day", 10**6, "day"),
        ("tokens", "1.5M/day", 1_500_000, "day"),
        ("tokens", "1_000_000/day", 10**6, "day"),
        ("tokens", "2B/total", 2 * 10**9, "total"),
        ("images", "10/day", 10, "day"),
        ("images", "10 images/day", 10, "day"),
        ("tokens", "2M tokens/day", 2 * 10**6, "day"),
        ("concurrency", "4", 4, ""),
        ("concurrency", 4, 4, ""),
    ],
)
def test_short_form(kind: str, text: str, amount: int, window: str) -> None:
    assert parse_limit(kind, text) == Limit(kind, amount, window, "hard")


@pytest.mark.parametrize(
    ("kind", "block", "limit"),
    [
        ("cost", {"amount": "$2", "window": "day"}, Limit("cost", 2 * PUSD_PER_USD, "day", "hard")),
        ("cost", {"amount": 2, "mode": "soft"}, Limit("cost", 2 * PUSD_PER_USD, "total", "soft")),
        ("tokens", {"amount": "1M", "window": "7d", "mode": "hard"}, Limit("tokens", 10**6, "7d", "hard")),
        ("concurrency", {"amount": 3, "mode": "soft"}, Limit("concurrency", 3, "", "soft")),
    ],
)
def test_long_form(kind: str, block: dict[str, object], limit: Limit) -> None:
    assert parse_limit(kind, block) == limit


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        ("cost", "$2/dya", 'Did you mean "day"?'),
        ("cost", "$2/daily", 'Did you mean "day"?'),
        ("cost", "$2/hours", 'Did you mean "hour"?'),
        ("cost", "$2/xyzzy", "must have a window of minute, hour, day, week, month, total, or rolling"),
        ("cost", "$2/30m", "must have a window of"),
        ("cost", "$2/0d", "must have a window of"),
        ("cost", "$2/367d", "at most 366d"),
        ("cost", "$2/day/user", "must have a window of"),
        ("cost", "€2/day", "must be an amount in USD like $2/day"),
        ("cost", "-$2/day", "must be an amount in USD"),
        ("cost", "-2/day", "must be an amount in USD"),
        ("cost", "$/day", "must be an amount in USD"),
        ("cost", "$1e3/day", "must be an amount in USD"),
        ("cost", "$0.0000000000001/day", "at most twelve decimals"),
        ("cost", "$10000000/day", "at most $9,000,000"),
        ("cost", True, "must be a limit like $2/day"),
        ("cost", None, "must be a limit like $2/day"),
        ("cost", ["$2/day"], "must be a limit like $2/day"),
        ("requests", "60", "needs a window. Write it like 60/minute."),
        ("requests", "0/minute", "must be at least 1"),
        ("requests", "0.5/minute", "must be a whole number of requests"),
        ("requests", "$60/minute", "must be a limit like 60/minute"),
        ("requests", "9999999999999999/day", "must be at most"),
        ("tokens", "1T/day", "must be a limit like 1M/day"),
        ("concurrency", -1, "must be at least 1"),
        ("concurrency", "0", "must be at least 1"),
        ("concurrency", "4/minute", "has no window"),
        ("concurrency", "many", "must be a whole number of open requests like 4"),
        ("cost", {}, "amount is missing. Write amount: $2"),
        ("cost", {"amount": "$2/day"}, "must be the amount alone"),
        ("cost", {"amount": "$2", "window": "dya"}, 'Did you mean "day"?'),
        ("cost", {"amount": "$2", "windw": "day"}, 'unknown key "windw". Did you mean "window"?'),
        ("cost", {"amount": "$2", "mode": "medium"}, 'must be "hard" or "soft"'),
    ],
)
def test_mistakes_tell_what_to_write(kind: str, value: object, text: str) -> None:
    with pytest.raises(SettingError, match=re.escape(text)):
        parse_limit(kind, value)


@given(st.integers(0, 9 * 10**6 * PUSD_PER_USD), windows)
def test_any_amount_of_money_survives_being_written_and_read(pusd: int, window: str) -> None:
    limit = Limit("cost", pusd, window)
    assert parse_limit("cost", limit_text(limit)) == limit


@given(st.sampled_from(["requests", "tokens"]), st.integers(1, 10**15), windows)
def test_any_count_survives_being_written_and_read(kind: str, count: int, window: str) -> None:
    limit = Limit(kind, count, window)
    assert parse_limit(kind, limit_text(limit)) == limit


@given(st.sampled_from(NAMES), st.text(max_size=30))
def test_any_text_gives_a_sound_limit_or_a_text(kind: str, text: str) -> None:
    refusal = None
    try:
        limit = parse_limit(kind, text)
    except SettingError as error:
        refusal = error
    else:
        assert isinstance(limit.amount, int)
        assert limit.amount >= 0
        assert limit.window in CALENDAR or is_rolling(limit.window) or (kind == "concurrency" and not limit.window)
    assert refusal is None or str(refusal)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.decimals(allow_nan=True) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["amount", "window", "mode", "x"]), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(st.sampled_from(NAMES), json_values)
def test_any_value_gives_a_limit_or_a_text(kind: str, value: object) -> None:
    try:
        outcome: object = parse_limit(kind, value)
    except SettingError as error:
        outcome = error
    assert isinstance(outcome, Limit | SettingError)
    assert str(outcome)
