"""A wall clock that leaps opens no window."""

import random

import pytest

from proxy.core.clock import OFF_MS, STEP_MS, ClockGuard

WALL = 1_790_000_000_000


def test_both_clocks_together_are_the_wall_clock() -> None:
    guard = ClockGuard(WALL, 5.0)
    assert guard.now_ms(WALL + 3_600_000, 3605.0) == WALL + 3_600_000
    assert guard.now_ms(WALL + 3_600_000 + STEP_MS, 3605.0) == WALL + 3_600_000 + STEP_MS
    assert guard.stepped_ms == 0


def test_after_a_leap_time_goes_on_by_the_monotonic_clock() -> None:
    guard = ClockGuard(WALL, 0.0)
    leap = 40 * 86_400_000
    assert guard.now_ms(WALL + leap, 1.0) == WALL + 1000
    assert guard.stepped_ms == leap - 1000
    assert guard.now_ms(WALL + leap + 60_000, 61.0) == WALL + 61_000
    assert guard.now_ms(WALL + 62_000, 62.0) == WALL + 62_000  # the clock was put right
    assert guard.stepped_ms == 0


def test_a_clock_put_back_is_treated_alike() -> None:
    guard = ClockGuard(WALL, 0.0)
    assert guard.now_ms(WALL - 3_600_000, 1.0) == WALL + 1000


def test_a_provider_confirms_a_laptop_that_slept() -> None:
    guard = ClockGuard(WALL, 0.0)
    slept = 8 * 3_600_000
    assert guard.now_ms(WALL + slept, 1.0) == WALL + 1000
    assert guard.confirm(WALL + slept - 900, WALL + slept, 1.0)
    assert guard.now_ms(WALL + slept + 1000, 2.0) == WALL + slept + 1000


def test_a_clock_that_a_provider_contradicts_stands_still() -> None:
    guard = ClockGuard(WALL, 0.0)
    assert not guard.confirm(WALL - OFF_MS - 1, WALL, 0.0)
    assert guard.now_ms(WALL + 86_400_000, 86_400.0) == WALL
    assert guard.off_ms == OFF_MS + 1
    assert guard.confirm(WALL + 86_400_000, WALL + 86_400_000, 86_400.0)
    assert guard.now_ms(WALL + 86_400_001, 86_400.001) == WALL + 86_400_001


def test_no_single_step_moves_time_by_more_than_its_bound() -> None:
    dice = random.Random(4)
    guard, wall, monotonic, last = ClockGuard(WALL, 0.0), WALL, 0.0, WALL
    for _ in range(20_000):
        passed = dice.random() * 20
        monotonic += passed
        wall += round(passed * 1000) + dice.choice((0, 0, 0, 5_000, -5_000, 10**10, -(10**10)))
        now = guard.now_ms(wall, monotonic)
        assert abs(now - last - passed * 1000) <= STEP_MS + 2
        last = now


@pytest.mark.parametrize("confirmed", [False, True], ids=["alone", "beside a provider"])
@pytest.mark.parametrize("step_ms", [25_000, 9_000, 1_000, 100, -25_000])
def test_many_small_steps_are_one_large_one(step_ms: int, confirmed: bool) -> None:
    """A clock that creeps gains no more than one step; a provider that knows the time does not excuse it."""
    guard, wall, monotonic = ClockGuard(WALL, 0.0), WALL, 0.0
    for _ in range(2000):
        monotonic += 2.0
        wall += 2000 + step_ms
        now = guard.now_ms(wall, monotonic)
        true_ms = WALL + round(monotonic * 1000)
        if confirmed:
            guard.confirm(true_ms, wall, monotonic)
        followed_ms = monotonic * 10
        most = min(STEP_MS, abs(wall - true_ms)) + followed_ms
        assert now - true_ms <= most
        assert true_ms - now <= most or guard.off_ms  # then time stands still
        if abs(wall - true_ms) > STEP_MS + followed_ms:
            assert guard.stepped_ms or guard.off_ms


def test_a_clock_that_is_slewed_is_followed() -> None:
    """NTP puts a clock right by 0.05 %, chrony by up to 8 %: no alarm for a minute's worth of either."""
    guard, wall, monotonic = ClockGuard(WALL, 0.0), float(WALL), 0.0
    for _ in range(600):
        monotonic += 1.0
        wall += 1000 * 1.0005
        assert guard.now_ms(int(wall), monotonic) == int(wall)
    for _ in range(300):
        monotonic += 1.0
        wall += 1000 * 1.08
        assert guard.now_ms(int(wall), monotonic) == int(wall)
    assert guard.stepped_ms == 0


def test_readings_that_jitter_are_no_steps() -> None:
    guard, monotonic = ClockGuard(WALL, 0.0), 0.0
    for n in range(100_000):
        monotonic += 0.0003
        wall = WALL + int(monotonic * 1000) + (n % 3 - 1)
        assert guard.now_ms(wall, monotonic) == wall
    assert guard.stepped_ms == 0


def test_a_correction_that_a_provider_confirms_is_taken() -> None:
    """The clock was 45 s slow, and NTP stepped it: what the provider says is nearer to it than what went before."""
    guard = ClockGuard(WALL, 0.0)
    assert guard.now_ms(WALL + 46_000, 1.0) == WALL + 1000
    assert guard.confirm(WALL + 46_000, WALL + 46_000, 1.0)
    assert guard.now_ms(WALL + 47_000, 2.0) == WALL + 47_000


def test_hours_of_agreement_excuse_no_step() -> None:
    guard, hours_s = ClockGuard(WALL, 0.0), 36_000.0
    now_ms = WALL + int(hours_s * 1000)
    assert guard.now_ms(now_ms, hours_s) == now_ms
    for n in range(1, 11):
        at_ms = guard.now_ms(now_ms + n * 25_000, hours_s + n / 1000)
        assert at_ms - now_ms <= STEP_MS
    assert guard.stepped_ms
