"""Waits between tries, the budget of retries, and the counts over a moving window that it rests on."""

from hypothesis import given
from hypothesis import strategies as st

from proxy.policy.backoff import RetryRules, delay_s
from proxy.policy.retry_budget import FLOOR, RetryBudget
from proxy.policy.rolling_count import RollingCount

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


@given(
    st.integers(0, 100),
    st.lists(st.tuples(st.floats(0, 30), st.integers(0, 20), st.integers(0, 20)), max_size=40),
)
def test_retries_never_exceed_their_share_and_a_small_floor(percent: int, events: list[tuple[float, int, int]]) -> None:
    budget, now_s = RetryBudget(percent), 1000.0
    tries: list[float] = []
    retries: list[float] = []
    for passed_s, firsts, wanted in events:
        now_s += passed_s
        for _ in range(firsts):
            budget.tried(now_s)
            tries.append(now_s)
        retries += [now_s for _ in range(wanted) if budget.take(now_s)]
        # The moving window covers 54 to 60 s.
        recent_tries = sum(at_s > now_s - 60 for at_s in tries)
        newest = [at_s for at_s in retries if at_s > now_s - 54]
        if newest and newest[-1] == now_s:
            assert len(newest) <= recent_tries * percent / 100 + FLOOR
        assert budget.left(now_s) >= 0


def test_an_outage_is_not_multiplied() -> None:
    budget = RetryBudget(20)
    granted = 0
    for i in range(50 * 60):
        budget.tried(i / 50)
        granted += budget.take(i / 50)
    assert 590 <= granted <= 603


def test_few_requests_may_still_be_tried_again() -> None:
    budget = RetryBudget(0)
    assert [budget.take(0) for _ in range(5)] == [True, True, True, False, False]
    assert not budget.take(50)
    assert budget.take(61)
    assert budget.left(61) == 2


@given(
    st.floats(1, 600),
    st.lists(st.tuples(st.floats(0, 100), st.booleans()), max_size=60),
)
def test_a_rolling_count_covers_its_window(window_s: float, events: list[tuple[float, bool]]) -> None:
    counts, now_s = RollingCount(window_s), 5000.0
    seen: list[tuple[float, bool]] = []
    for passed_s, marked in events:
        now_s += passed_s
        counts.add(now_s, marked=marked)
        seen.append((now_s, marked))
        surely = [m for at_s, m in seen if at_s > now_s - window_s * 0.9 + 1e-6]
        at_most = [m for at_s, m in seen if at_s > now_s - window_s - 1e-6]
        assert len(surely) <= counts.all <= len(at_most)
        assert sum(surely) <= counts.marked <= sum(at_most)
    counts.move(now_s + window_s * 1.01)
    assert (counts.all, counts.marked) == (0, 0)


def test_a_rolling_count_forgets_when_told() -> None:
    counts = RollingCount(60)
    counts.add(1000, marked=True)
    counts.clear()
    assert (counts.all, counts.marked) == (0, 0)
    counts.move(2000)
    assert (counts.all, counts.marked) == (0, 0)
