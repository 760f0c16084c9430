"""Values that rules are held against."""

from hypothesis import example, given
from hypothesis import strategies as st

from proxy.policy.alerts import measures
from proxy.policy.forecast import WindowWeights
from proxy.policy.quota import LimitRow


def row(used: int, limit: int, reserved: int = 0) -> LimitRow:
    return LimitRow("user:anna", "cost", "day", "hard", limit, used, reserved, max(0, limit - used - reserved), None)


@given(st.integers(0, 10**18), st.integers(1, 10**18))
@example(99_999, 100_000)
def test_a_share_is_100_exactly_where_all_is_used(used: int, limit: int) -> None:
    reading = measures.limit_share(row(used, limit), 5, with_reserved=False)
    assert (reading.value >= 100) == (used >= limit)
    assert reading.window_ms == 5


def test_reserved_amounts_count_apart() -> None:
    held = row(4 * 10**12, 5 * 10**12, 10**12)
    assert measures.limit_share(held, 0, with_reserved=False).value == 80
    assert measures.limit_share(held, 0, with_reserved=True).value == 100
    assert measures.limit_share(held, 0, with_reserved=False).detail == "$4 of $5 is used, $1 more is reserved"


def test_a_limit_is_named_by_all_that_tells_it_from_others() -> None:
    soft = row(1, 2)._replace(mode="soft", models=("a/*", "b"))
    assert measures.limit_subject(soft) == "user:anna cost day soft of a/*, b"


def test_a_forecast_waits_for_a_tenth_of_the_window() -> None:
    assert measures.limit_forecast(row(50, 100), 0, WindowWeights(99, 1000)) is None
    early = measures.limit_forecast(row(50, 100), 0, WindowWeights(100, 1000))
    assert early is not None
    assert early.value == 500
    late = measures.limit_forecast(row(50, 100), 0, WindowWeights(1000, 1000))
    assert late is not None
    assert late.value == 50


def test_spending_against_last_week() -> None:
    assert measures.spend_rate("all", 30, 10, 1).value == 300
    assert measures.spend_rate("all", 30, 0, 10).value == 300
    assert measures.spend_rate("all", 9, 1, 10).value == 0, "small change alarms nobody"


def test_a_rate_of_few_is_none() -> None:
    assert measures.rate("all", 5, 5, 20).value == 0
    assert measures.rate("all", 5, 20, 20).value == 25


@given(st.integers(0, 10**9))
def test_a_bucket_ends_above_what_is_in_it_and_closely(ms: int) -> None:
    end_ms = measures.bucket_end_ms(measures.duration_bucket(ms))
    assert ms <= end_ms <= max(ms * (1 + 1 / 12) + 1, 1)


@given(st.lists(st.integers(1, 100_000), min_size=1, max_size=200))
def test_a_percentile_is_no_less_than_it_is(durations: list[int]) -> None:
    counts: dict[int, int] = {}
    for ms in durations:
        counts[measures.duration_bucket(ms)] = counts.get(measures.duration_bucket(ms), 0) + 1
    found = measures.percentile_ms(counts.items(), 95)
    exact = sorted(durations)[-(-len(durations) * 95 // 100) - 1]
    assert found is not None
    assert exact <= found <= exact * (1 + 1 / 12) + 1


def test_no_durations_have_no_percentile() -> None:
    assert measures.percentile_ms([], 95) is None


def test_prices_that_move() -> None:
    before = {"input_ausd": 100, "output_ausd": 400, "request_pusd": 0}
    assert measures.price_move(before, before) == 0
    assert measures.price_move(before, {**before, "input_ausd": 110}) == 10
    assert measures.price_move(before, {**before, "output_ausd": 0}) == 100
    assert measures.price_move(before, {**before, "request_pusd": 5}) == 100
    assert measures.price_move(before, {**before, "image_pusd": 5}) == 100
