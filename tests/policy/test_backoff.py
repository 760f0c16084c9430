"""Waits between tries: within their bounds, and never shorter than a provider asked for."""

from hypothesis import given
from hypothesis import strategies as st

from proxy.policy.backoff import RetryRules, delay_s

RULES = RetryRules(attempts=3, backoff_s=0.5, backoff_max_s=8, budget_percent=20)


def test_waits_double_up_to_a_maximum() -> None:
    assert [delay_s(n, None, RULES, 1.0) for n in range(1, 8)] == [0.5, 1, 2, 4, 8, 8, 8]
    assert [delay_s(n, None, RULES, 0.0) for n in range(1, 4)] == [0.25, 0.5, 1]


@given(st.integers(1, 10**6), st.floats(0, 60), st.floats(0, 600), st.floats(0, 1))
def test_a_wait_without_word_is_within_its_bounds(try_n: int, base_s: float, most_s: float, jitter01: float) -> None:
    wait_s = delay_s(try_n, None, RetryRules(9, base_s, most_s, 20), jitter01)
    full_s = min(base_s * 2.0 ** min(try_n - 1, 60), most_s)
    assert full_s / 2 <= wait_s <= full_s


@given(st.integers(1, 100), st.floats(0, 1e9), st.floats(0, 1))
def test_a_stated_wait_is_never_cut_short(try_n: int, told_s: float, jitter01: float) -> None:
    assert told_s <= delay_s(try_n, told_s, RULES, jitter01) <= told_s + RULES.backoff_s
