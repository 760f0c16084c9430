"""Where a request is on its route, and which target and key it may go on with after a failure."""

import random
from collections.abc import Mapping
from typing import NamedTuple

from msgspec.structs import replace

from proxy.pipeline.context import RequestContext
from proxy.pipeline.services import Services
from proxy.pipeline.stops import CODE
from proxy.pipeline.upstream.attempt_deadlines import capped, deadlines_at
from proxy.pipeline.upstream.attempt_log import log_failed, log_set_aside
from proxy.pipeline.upstream.concurrency import ConcurrencyLimit
from proxy.pipeline.upstream.failure_decision import HALTED, USED_UP, decide_next, is_unreached, late_failure
from proxy.pipeline.upstream.form_proof import proof_of
from proxy.pipeline.upstream.hop import Hop
from proxy.pipeline.upstream.no_target_errors import no_target_error, queue_error
from proxy.pipeline.values.attempt import Attempt, Pass
from proxy.pipeline.values.attempt_result import AttemptResult
from proxy.pipeline.values.reservation import Reservation
from proxy.pipeline.values.route import Route, Target
from proxy.pipeline.values.settlement import HUNG_UP, STOPPED
from proxy.policy.backoff import delay_s
from proxy.policy.failure import Failure
from proxy.policy.failure_table import Decision
from proxy.policy.witnesses import Witness
from proxy.providers.deadlines import Deadlines
from proxy.providers.key import OWN
from proxy.wire.body import dump_body

_AMENDED_MOST = 12  # more fields than any request has
_NO_VERDICT = frozenset({HUNG_UP, STOPPED})  # an attempt that was ended so says nothing of its provider
_LEFT_MIN_S = 0.05  # an attempt that may begin has at least this long


class NextHop(NamedTuple):
    """The next attempt: where, and after how long."""

    place: Hop
    wait_s: float = 0.0


class FailedHop(NamedTuple):
    """A target that was asked. again: when, on the monotonic clock, it may be asked the same; None: not at all."""

    place: Hop
    attempt: Attempt  # the last one there
    tries: int  # with the same key
    tried_keys: tuple[int, ...]
    again_s: float | None


class Hops:
    """One request's way along its route. attempts are those that were begun, in order.

    All targets come first, each with all the keys that may help, and nothing is waited for. Then those are asked again
    whose failure may pass, that first which may be asked first, as long as time and the budgets of retries last. The
    static answers of a preset come last.
    """

    __slots__ = (
        "_amended",
        "_context",
        "_left",
        "_line",
        "_passes",
        "_services",
        "_tried_keys",
        "_tries",
        "attempts",
        "place",
        "reservation",
        "route",
    )

    def __init__(self, context: RequestContext, route: Route, services: Services, place: Hop | None = None) -> None:
        """Begin at place, else choose the first one; raises ProviderError where no target can be asked now."""
        self._context = context
        self.route = route
        self._services = services
        self.reservation: Reservation  # once there is one: no attempt begins before it
        self._tries: int  # of the current hop, once an attempt has begun
        self._tried_keys: tuple[int, ...]  # of the current target
        self._left: dict[int, FailedHop] | None = None  # targets that have failed, by their place on the route
        self._line: ConcurrencyLimit | None = None  # where the attempt at hand has a place
        self._passes: Pass | None = None  # of the breakers, for the attempt at hand
        self.attempts: list[Attempt] = []
        self._amended = 0  # of the attempts: those that only took back a field of ours
        self.place = self._first() if place is None else place

    @property
    def _limit_s(self) -> float:
        """Return how long all of the route may take."""
        return self.route.deadline_s or self._context.snapshot.routing.deadline_s

    @property
    def _deadline_s(self) -> float:
        return self._context.started_s + self._limit_s

    def _first(self) -> Hop:
        context = self._context
        place = self._place(0, context.started_s, context.started_ms)
        if place is None:
            place = (
                self._next_place(context.started_s, context.started_ms) or self._canned_place() or self._last_resort()
            )
        if place is None:
            if self._services.stops.active:
                self._services.stops.open_route(context, self.route)
            raise no_target_error(self.route, self._services.health, self._context)
        return place

    def looks_at_answers(self) -> bool:
        """Return whether an answer that fails before its content could be replaced, or other requests wait for it.

        A probe's first content lets other requests through, so it is watched for.
        """
        place, route, left = self.place, self.route, self._left
        if route.checks is not None:
            return True
        if left is None:
            if len(route.targets) > place.at + 1:
                return True
        elif self._may_follow(left, place.at):
            return True
        if len(place.provider.keys) > len(self._tried_keys) and place.key_index >= 0:
            return True
        health = place.health
        if health.breaker.is_closed and not health.models:
            return False
        return health.is_probing(place.target.model)

    def _may_follow(self, left: Mapping[int, FailedHop], here: int) -> bool:
        """Return whether there is another target to ask, for the first time or again."""
        others = (at for at in range(len(self.route.targets)) if at != here)
        return any(at not in left or left[at].again_s is not None for at in others)

    def may_refuse(self, attempt: Attempt, route: Route) -> bool:
        """Return whether an answer under 200 may still refuse what the proxy wrote: none of the kind has come yet."""
        sent = route.body if route.asked is None else route.asked  # as Route.sent
        body = attempt.sent_body()
        if body is None or len(body) <= len(sent):
            return False
        proofs = self._services.forms.proved
        if proof_of(attempt, route) not in proofs:
            return True
        if len(route.targets) == len(attempt.provider.keys) == 1 and route.checks is None:
            self._keep_proofs(attempt)  # there is no other one: looks_at_answers() need not be asked again, either
        return False

    def note_proved(self, attempt: Attempt) -> None:
        """Keep it with the place that an answer on a route of several has proved what it was sent."""
        if len(self.route.targets) > 1 and self.route.checks is None:
            self.place.is_followed = True
            self._keep_proofs(attempt)

    def _keep_proofs(self, attempt: Attempt) -> None:
        place, proofs = self.place, self._services.forms.proved
        if attempt.streamed:
            place.stream_proofs = proofs
        else:
            place.proofs = proofs

    def enter(self, attempt: Attempt) -> bool | None:
        """Acquire the breakers' passes for the next attempt.

        False: it must not be sent, and knows why. None: there is a line to stand in.
        """
        if self._services.stops.active and self.is_halted(attempt):
            return False
        health = self.place.health
        whole = health.breaker
        if whole.is_closed and not health.models:  # as enter() of it
            self._passes = whole.pass_, 0
        else:
            self._passes = health.enter(attempt.target.model, attempt.started_s)
            if self._passes is None:
                attempt.result.dispatched = False
                told = no_target_error(self.route, self._services.health, self._context)
                attempt.fail(Failure("connect", kind="resting"), told)
                return False
        if self._tries == 1:
            tries = health.budget.tries  # as add() of it, which takes longer to call
            if attempt.started_s >= tries.until_s:
                tries.move(attempt.started_s)
            tries.newest[0] += 1
        if health.line is not None:
            return None
        return not attempt.key.quotas or self._hold_key(attempt)

    async def stand_in_line(self, attempt: Attempt) -> bool:
        """Wait until the provider has room; False: it must not be sent, and knows why."""
        line = self.place.health.line
        assert line is not None, "enter() saw it"
        unserved = await line.enter(self._context, self._left_s(attempt.provider.queue_timeout_s))
        if unserved is None:
            self._line = line  # at once: leave() frees the place, whatever comes
        if self._services.stops.active and self.is_halted(attempt):  # which may have ended the wait
            return False
        if unserved is not None:
            attempt.result.dispatched = False
            attempt.fail(Failure("connect", kind=unserved), queue_error(attempt.provider, unserved))
            return False
        return not self._context.gone and (not attempt.key.quotas or self._hold_key(attempt))

    def is_halted(self, attempt: Attempt) -> bool:
        """Return whether the model or provider of an attempt is stopped; then it must not be sent, and knows why.

        Raises OwnError 503 where its request is.
        """
        stops = self._services.stops
        attempt.result.error = CODE  # of a request that ends here
        stops.check(self._context)
        attempt.result.error = None
        told = stops.error_of(attempt.target)
        if told is None:
            return False
        attempt.result.dispatched = False
        attempt.fail(Failure("connect", kind=HALTED), told)
        return True

    def _is_stopped(self, target: Target) -> bool:
        stops = self._services.stops
        return bool(stops.active) and stops.of_target(target) is not None

    def _hold_key(self, attempt: Attempt) -> bool:
        """Count the attempt for the limits of its key, which others may have used up since it was chosen."""
        use, key = self._services.health.use, attempt.key
        if use.used_up((key,), self._services.clock.now_ms()):
            attempt.result.dispatched = False
            told = no_target_error(self.route, self._services.health, self._context)
            attempt.fail(Failure("connect", kind=USED_UP), told)
            return False
        attempt.key_held = use.begin(key, self._context.started_ms, self.reservation.amount_pusd or 0)
        return True

    def note_opened(self) -> None:
        """Report to the breakers an answer whose content has begun: requests behind a probe need not wait longer."""
        attempt = self.attempts[-1]
        if attempt.failure is None and self._passes is not None and not self._context.gone:
            attempt.is_noted = True
            self.place.health.answered(attempt, self._passes, self._context.identity.user)

    @property
    def may_amend(self) -> bool:
        """Return whether the last attempt may be sent again without a field of ours."""
        return self._amended < _AMENDED_MOST and self._left_s(1.0) > _LEFT_MIN_S

    def amended(self) -> Attempt:
        """Begin an attempt at the same place that takes no try, no wait and no retry of anybody's budget."""
        tries, tried_keys = self._tries, self._tried_keys
        self.attempts[-1].is_amended = True
        attempt = self.attempt_at(self.place.again())
        self._tries, self._tried_keys = tries, tried_keys
        self._amended += 1
        return attempt

    def leave(self, decision: Decision | None = None) -> None:
        """End the last attempt for breakers and queue; further calls do nothing."""
        if self._line is not None:
            self._line.leave()
            self._line = None
        passes = self._passes
        if passes is None:
            return
        self._passes = None
        attempt = self.attempts[-1]
        health, attempt_result = self.place.health, attempt.result
        failure, error, flags = attempt.failure, attempt_result.error, attempt_result.flags
        if failure is None and error is None and attempt_result.dispatched and not flags and not attempt_result.failed:
            self._services.counters.attempts[health.ok] += 1  # nearly always
            if not attempt.is_noted:
                health.answered(attempt, passes, self._context.identity.user)
            return
        if not attempt_result.dispatched and failure is None and error is None:
            health.inconclusive(attempt.target.model, passes)  # it never began: its row did not reach the disk
            return
        self._services.counters.attempts[health.ok if error is None else (attempt.provider.name, error)] += 1
        if failure is None and (attempt_result.failed or flags):
            failure = late_failure(attempt, self._services.clock.now_ms())
        if (flags and not _NO_VERDICT.isdisjoint(flags)) or not (attempt_result.dispatched or is_unreached(failure)):
            if not attempt.is_noted:
                health.inconclusive(attempt.target.model, passes)
        elif failure is not None:
            decision = decision or decide_next(failure, self._context, self.route)
            if decision.blame == "key" and attempt.key.name == OWN:  # nobody else has it
                decision = decision._replace(counts=(), set_aside_s=None)
            log_failed(self._context, attempt, failure, decision)
            # by its name: what is put aside holds for the configuration of now
            held = self._services.health.of(attempt.provider)
            witness = self._witness(failure) if decision.counts else None
            held.failed(attempt, passes, decision, failure.retry_after_s, witness)
            if decision.blame == "key" and decision.set_aside_s is not None:
                log_set_aside(attempt, decision)
                self._services.counters.set_asides[attempt.provider.name, attempt.key.name, decision.case] += 1
        elif not attempt.is_noted:
            health.answered(attempt, passes, self._context.identity.user)

    def _witness(self, failure: Failure) -> Witness | None:
        """Return whose request met a failure; None: nothing was sent, so the request cannot be at fault."""
        return (
            None
            if failure.where == "connect"
            else Witness(self._context.identity.user, hash(dump_body(self.route.body)))
        )

    def set_failed(self, decision: Decision, failure: Failure) -> None:
        """Record that the current target has failed, and when it may be asked again."""
        if self._left is None:
            self._left = {}
        again_s = self._again_s(decision, failure)
        place = self.place.again()
        self._left[place.at] = FailedHop(place, self.attempts[-1], self._tries, self._tried_keys, again_s)

    def _again_s(self, decision: Decision, failure: Failure) -> float | None:
        """Return when the current target may be asked again; None: its failure lasts, or its tries are used up."""
        rules = self.place.provider.retry
        retries_max = rules.attempts - 1
        if decision.retries_max is not None:
            retries_max = min(retries_max, decision.retries_max)
        told_s = failure.retry_after_s
        is_too_long = told_s is not None and told_s > self._context.snapshot.routing.retry_after_max_s
        if "retry" not in decision.steps or self._tries > retries_max or is_too_long:
            return None
        wait_s = delay_s(self._tries, told_s, rules, random.random())  # noqa: S311 - it spreads retries, no secret
        return self._services.clock.monotonic_s() + wait_s

    def next_hop(self, decision: Decision) -> NextHop | None:
        """Return the first step that is possible."""
        if decision.steps[0] == "stop":
            return None
        if self._left_s(1.0) > _LEFT_MIN_S:
            move = self._to_another(decision) or self._to_the_same() or self._to_the_last_resort(decision)
            if move is not None:
                return move
        return self.static_hop(decision)

    def _to_another(self, decision: Decision) -> NextHop | None:
        """Move to another key if that may help, or to a target not asked yet: neither waits."""
        place = self._next_key() if "next_key" in decision.steps and self._may_repeat else None
        if place is None and "next_target" in decision.steps:
            clock = self._services.clock
            place = self._next_place(clock.monotonic_s(), clock.now_ms())
        return None if place is None else NextHop(place)

    @property
    def _may_repeat(self) -> bool:
        return len(self.attempts) - self._amended < self._context.snapshot.routing.attempts_max

    def _to_the_same(self) -> NextHop | None:
        """Retry the target with the shortest wait, if tries, time and its provider's retry budget allow it."""
        now_s = self._services.clock.monotonic_s()
        if not self._may_repeat:
            return None
        waits = [(self._wait_s(left, now_s), at) for at, left in (self._left or {}).items()]
        for wait_s, at in sorted((wait_s, at) for wait_s, at in waits if wait_s is not None):
            place = (self._left or {})[at].place
            if place.health.budget.take(now_s):
                self._services.counters.retries[place.provider.name] += 1
                return NextHop(place, wait_s)
        return None

    def _to_the_last_resort(self, decision: Decision) -> NextHop | None:
        """Move to a target that was not asked because its keys are suspended: its own answer says most."""
        place = self._last_resort() if "next_target" in decision.steps else None
        return None if place is None else NextHop(place)

    def _wait_s(self, left: FailedHop, now_s: float) -> float | None:
        """Return how long to wait until a target may be asked again; None: too long, or not at all."""
        if left.again_s is None or self._is_stopped(left.place.target):
            return None
        wait_s = max(left.again_s - now_s, 0.0)
        rests_s = left.place.health.rests_s(left.place.target.model, now_s)
        if rests_s is not None:
            wait_s = max(wait_s, rests_s)
            is_told = left.place.health.is_told_to_wait(left.place.target.model, now_s)
            if not is_told or wait_s > self._context.snapshot.routing.retry_after_max_s:
                return None
        return None if now_s + wait_s + _LEFT_MIN_S > self._deadline_s else wait_s

    def static_hop(self, decision: Decision) -> NextHop | None:
        """Move to the static answers: they end a route even when its time is over or the money is spent."""
        place = self._canned_place()
        is_reached = place is not None and place.at != self.place.at and "next_target" in decision.steps
        return NextHop(place) if place is not None and is_reached else None

    def _canned_place(self) -> Hop | None:
        at, clock = len(self.route.targets) - 1, self._services.clock
        if self.route.targets[at].static is None:
            return None
        return self._place(at, clock.monotonic_s(), clock.now_ms())

    def _next_key(self) -> Hop | None:
        place = self.place
        if place.key_index < 0 or self._is_stopped(place.target):
            return None
        index = place.health.choose_key(place.target.model, self._services.clock.now_ms(), self._tried_keys)
        return None if index is None else replace(place.again(), key=place.provider.keys[index], key_index=index)

    def _next_place(self, now_s: float, now_ms: int) -> Hop | None:
        """Return the first target not asked yet that can be asked now, with a key; static answers come last."""
        for at, target in enumerate(self.route.targets):
            if target.static is None and at not in (self._left or ()):
                place = self._place(at, now_s, now_ms)
                if place is not None:
                    return place
        return None

    def _last_resort(self) -> Hop | None:
        """Return a target whose keys are all suspended: with nothing else to ask, the provider itself knows best."""
        now_ms, now_s = self._services.clock.now_ms(), self._context.clock.monotonic_s()
        for at, target in enumerate(self.route.targets):
            if at in (self._left or ()) or target.static is not None or self._is_stopped(target):
                continue
            provider = self._context.snapshot.provider_of(target)
            if provider.name in self._context.identity.own_keys:
                continue
            health = self._services.health.of(provider)
            index = health.least_bad_key(target.model, now_ms)
            if index is not None and health.rests_s(target.model, now_s) is None:
                return Hop(at, target, provider, provider.keys[index], index, health)
        return None

    def _place(self, at: int, now_s: float, now_ms: int) -> Hop | None:
        target, snapshot = self.route.targets[at], self._context.snapshot
        provider = snapshot.providers[target.provider] if target.static is None else snapshot.provider_of(target)
        health = self._services.health.of(provider)
        if health.rests_s(target.model, now_s) is not None:
            return None
        if self._services.stops.active and self._is_stopped(target):
            return None
        own_keys = self._context.identity.own_keys
        if own_keys:
            own = own_keys.get(provider.name)
            if own is not None:  # it alone: nobody else pays for what its user asks for
                return Hop(at, target, provider, own, -1, health) if own.problem is None else None
        index = health.choose_key(target.model, now_ms)
        return None if index is None else Hop(at, target, provider, provider.keys[index], index, health)

    def attempt_at(self, place: Hop) -> Attempt:
        """Begin the next attempt there."""
        self.place = place
        left = None if self._left is None else self._left.get(place.at)
        if left is None:
            self._tries, self._tried_keys = 1, (place.key_index,)
        elif place.key_index in left.tried_keys:
            self._tries, self._tried_keys = left.tries + 1, left.tried_keys
        else:
            self._tries, self._tried_keys = left.tries, (*left.tried_keys, place.key_index)
        now_s, route, reservation = self._context.clock.monotonic_s(), self.route, self.reservation
        streamed = reservation.streamed
        attempt = Attempt(  # in the order of the fields: by their names it would take longer
            len(self.attempts) + 1,
            place.target,
            place.provider,
            place.key,
            now_s,
            (place.stream_deadlines if streamed else place.deadlines) or self._deadlines(place, now_s),
            AttemptResult(),
            streamed,
            route.endpoint.meter is not None,
            reservation.told_max_tokens,
        )
        if route.checks is not None:
            attempt.checks = route.checks
            attempt.check_fails = route.check_moves_on and place.at + 1 < len(route.targets)
        if left is not None:  # what this request has learnt of the target
            attempt.form, attempt.change = left.attempt.form, left.attempt.change
        self.attempts.append(attempt)
        return attempt

    def _deadlines(self, place: Hop, now_s: float) -> Deadlines:
        """Return the time-outs of an attempt, none longer than what the route has left."""
        target, provider = place.target, place.provider
        deadlines = provider.deadlines
        if target.deadlines is not None or provider.model_deadlines:
            deadlines = deadlines_at(target, provider)
        if len(self.route.targets) == 1 and self.route.deadline_s is None:
            place.deadlines = place.stream_deadlines = deadlines
            return deadlines
        if self.attempts:
            left_s = max(self._deadline_s - now_s, _LEFT_MIN_S)
            return capped(deadlines, left_s, streamed=self.reservation.streamed)
        if self.reservation.streamed:
            place.stream_deadlines = deadlines = capped(deadlines, self._limit_s, streamed=True)
        else:
            place.deadlines = deadlines = capped(deadlines, self._limit_s, streamed=False)
        return deadlines

    def _left_s(self, most_s: float) -> float:
        return min(most_s, self._deadline_s - self._services.clock.monotonic_s())
