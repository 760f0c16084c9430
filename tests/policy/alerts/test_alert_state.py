"""An alert is told once a window, through restarts and clocks that step, and so is its end."""

from hypothesis import given
from hypothesis import strategies as st

from proxy.policy.alerts.alert_state import AT_REST, AlertState, Thresholds, advance, thresholds

DAY_MS = 86_400_000
SHARE = thresholds((50, 80, 100), margin_percent=10, is_windowed=True)
STATE = thresholds((1,), margin_percent=10)


def told(values: list[tuple[float, int]], limits: Thresholds = SHARE) -> list[str | None]:
    """Return what is told of values, each with its window, one second apart."""
    state = AT_REST
    found: list[str | None] = []
    for now_s, (value, window_ms) in enumerate(values):
        state, what = advance(state, value, window_ms, limits, now_s * 1000)
        found.append(what)
    return found


def test_each_threshold_is_told_once_and_the_end_once() -> None:
    assert told([(10, 1), (55, 1), (60, 1), (85, 1), (100, 1), (100, 1), (0, 2), (0, 2)]) == [
        None, "fired", None, "fired", "fired", None, "recovered", None,
    ]  # fmt: skip


def test_a_value_that_leaps_is_told_as_the_highest_it_reaches() -> None:
    assert told([(99.99, 1), (100, 1)]) == ["fired", "fired"]
    assert told([(120, 1), (90, 1)]) == ["fired", None]


def test_a_value_that_swings_around_a_threshold_is_told_once() -> None:
    assert told([(51, 1), (49, 1), (51, 1), (46, 1), (51, 1)]) == ["fired", None, None, None, None]


def test_what_comes_back_beyond_the_margin_is_over_and_is_not_told_again_in_its_window() -> None:
    assert told([(51, 1), (44, 1), (51, 1), (44, 1)]) == ["fired", "recovered", None, None]


def test_a_new_window_tells_again_at_once_where_nothing_was_measured_between() -> None:
    assert told([(85, 1), (85, 2)]) == ["fired", "fired"]


def test_a_state_that_lasts_over_windows_is_told_once() -> None:
    assert told([(1, 1), (1, 2), (1, 3), (0, 3), (1, 3), (0, 3), (1, 4)], STATE) == [
        "fired", None, None, "recovered", "fired", "recovered", "fired",
    ]  # fmt: skip


def test_a_rule_that_wants_it_held_waits_and_begins_anew_after_a_gap() -> None:
    limits = thresholds((1,), margin_percent=10, for_ms=2000)
    assert told([(1, 1), (1, 1), (0, 1), (1, 1), (1, 1), (1, 1), (0, 1)], limits) == [
        None, None, None, None, None, "fired", "recovered",
    ]  # fmt: skip


def test_a_clock_set_back_tells_nothing_and_one_that_was_far_ahead_does_not_silence_for_ever() -> None:
    assert told([(85, 5), (0, 4), (85, 5)]) == ["fired", None, None]
    state = AlertState(level=2, peak=2, window_ms=30 * DAY_MS, is_told=True)
    after, what = advance(state, 85, DAY_MS, SHARE, DAY_MS)
    assert (after.window_ms, what) == (DAY_MS, "fired")


def test_below_counts_downwards() -> None:
    limits = thresholds((100, 10), margin_percent=10, is_below=True)
    assert told([(200, 1), (100, 1), (50, 1), (10, 1), (105, 1), (111, 1)], limits) == [
        None, "fired", None, "fired", None, "recovered",
    ]  # fmt: skip


steps = st.lists(st.tuples(st.integers(0, 130), st.integers(-2, 2), st.booleans()), max_size=60)


@given(steps)
def test_no_threshold_is_told_twice_in_one_window(moves: list[tuple[int, int, bool]]) -> None:
    """Windows go forward and back as a clock that steps takes them; a restart loses all but the stored state."""
    state, window_ms, newest = AT_REST, 10, 0
    fired: list[tuple[int, int]] = []
    balance = 0
    for now_ms, (value, step, is_restart) in enumerate(moves):
        window_ms = max(1, window_ms + step)
        newest = max(newest, window_ms)
        before = state
        state, what = advance(state, value, window_ms, SHARE, now_ms)
        assert state.window_ms == newest
        if what == "fired":
            fired.append((newest, state.peak))
            balance = 1
            assert value >= SHARE.at[state.peak - 1]
        elif what == "recovered":
            assert balance == 1, "only what was told is over"
            balance = 0
        else:
            assert state.is_told == before.is_told
        if is_restart:
            state = AlertState(*state)._replace(pending_ms=None)
    assert len(fired) == len({*fired})


@given(steps)
def test_where_a_window_ends_above_a_threshold_it_was_told(moves: list[tuple[int, int, bool]]) -> None:
    """The other side: nothing that should be told is swallowed."""
    state = AT_REST
    highest: dict[int, int] = {}
    told_peak: dict[int, int] = {}
    window_ms = 1
    for now_ms, (value, step, _) in enumerate(moves):
        window_ms += abs(step) // 2
        state, what = advance(state, value, window_ms, SHARE, now_ms)
        highest[window_ms] = max(highest.get(window_ms, 0), SHARE.reached(value))
        if what == "fired":
            told_peak[window_ms] = state.peak
    assert {window: peak for window, peak in highest.items() if peak} == told_peak
