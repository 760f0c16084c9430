"""How a target did lately: moving averages in which the last attempts count most."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.policy.recent_performance import RecentPerformance


def test_nothing_is_known_before_the_first_attempt() -> None:
    recent = RecentPerformance()
    assert (recent.attempts, recent.error_rate, recent.latency_ms) == (0, None, None)
    recent.note(failed=True, latency_ms=None)
    assert (recent.attempts, recent.error_rate, recent.latency_ms) == (1, 1.0, None)


def test_the_newest_attempt_counts_for_a_tenth() -> None:
    recent = RecentPerformance()
    for failed, latency_ms in ((False, 100.0), (True, 200.0), (False, None)):
        recent.note(failed=failed, latency_ms=latency_ms)
    assert recent.error_rate == pytest.approx(0.09)
    assert recent.latency_ms == pytest.approx(110)


@given(st.lists(st.tuples(st.booleans(), st.none() | st.floats(0, 1e6)), min_size=1, max_size=200))
def test_averages_stay_within_what_was_seen(attempts: list[tuple[bool, float | None]]) -> None:
    recent = RecentPerformance()
    for failed, latency_ms in attempts:
        recent.note(failed=failed, latency_ms=latency_ms)
    assert recent.attempts == len(attempts)
    assert recent.error_rate is not None
    assert 0 <= recent.error_rate <= 1
    known = [latency_ms for _, latency_ms in attempts if latency_ms is not None]
    assert (recent.latency_ms is None) == (not known)
    if recent.latency_ms is not None:
        assert min(known) - 1e-6 <= recent.latency_ms <= max(known) + 1e-6
