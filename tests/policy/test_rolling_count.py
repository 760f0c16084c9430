"""Counts over a window that moves."""

from hypothesis import given
from hypothesis import strategies as st

from proxy.policy.rolling_count import RollingCount


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
