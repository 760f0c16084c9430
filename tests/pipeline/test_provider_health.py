"""What an answer is counted as in one step is what it comes to the long way, whatever was counted before."""

from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from proxy.core.secret import Secret
from proxy.pipeline.upstream.key_limits import KeyUse
from proxy.pipeline.upstream.provider_health import ProviderHealth
from proxy.pipeline.values.attempt import Attempt, Pass
from proxy.pipeline.values.attempt_result import AttemptResult
from proxy.pipeline.values.route import Target
from proxy.policy.backoff import RetryRules
from proxy.policy.breaker import BreakerRules
from proxy.policy.failure_table import Decision
from proxy.policy.key_ring import KeyFacts
from proxy.policy.witnesses import Witness, Witnesses
from proxy.providers.key import Key
from proxy.providers.provider import ProviderRow

MODELS = ("a", "b")
RULES = BreakerRules(
    failures=1, error_rate_percent=50, min_attempts=6, window_s=20, cooldown_s=3, cooldown_max_s=12, probes=2
)
RETRY = RetryRules(attempts=1, backoff_s=1, backoff_max_s=1, budget_percent=10)
DECISIONS = {
    "provider": Decision("down", ("stop",), False, "none", ("provider",)),
    "outage": Decision("down", ("stop",), False, "none", ("provider",)),
    "model": Decision("down", ("stop",), False, "none", ("model",)),
    "aside": Decision("busy", ("stop",), False, "model", (), 2.0),
    "key": Decision("key", ("stop",), False, "key", (), 2.0),
}
STEPS = st.tuples(
    st.sampled_from(("answered", "answered", "answered", "late", "outage", "unsure", *DECISIONS)),
    st.sampled_from(MODELS),
    st.sampled_from(("anna", "bob", "eva")),
    st.sampled_from((0.0, 0.1, 4.0, 4.0, 30.0)),  # until then
    st.none() | st.floats(0, 100),  # the first byte
)


class _Clock:
    now_s = 1000.0

    def monotonic_s(self) -> float:
        return self.now_s

    def now_ms(self) -> int:
        return int(self.now_s * 1000)


def _row(key: Key) -> ProviderRow:
    nothing: Any = None
    return ProviderRow(
        "one", "openai", "http://127.0.0.1", (key,), nothing, "auto", {}, (), nothing, nothing, RETRY, RULES
    )


@given(st.lists(STEPS, max_size=60))
def test_an_answer_counts_the_same_in_one_step(steps: list[tuple[str, str, str, float, float | None]]) -> None:
    clock, use = _Clock(), KeyUse(ZoneInfo("UTC"))
    row = _row(Key(KeyFacts("main"), Secret("sk-or-v1-0123456789")))
    one, other = (ProviderHealth(row, clock, use) for _ in range(2))
    late: list[tuple[Attempt, Pass, str]] = []
    for n, (what, model, user, later_s, first_byte_s) in enumerate(steps):
        clock.now_s += later_s
        attempt = Attempt(1, Target("one", model), row, row.keys[0], clock.now_s, row.deadlines, AttemptResult())
        attempt.result.first_byte_s = None if first_byte_s is None else clock.now_s + first_byte_s
        passes = one.enter(model, clock.now_s)
        assert other.enter(model, clock.now_s) == passes
        if passes is None:
            continue
        if what == "late":  # it is told after others
            late.append((attempt, passes, user))
        elif what == "answered":
            for told in ((attempt, passes, user), *late[:1]):
                one.answered(*told)
                _answered_the_long_way(other, *told)
            del late[:1]
        else:
            for health in (one, other):
                if what == "unsure":
                    health.inconclusive(model, passes)
                else:
                    health.failed(
                        attempt, passes, DECISIONS[what], None, None if what == "outage" else Witness(user, n)
                    )
        assert _state(one) == _state(other)


def _answered_the_long_way(health: ProviderHealth, attempt: Attempt, passes: Pass, user: str) -> None:
    first_byte_s = attempt.result.first_byte_s
    latency_ms = None if first_byte_s is None else (first_byte_s - attempt.started_s) * 1000
    health._answered_again(attempt, passes, user, health._clock.monotonic_s(), latency_ms)


def _state(health: ProviderHealth) -> object:
    recent = {model: health.known(model) for model in MODELS}
    return (
        health.view(),
        [_served(breaker.witnesses) for breaker in (health.breaker, *health.models.values())],
        {
            model: one and (one.attempts, one.error_rate, one.latency_ms, _served(one.witnesses))
            for model, one in recent.items()
        },
    )


def _served(witnesses: Witnesses) -> list[object]:
    return [getattr(witnesses, name) for name in Witnesses.__slots__]
