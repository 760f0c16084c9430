"""The share of requests that may be tried again, so that an outage is not multiplied."""

from hypothesis import given
from hypothesis import strategies as st

from proxy.policy.retry_budget import FLOOR, RetryBudget


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
            budget.tries.add(now_s)
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
        budget.tries.add(i / 50)
        granted += budget.take(i / 50)
    assert 590 <= granted <= 603


def test_few_requests_may_still_be_tried_again() -> None:
    budget = RetryBudget(0)
    assert [budget.take(0) for _ in range(5)] == [True, True, True, False, False]
    assert not budget.take(50)
    assert budget.take(61)
    assert budget.left(61) == 2
