"""The clock of windows: steps of the wall clock open no new window until a provider agrees."""

from email.utils import formatdate

import pytest

from proxy.core.clock import TrustedClock

HOUR_MS = 3_600_000
START_MS = 1_795_219_200_000


class MovedClock:
    """A machine's two clocks, moved by hand."""

    def __init__(self) -> None:
        self.wall_ms = START_MS
        self.passed_s = 100.0

    def now_ms(self) -> int:
        return self.wall_ms

    def monotonic_s(self) -> float:
        return self.passed_s

    def pass_s(self, seconds: float) -> None:
        self.wall_ms += round(seconds * 1000)
        self.passed_s += seconds


def date(ms: int) -> str:
    return formatdate(ms / 1000, usegmt=True)


def test_time_that_passes_is_followed() -> None:
    machine = MovedClock()
    clock = TrustedClock(machine)
    for _ in range(100):
        machine.pass_s(3600)
        assert clock.now_ms() == machine.wall_ms
    assert clock.problem is None


@pytest.mark.parametrize("hours", [40 * 24, 1, -1, -40 * 24])
def test_a_step_is_not_followed_until_a_provider_agrees(hours: int) -> None:
    machine = MovedClock()
    clock = TrustedClock(machine)
    machine.wall_ms += hours * HOUR_MS
    machine.pass_s(60)
    assert clock.now_ms() == START_MS + 60_000
    assert clock.problem is not None
    assert "stepped" in clock.problem
    clock.hear_date(date(machine.wall_ms))
    assert clock.now_ms() == machine.wall_ms
    assert clock.problem is None


def test_a_wrong_clock_opens_no_new_window() -> None:
    machine = MovedClock()
    clock = TrustedClock(machine)
    clock.hear_date(date(START_MS - 5 * HOUR_MS))
    held = clock.now_ms()
    machine.pass_s(24 * 3600)
    assert clock.now_ms() == held
    assert clock.problem is not None
    assert "18000 s ahead of the provider's" in clock.problem


@pytest.mark.parametrize("header", [None, "", "yesterday", "Thu, 99 Foo 2026 25:61:61 GMT", "0"])
def test_a_date_that_cannot_be_read_says_nothing(header: str | None) -> None:
    machine = MovedClock()
    clock = TrustedClock(machine)
    clock.hear_date(header)
    assert clock.now_ms() == START_MS
    assert clock.problem is None
