"""Where a call of the bill is listed: by the second in its id, as far as that is one of the time it was asked for."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.jobs.reconciliation.day_calls import call_of
from proxy.policy.reconciliation.day_comparison import BilledCall

HOUR_MS = 3_600_000
FROM_MS = 1_793_539_200_000
ID = re.compile(r"gen-(\d{10})-")


def by_the_rule(id_: str, from_ms: int, to_ms: int) -> BilledCall:
    """Return it one rule after the other.

    A call is of its own second if that is of the time or of the two hours before, and is listed in an hour of the time.
    """
    match = ID.match(id_)
    created_ms = from_ms if match is None else int(match[1]) * 1000
    if not from_ms - 2 * HOUR_MS <= created_ms < to_ms:
        created_ms = from_ms
    hour_ms = max(from_ms, min(created_ms - created_ms % HOUR_MS, to_ms - 1))
    return BilledCall(id_, "key", 5, hour_ms - hour_ms % HOUR_MS, created_ms)


@given(st.integers(-4 * 3600, 4 * 3600), st.integers(0, 7200), st.integers(1, 7200), st.sampled_from(["-x", "", "x-"]))
def test_every_second(second: int, since: int, length: int, end: str) -> None:
    from_ms = FROM_MS + since * 1000
    to_ms = from_ms + length * 1000
    id_ = f"gen-{FROM_MS // 1000 + since + second}{end}"
    assert call_of(id_, "key", 5, from_ms, to_ms) == by_the_rule(id_, from_ms, to_ms)


@pytest.mark.parametrize(
    "id_",
    [
        *("", "gen-", "gen-1793539201", "gen-179353920-x", "gen-17935392010-x", "gen-+793539201-x", "gen-1793539²01-x"),
        *("Gen-1793539201-x", "gen_1793539201-x", "gen-179353920 -x", "gen-١٧٩٣٥٣٩٢٠١-x", "chatcmpl-1793539201-x"),
    ],
)
def test_odd_ids(id_: str) -> None:
    assert call_of(id_, "key", 5, FROM_MS, FROM_MS + HOUR_MS) == by_the_rule(id_, FROM_MS, FROM_MS + HOUR_MS)
