"""Breakers: when they open, how few they let through while the other side is down, and how they close."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from proxy.policy.breaker import Breaker, BreakerRules
from proxy.policy.witnesses import Witness

RULES = BreakerRules(
    failures=5, error_rate_percent=50, min_attempts=20, window_s=60, cooldown_s=15, cooldown_max_s=300, probes=1
)


def fail(breaker: Breaker, now_s: float, times: int = 1, cooldown_s: float | None = None) -> None:
    for _ in range(times):
        pass_ = breaker.try_pass(now_s)
        assert pass_
        breaker.failed(now_s, pass_, cooldown_s)


def succeed(breaker: Breaker, now_s: float, times: int = 1) -> None:
    for _ in range(times):
        pass_ = breaker.try_pass(now_s)
        assert pass_
        breaker.succeeded(now_s, pass_, "ben")


def test_failures_in_a_row_open_it() -> None:
    breaker = Breaker(RULES)
    fail(breaker, 1000, 4)
    succeed(breaker, 1000)
    fail(breaker, 1000, 4)
    assert breaker.state(1000) == "closed"
    fail(breaker, 1000)
    assert breaker.state(1000) == "open"
    assert not breaker.try_pass(1014.9)
    assert breaker.try_pass(1015)


def test_a_rate_of_errors_opens_it() -> None:
    breaker = Breaker(RULES)
    for _ in range(9):
        succeed(breaker, 1000)
        fail(breaker, 1000)
    succeed(breaker, 1000)
    assert breaker.state(1000) == "closed", "nineteen attempts are too few to judge by"
    fail(breaker, 1000)
    assert breaker.state(1000) == "open"


def test_errors_older_than_the_window_do_not_count() -> None:
    breaker = Breaker(RULES)
    for _ in range(9):
        succeed(breaker, 1000)
        fail(breaker, 1000)
    succeed(breaker, 1061, 9)
    fail(breaker, 1061, 4)
    assert breaker.state(1061) == "closed"
    assert breaker.view(1061)[2:4] == (13, 4)


def test_a_probe_that_succeeds_closes_it() -> None:
    breaker = Breaker(RULES)
    fail(breaker, 0, 5)
    probe = breaker.try_pass(15)
    assert breaker.state(15) == "half_open"
    assert not breaker.try_pass(15)
    breaker.succeeded(16, probe, "ben")
    assert breaker.state(16) == "closed"
    fail(breaker, 16, 4)
    assert breaker.state(16) == "closed", "what was before the outage is forgotten"


def test_cool_downs_double_up_to_a_maximum_and_begin_anew_after_recovery() -> None:
    breaker = Breaker(RULES)
    fail(breaker, 0, 5)
    now_s, waits = 0.0, []
    for _ in range(7):
        wait_s = breaker.view(now_s).retry_in_s
        assert wait_s is not None
        waits.append(wait_s)
        now_s += wait_s
        fail(breaker, now_s)
    assert waits == [15, 30, 60, 120, 240, 300, 300]
    now_s += 300
    succeed(breaker, now_s)
    fail(breaker, now_s, 5)
    assert breaker.view(now_s).retry_in_s == 15


def test_the_providers_own_wait_is_kept_up_to_the_maximum() -> None:
    breaker = Breaker(RULES)
    fail(breaker, 0, 5, cooldown_s=40)
    assert breaker.view(0).retry_in_s == 40
    breaker = Breaker(RULES)
    fail(breaker, 0, 5, cooldown_s=86_400_000)
    assert breaker.view(0).retry_in_s == 300


def test_set_aside_opens_at_once_and_counts_no_failure() -> None:
    breaker = Breaker(RULES)
    breaker.set_aside(0, 12)
    assert not breaker.try_pass(11.9)
    assert breaker.view(0).failures_in_row == 0
    breaker.set_aside(1, 2)
    assert not breaker.try_pass(11.9), "a shorter word does not end a longer one"
    assert breaker.try_pass(12)


def test_no_wait_sets_nothing_aside() -> None:
    breaker = Breaker(RULES)
    breaker.set_aside(0, 0)
    breaker.set_aside(0, -5)
    assert breaker.state(0) == "closed"


def test_a_probe_that_told_nothing_gives_its_place_back() -> None:
    breaker = Breaker(RULES)
    fail(breaker, 0, 5)
    breaker.cancelled(15, breaker.try_pass(15))
    assert breaker.state(15) == "half_open"
    assert breaker.try_pass(15)


def test_a_probe_that_never_reports_does_not_shut_the_way_for_ever() -> None:
    breaker = Breaker(RULES)
    fail(breaker, 0, 5)
    lost = breaker.try_pass(15)
    assert not breaker.try_pass(314)
    assert breaker.try_pass(315)
    breaker.succeeded(316, lost, "ben")
    assert breaker.state(316) == "half_open", "the lost one reports too late to be heard"


def test_an_attempt_of_before_tells_nothing_about_now() -> None:
    breaker = Breaker(RULES)
    old = breaker.try_pass(0)
    fail(breaker, 0, 5)
    breaker.succeeded(1, old, "ben")
    assert breaker.state(1) == "open"
    probe = breaker.try_pass(15)
    breaker.failed(15, old)
    breaker.cancelled(15, old)
    assert breaker.state(15) == "half_open"
    assert not breaker.try_pass(15)
    breaker.succeeded(16, probe, "ben")
    breaker.failed(16, old)
    assert breaker.view(16).failures_in_row == 0


def test_a_minute_of_outage_under_load_costs_few_attempts() -> None:
    breaker = Breaker(RULES)
    sent = 0
    for i in range(60 * 50):
        pass_ = breaker.try_pass(i / 50)
        if pass_:
            sent += 1
            breaker.failed(i / 50, pass_)
    assert sent == 5 + 2, "five open it; then probes after 15 s and 45 s"


@pytest.mark.parametrize("probes", [1, 3])
def test_probes_may_be_several(probes: int) -> None:
    breaker = Breaker(RULES._replace(probes=probes))
    fail(breaker, 0, 5)
    assert sum(bool(breaker.try_pass(15)) for _ in range(10)) == probes


def met(breaker: Breaker, now_s: float, *witnesses: Witness) -> None:
    for witness in witnesses:
        pass_ = breaker.try_pass(now_s)
        assert pass_
        breaker.failed(now_s, pass_, None, witness)


def test_the_same_request_again_counts_once() -> None:
    breaker = Breaker(RULES)
    met(breaker, 0, *[Witness("anna", 1)] * 50)
    assert breaker.state(0) == "closed"
    assert breaker.view(0)[1:4] == (1, 1, 1)


def test_what_one_user_meets_shuts_nobody_out_who_is_served() -> None:
    breaker = Breaker(RULES)
    succeed(breaker, 0)
    met(breaker, 1, *[Witness("anna", n) for n in range(50)])
    assert breaker.state(1) == "closed"
    met(breaker, 1, Witness("ben", 0))
    assert breaker.state(1) == "open", "ben meets it too"


def test_one_user_alone_is_enough_where_nobody_else_is_served() -> None:
    breaker = Breaker(RULES)
    met(breaker, 0, *[Witness("ben", n) for n in range(4)])
    assert breaker.state(0) == "closed"
    met(breaker, 0, Witness("ben", 4))
    assert breaker.state(0) == "open"


def test_a_provider_that_cannot_be_reached_needs_no_second_user() -> None:
    breaker = Breaker(RULES)
    succeed(breaker, 0)
    fail(breaker, 0, 5)
    assert breaker.state(0) == "open"


def test_a_probe_by_a_request_that_failed_before_says_nothing() -> None:
    breaker = Breaker(RULES)
    met(breaker, 0, *[Witness(user, 1) for user in ("anna", "ben", "cleo", "dora", "eva")])
    assert breaker.state(15) == "half_open"
    for _ in range(3):
        met(breaker, 15, Witness("anna", 1))
    assert breaker.state(15) == "half_open", "the next one may find out"
    met(breaker, 15, Witness("anna", 2))
    assert breaker.state(15) == "open"
    assert breaker.view(15).retry_in_s == 30


class Traffic(RuleBasedStateMachine):
    """Any order of attempts and their ends, with a count of our own of who is on the way."""

    @initialize(
        failures=st.integers(1, 6), probes=st.integers(1, 4), rate=st.integers(1, 100), least=st.integers(1, 30)
    )
    def start(self, failures: int, probes: int, rate: int, least: int) -> None:
        self.kept = BreakerRules(failures, rate, least, 60, 15, 300, probes)
        self.breaker = Breaker(self.kept)
        self.now_s = 1000.0
        self.out: list[tuple[int, bool]] = []  # the pass, and whether it was given while half open

    @rule(seconds=st.floats(0, 400))
    def time_passes(self, seconds: float) -> None:
        self.now_s += seconds

    @rule(n=st.integers(1, 8))
    def attempts_begin(self, n: int) -> None:
        for _ in range(n):
            before = self.breaker.state(self.now_s)
            pass_ = self.breaker.try_pass(self.now_s)
            assert not (before == "open" and pass_)
            assert not (before == "closed" and not pass_)
            if pass_:
                self.out.append((pass_, before == "half_open"))

    @precondition(lambda self: self.out)
    @rule(
        data=st.data(),
        end=st.sampled_from(["succeeded", "failed", "cancelled", "aside"]),
        witness=st.none() | st.builds(Witness, st.sampled_from("abc"), st.integers(0, 2)),
    )
    def one_ends(self, data: st.DataObject, end: str, witness: Witness | None) -> None:
        pass_, _ = self.out.pop(data.draw(st.integers(0, len(self.out) - 1)))
        if end == "aside":
            self.breaker.set_aside(self.now_s, 20)
        else:
            who = {"succeeded": ("ben",), "failed": (None, witness)}.get(end, ())
            getattr(self.breaker, end)(self.now_s, pass_, *who)

    @invariant()
    def no_more_probes_than_allowed(self) -> None:
        if not hasattr(self, "breaker") or self.breaker.state(self.now_s) != "half_open":
            return
        current = self.breaker.pass_
        probes = sum(pass_ == current for pass_, half_open in self.out if half_open)
        assert probes <= self.kept.probes
        assert all(pass_ <= current for pass_, _ in self.out)

    @invariant()
    def it_never_waits_longer_than_the_maximum(self) -> None:
        if hasattr(self, "breaker"):
            view = self.breaker.view(self.now_s)
            assert view.retry_in_s is None or 0 <= view.retry_in_s <= self.kept.cooldown_max_s
            assert 0 <= view.errors <= view.attempts


Traffic.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestTraffic = Traffic.TestCase
