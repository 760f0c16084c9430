"""Turns one after the other."""

import pytest

from proxy.policy.pace import Pace


def test_turns_come_at_the_rate() -> None:
    pace = Pace()
    assert [pace.take("anna", 6, 100.0, 30.0) for _ in range(5)] == [
        (True, 0.0),
        (True, 10.0),
        (True, 20.0),
        (True, 30.0),
        (False, 10.0),  # the next turn is 40 s away, and none further than 30 is taken
    ]
    assert pace.take("ben", 6, 100.0, 30.0) == (True, 0.0)
    assert pace.take("anna", 6, 110.0, 30.0) == (True, 30.0)


@pytest.mark.parametrize("pause_s", [10.0, 60.0, 3600.0])
def test_turns_that_nobody_took_are_not_saved_up(pause_s: float) -> None:
    pace = Pace()
    pace.take("anna", 6, 0.0, 30.0)
    assert pace.take("anna", 6, pause_s, 30.0) == (True, 0.0)
    assert pace.take("anna", 6, pause_s, 30.0) == (True, 10.0)


def test_what_is_over_is_forgotten() -> None:
    pace = Pace()
    for n in range(10_000):
        pace.take(n, 600, n * 1.0, 30.0)
    assert len(pace._next_s) <= 4097
