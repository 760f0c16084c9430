"""What a request may do whose key came before: nothing is billed twice."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.policy.idempotency import EarlierRequest, Repeat, repeat_of


@pytest.mark.parametrize(
    ("state", "status", "error", "cost_pusd", "wanted"),
    [
        (None, None, None, None, "anew"),  # no row: it never went out
        ("open", None, None, None, "not_over"),
        ("pending", 499, "client_gone", None, "not_over"),
        ("settled", 200, None, 700, "over"),
        ("settled", 200, None, 0, "over"),  # free, but answered
        ("settled", 502, "upstream_broken", 700, "over"),  # failed, but paid for
        ("settled", 502, "upstream_broken", None, "over"),  # nobody can tell what it cost
        ("settled", 502, "upstream_broken", 0, "anew"),
        ("released", 429, "rate_limited", 0, "anew"),
        ("released", 200, None, 0, "over"),
        ("released", None, None, 0, "anew"),
    ],
)
def test_what_may_run_again(
    state: str | None, status: int | None, error: str | None, cost_pusd: int | None, wanted: Repeat
) -> None:
    assert repeat_of(EarlierRequest(1, state, status, error, cost_pusd)) == wanted


@given(
    state=st.sampled_from([None, "open", "pending", "settled", "released"]),
    status=st.none() | st.integers(200, 599),
    error=st.sampled_from([None, "upstream_error", "crash"]),
    cost_pusd=st.none() | st.integers(0, 3),
)
def test_nothing_that_may_cost_money_runs_anew(
    state: str | None, status: int | None, error: str | None, cost_pusd: int | None
) -> None:
    repeat = repeat_of(EarlierRequest(1, state, status, error, cost_pusd))
    if repeat == "anew" and state is not None:
        assert state == "released" or (state == "settled" and cost_pusd == 0)
        assert error is not None or status is None or status >= 400
    assert (repeat == "not_over") == (state in ("open", "pending"))
    assert repeat_of(None) == "anew"
