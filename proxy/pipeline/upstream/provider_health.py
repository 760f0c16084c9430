"""How providers do right now: breakers, keys, retry budgets, waiting lines, recent latency and errors.

It lives in memory, is seeded from the ledger at start, and outlives a change of the configuration: what keeps its name
keeps its state. The plain path, one key and nothing failing, costs a few look-ups.
"""

import logging
from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple
from zoneinfo import ZoneInfo

from proxy.core.clock import Clock
from proxy.pipeline.upstream.concurrency import ConcurrencyLimit
from proxy.pipeline.upstream.key_limits import KeyUse
from proxy.pipeline.values.attempt import Attempt, Pass
from proxy.policy.breaker import Breaker, BreakerView, State
from proxy.policy.failure import Failure
from proxy.policy.failure_table import Decision, decide
from proxy.policy.key_ring import KeyRing, KeyView
from proxy.policy.recent_performance import WEIGHT, RecentPerformance
from proxy.policy.retry_budget import RetryBudget
from proxy.policy.witnesses import Witness
from proxy.providers.key import OWN
from proxy.providers.provider import ProviderRow
from proxy.storage.reports import PastAttempt

log = logging.getLogger("tollkeeper.health")

_UNREACHED = frozenset({"unreachable", "tls"})  # rows of the table of failures
_FAILED = frozenset({"upstream_error", "upstream_broken", "upstream_timeout", "upstream_unreachable"})  # of the ledger
_WORSE: tuple[State, ...] = ("closed", "half_open", "open")
_MODELS_MAX = 1000  # names of models come from callers, and must not fill memory


class ProviderView(NamedTuple):
    """For display. models holds those whose breaker has noted a failure; used_up: keys whose own limits are reached."""

    breaker: BreakerView
    models: Mapping[str, BreakerView]
    keys: tuple[KeyView, ...]
    retries_left: int
    running: int | None
    waiting: int | None
    used_up: frozenset[str] = frozenset()


class ProviderHealth:
    """The state of one provider under one configuration of it."""

    __slots__ = (
        "_clock",
        "_has_limits",
        "_recent",
        "_told_to_wait",
        "_use",
        "breaker",
        "budget",
        "line",
        "models",
        "ok",
        "ring",
        "row",
    )

    def __init__(self, row: ProviderRow, clock: Clock, use: KeyUse) -> None:
        self.row = row
        self.ok = (row.name, "ok")  # of Counters.attempts: one object for all that are counted
        self._clock = clock
        self._use = use
        self._has_limits = any(key.quotas for key in row.keys)
        self.breaker = Breaker(row.breaker)
        self.budget = RetryBudget(row.retry.budget_percent)
        self.ring = KeyRing([key.facts for key in row.keys])
        self.line: ConcurrencyLimit | None = None
        if row.max_concurrency is not None:
            self.line = ConcurrencyLimit(row.max_concurrency, row.queue_max)
        self.models: dict[str, Breaker] = {}  # of those that have failed
        self._told_to_wait: dict[str, float] = {}  # until when the provider itself wants to be left alone, by model
        self._recent: dict[str, RecentPerformance] = {}

    def under(self, row: ProviderRow) -> "ProviderHealth":
        """Return the state under another configuration; whatever that leaves unchanged is kept."""
        found = ProviderHealth(row, self._clock, self._use)
        found._recent = self._recent
        if row.breaker == self.row.breaker:
            found.breaker, found.models = self.breaker, self.models
            found._told_to_wait = self._told_to_wait
        if row.retry.budget_percent == self.row.retry.budget_percent:
            found.budget = self.budget
        kept = {key.name for key in row.keys if key in self.row.keys}
        found.ring.take_over(self.ring, kept)
        if self.line is not None and row.max_concurrency is not None:
            self.line.most, self.line.queue_max = row.max_concurrency, row.queue_max
            self.line.serve()
            found.line = self.line
        return found

    # Before an attempt.

    def is_plain(self) -> bool:
        """Return whether each model may be asked now, with the one key that there is."""
        return self.breaker.is_closed and not self.models and self.ring.is_free and not self._has_limits

    def rests_s(self, model: str, now_s: float) -> float | None:
        """Return how long the breakers still hold attempts back; None: they let one through. Takes no pass."""
        if self.breaker.is_closed and model not in self.models:
            return None
        taken = self.enter(model, now_s)
        if taken is None:
            views = [breaker.view(now_s) for breaker in self._breakers(model)]
            return max((view.retry_in_s or 0.0 for view in views), default=0.0)
        self._cancel(model, taken, now_s)
        return None

    def enter(self, model: str, now_s: float) -> Pass | None:
        """Acquire the passes for one attempt, which leave() returns; None: provider or model is cooling down."""
        whole = self.breaker
        first = whole.pass_ if whole.is_closed else whole.try_pass(now_s)
        if not first:
            return None
        breaker = self.models.get(model) if self.models else None
        if breaker is None:
            return first, 0
        second = breaker.try_pass(now_s)
        if second:
            return first, second
        self.breaker.cancelled(now_s, first)
        return None

    def is_told_to_wait(self, model: str, now_s: float) -> bool:
        """Return whether a model cools down because the provider asked for it, not because it failed."""
        return now_s < self._told_to_wait.get(model, 0.0)

    def is_probing(self, model: str) -> bool:
        """Return whether the next answer decides whether others are let through again."""
        if self.breaker.is_closed and model not in self.models:
            return False
        now_s = self._clock.monotonic_s()
        return any(breaker.state(now_s) == "half_open" for breaker in self._breakers(model))

    def choose_key(self, model: str, now_ms: int, excluded: Collection[int] = ()) -> int | None:
        if self._has_limits:
            excluded = (*excluded, *self.used_up(now_ms))
        return 0 if self.ring.is_free and not excluded else self.ring.choose(now_ms, excluded, model)

    def used_up(self, now_ms: int) -> tuple[int, ...]:
        """Return the keys whose own limits are reached."""
        return self._use.used_up(self.row.keys, now_ms) if self._has_limits else ()

    def least_bad_key(self, model: str, now_ms: int) -> int | None:
        """Return the first key that is valid by its dates, suspended or not; None if there is none.

        None too where the provider told each of them to wait: it has said how long.
        """
        if self.ring.usable_in_ms(now_ms, model) is None or self.ring.waits_ms(now_ms, model) is not None:
            return None
        used_up = self.used_up(now_ms)
        return next((i for i, view in enumerate(self.ring.view(now_ms)) if view.valid and i not in used_up), None)

    # After it.

    def answered(self, attempt: Attempt, passes: Pass, user: str) -> None:
        """Record that an attempt gave content, and to whom."""
        now_s, model, whole = self._clock.monotonic_s(), attempt.target.model, self.breaker
        of_provider, of_model = passes
        first_byte_s = attempt.result.first_byte_s
        latency_ms = None if first_byte_s is None else (first_byte_s - attempt.started_s) * 1000
        recent = self._recent.get(model)
        if recent is None or not whole.is_closed or of_provider != whole.pass_ or of_model or not self.ring.is_free:
            self._answered_again(attempt, passes, user, now_s, latency_ms)
            return
        # nearly always: what _answered_again() comes to then, in one step of each request
        whole.failures_in_row = 0
        attempts = whole.attempts
        if now_s >= attempts.until_s:
            attempts.move(now_s)
        attempts.newest[0] += 1
        of_all, of_one = whole.witnesses, recent.witnesses
        if user == of_all.last_served and user == of_one.last_served:
            of_all.last_served_s = of_one.last_served_s = now_s
        else:
            of_all.served(user, now_s)
            of_one.served(user, now_s)
        latency = recent.latency_ms
        if recent.error_rate == 0.0 and latency is not None and latency_ms is not None:
            recent.attempts += 1
            recent.latency_ms = latency + WEIGHT * (latency_ms - latency)
        else:
            recent.note(failed=False, latency_ms=latency_ms)

    def _answered_again(
        self, attempt: Attempt, passes: Pass, user: str, now_s: float, latency_ms: float | None
    ) -> None:
        """Record it where something may have failed before."""
        model, whole = attempt.target.model, self.breaker
        of_provider, of_model = passes
        closed = whole.is_closed
        whole.succeeded(now_s, of_provider, user)
        if not closed:
            self._tell_closed(whole, None)
        if of_model:
            self._model_answered(model, of_model, user, now_s)
        if not self.ring.is_free:
            self.ring.restore(attempt.key.name, model)
        recent = self.recent(model)
        recent.witnesses.served(user, now_s)
        recent.note(failed=False, latency_ms=latency_ms)

    def _model_answered(self, model: str, of_model: int, user: str, now_s: float) -> None:
        breaker = self.models.get(model)  # others may have taken its place meanwhile
        if breaker is not None:
            closed = breaker.is_closed
            breaker.succeeded(now_s, of_model, user)
            if not closed:
                self._tell_closed(breaker, model)

    def failed(
        self,
        attempt: Attempt,
        passes: Pass,
        decision: Decision,
        retry_after_s: float | None,
        witness: Witness | None,
    ) -> None:
        """Record a failure as the table judges it: what counts it, and what is suspended. witness: as for a breaker."""
        now_s, model = self._clock.monotonic_s(), attempt.target.model
        of_provider, of_model = passes
        opened = [breaker for breaker in self._breakers(model) if not breaker.is_closed]
        if "provider" in decision.counts:
            self.breaker.failed(now_s, of_provider, retry_after_s, witness)
        else:
            self.breaker.cancelled(now_s, of_provider)
        if "model" in decision.counts:
            breaker = self._model_breaker(model)
            breaker.failed(now_s, of_model or breaker.try_pass(now_s), retry_after_s, witness)
        elif of_model and model in self.models:
            self.models[model].cancelled(now_s, of_model)
        if decision.set_aside_s is not None:
            self._set_aside(attempt, decision, decision.set_aside_s, now_s)
        if decision.counts or decision.set_aside_s is not None:
            self.recent(model).note(failed=True, latency_ms=None)
        self._tell_failed(model, decision, now_s, opened)

    def inconclusive(self, model: str, passes: Pass) -> None:
        """Record an inconclusive attempt: the client went, or the request was not sent."""
        self._cancel(model, passes, self._clock.monotonic_s())

    def recent(self, model: str) -> RecentPerformance:
        found = self._recent.get(model)
        if found is None:
            if len(self._recent) >= _MODELS_MAX:
                del self._recent[next(iter(self._recent))]
            found = self._recent[model] = RecentPerformance()
        return found

    def known(self, model: str) -> RecentPerformance | None:
        """Return what is known about a model, without making room for it."""
        return self._recent.get(model)

    def state(self, model: str) -> State:
        """Return the worse of the two breakers' states."""
        now_s = self._clock.monotonic_s()
        states = [breaker.state(now_s) for breaker in self._breakers(model)]
        return max(states, key=_WORSE.index)

    def view(self) -> ProviderView:
        now_s = self._clock.monotonic_s()
        now_ms = self._clock.now_ms()
        models = {model: breaker.view(now_s) for model, breaker in self.models.items()}
        return ProviderView(
            self.breaker.view(now_s),
            models,
            self.ring.view(now_ms),
            self.budget.left(now_s),
            None if self.line is None else self.line.running,
            None if self.line is None else len(self.line),
            frozenset(self.row.keys[i].name for i in self.used_up(now_ms)),
        )

    def _tell_failed(self, model: str, decision: Decision, now_s: float, opened: Collection[Breaker]) -> None:
        """Log which breakers have opened (opened: those that were), and the first failure to reach the provider."""
        for breaker in self._breakers(model):
            if not breaker.is_closed and breaker not in opened:
                view = breaker.view(now_s)
                told = {"provider": self.row.name, "reason": decision.case, "retry_in_s": round(view.retry_in_s or 0)}
                told |= {} if breaker is self.breaker else {"model": model}
                log.warning("breaker.opened", extra=told)
        if decision.case in _UNREACHED and self.breaker.view(now_s).failures_in_row == 1:
            log.warning("provider.unavailable", extra={"provider": self.row.name, "reason": decision.case})

    def _tell_closed(self, breaker: Breaker, model: str | None) -> None:
        if breaker.is_closed:
            told = {"provider": self.row.name} | ({} if model is None else {"model": model})
            log.warning("breaker.closed", extra=told)

    def _set_aside(self, attempt: Attempt, decision: Decision, for_s: float, now_s: float) -> None:
        model, key = attempt.target.model, attempt.key.name
        if decision.blame == "key" and key != OWN:
            until_ms = self._clock.now_ms() + int(for_s * 1000)
            self.ring.set_aside(key, until_ms, decision.case, model if decision.model_only else None)
        elif decision.blame == "model":
            self._model_breaker(model).set_aside(now_s, for_s)
            self._told_to_wait[model] = now_s + for_s
        elif decision.blame == "provider":
            self.breaker.set_aside(now_s, for_s)

    def _breakers(self, model: str) -> list[Breaker]:
        found = self.models.get(model)
        return [self.breaker] if found is None else [self.breaker, found]

    def _model_breaker(self, model: str) -> Breaker:
        """Return a model's breaker; it has one from its first failure on."""
        found = self.models.get(model)
        if found is None:
            if len(self.models) >= _MODELS_MAX:
                oldest = next(iter(self.models))
                del self.models[oldest]
                self._told_to_wait.pop(oldest, None)
            found = self.models[model] = Breaker(self.row.breaker, self.recent(model).witnesses)
        return found

    def _cancel(self, model: str, passes: Pass, now_s: float) -> None:
        of_provider, of_model = passes
        self.breaker.cancelled(now_s, of_provider)
        if of_model and model in self.models:
            self.models[model].cancelled(now_s, of_model)


class Health:
    """The states of all providers, by name."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.use = KeyUse(ZoneInfo("UTC"))  # the configuration tells the zone
        self._providers: dict[str, ProviderHealth] = {}
        self.generation = 0  # of the states: each configuration makes them anew
        self._others: dict[str, ProviderHealth] = {}  # static ones, and those of requests that outlived their row

    def configure(self, rows: Iterable[ProviderRow]) -> None:
        """Apply a configuration; the state of providers that are no longer in it is dropped."""
        before = self._providers
        self.generation += 1
        self._others = {}
        self._providers = {
            row.name: before[row.name].under(row) if row.name in before else ProviderHealth(row, self._clock, self.use)
            for row in rows
        }

    def of(self, row: ProviderRow) -> ProviderHealth:
        """Return the state of a provider; a request may still use a configuration that is gone."""
        found = self._providers.get(row.name) or self._others.get(row.name)
        if found is None:
            found = self._others[row.name] = ProviderHealth(row, self._clock, self.use)
        return found

    def seed(self, attempts: Iterable[PastAttempt]) -> None:
        """Load what the ledger knows of attempts before the start, oldest first."""
        for past in attempts:
            found = self._providers.get(past.provider)
            failed = _has_failed(past, self._clock.now_ms())
            if found is not None and failed is not None:
                found.recent(past.model).note(failed=failed, latency_ms=past.ttft_ms)

    def forget(self) -> None:
        """Clear all state, as after a start without a ledger."""
        self.generation += 1
        self._providers = {
            name: ProviderHealth(found.row, self._clock, self.use) for name, found in self._providers.items()
        }

    def views(self) -> dict[str, ProviderView]:
        return {name: found.view() for name, found in self._providers.items()}


def _has_failed(past: PastAttempt, now_ms: int) -> bool | None:
    """Return whether an attempt of the ledger counts as failed.

    None: it tells nothing of the target. A caller's fault is none of its own, nor is a key's: keys begin afresh.
    """
    if past.outcome == "ok":
        return False
    if past.outcome not in _FAILED:
        return None
    if past.status is None or past.status < 300:
        return True
    decision = decide(Failure("status", past.status), now_ms)
    return True if decision.counts or decision.set_aside_s is not None else None
