"""The stops in force: who and what may not go on, from the moment that they are made.

A stop is in force in memory first, then on disk: one that the disk refuses holds all the same, until the proxy ends.
It is looked at when a request comes, before each attempt, and by those that wait; with ``cut`` it also ends what runs.
Time is the trusted clock's, and a stop whose time was over is never in force again, whatever the clock does then.

One with another effect than to stop forbids nothing: admission/eased.py slows its requests, or sends them by a preset.
"""

import asyncio
import logging
import math
import secrets
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from msgspec.structs import replace

from proxy.config.group_tree import ancestors
from proxy.core.clock import Clock
from proxy.core.errors import OwnError
from proxy.core.latch import Latch
from proxy.core.stop_effect import STOP, StopEffect
from proxy.pipeline.admission.limiter import Limiter
from proxy.pipeline.context import RequestContext
from proxy.pipeline.in_flight import InFlight
from proxy.pipeline.snapshot import Snapshot
from proxy.pipeline.values.identity import Identity
from proxy.pipeline.values.route import Route, Target
from proxy.policy.stop import Asker, Stop, StopKind, stop_of_asker, stop_of_preset, stop_of_target
from proxy.storage.admin_posts import PostClaim
from proxy.storage.audit import PROXY, Actor
from proxy.storage.ledger import Ledger, LedgerUnavailableError
from proxy.storage.stops import no_stop, read_stop
from proxy.storage.users import MissingError

log = logging.getLogger("tollkeeper.stops")

CODE = "stopped"
_EVERY_S = 0.5  # how often ends of stops, and those that are not on disk yet, are looked at
_TOLD_MAX_S = 60  # some SDKs sleep for as long as they are told
_UNREAD_S = 5.0  # a client that was cut and reads nothing is dropped after this
_WRITTEN = ("id", "kind", "subject", "reason", "cut", "until_ms", "effect", "preset", "a_minute", "rule")


class NewStop(NamedTuple):
    """What somebody wants to stop. until_ms: when it ends by itself; None: not at all. rule: of alerts, that asks."""

    kind: StopKind
    subject: str = ""
    reason: str | None = None
    cut: bool = False
    until_ms: int | None = None
    effect: StopEffect = STOP
    rule: str | None = None


class StopMadeError(Exception):
    """Something was stopped while a row was on its way to the disk, before the end of its request had left."""


class TargetLatch(Latch):
    """A wait until a target may be asked again."""

    __slots__ = ("target",)

    def __init__(self, target: Target) -> None:
        super().__init__()
        self.target = target


class Stops:
    """All stops in force. active: () while nothing is stopped, so that a request pays for one look at it."""

    def __init__(self, ledger: Ledger, limiter: Limiter, in_flight: InFlight, clock: Clock) -> None:
        self._ledger, self._limiter, self._in_flight, self._clock = ledger, limiter, in_flight, clock
        self.active: tuple[Stop, ...] = ()
        self._halting: tuple[Stop, ...] = ()  # of these, what is refused
        self._easing: tuple[Stop, ...] = ()  # and what is slowed or downgraded
        self._turns: dict[str, set[Latch]] = {}  # of requests that wait for one, by the stop that slows them
        self._unwritten: set[str] = set()  # in force, and not on disk
        self._ended: dict[str, Actor] = {}  # over, and perhaps still on disk; and who ended them

    def load(self, stops: Iterable[Stop]) -> None:
        """Put in force what the ledger holds at a start; what is over by now is ended by run()."""
        self._set(stops)

    def _set(self, stops: Iterable[Stop]) -> None:
        self.active = tuple(stops)
        self._halting = tuple(stop for stop in self.active if stop.effect == "stop")
        self._easing = tuple(stop for stop in self.active if stop.effect != "stop")

    # Changes

    async def add(self, wanted: NewStop, actor: Actor, claim: PostClaim | None = None) -> Stop:
        """Stop something: in force at once, and on disk when this returns, unless is_durable() says otherwise.

        claim: of the operator's request, where it is to be done once. Raises UserError for what is no stop.
        """
        now_ms = self._clock.now_ms()
        name, preset, a_minute = wanted.effect
        effect = {"effect": name, "preset": preset, "a_minute": a_minute}
        stop = read_stop({**wanted._asdict(), **effect, "id": f"stop_{secrets.token_hex(6)}"}, now_ms, actor)
        self._set((*self.active, stop))
        self._unwritten.add(stop.id)
        told = {"stop": stop.id, "what": stop.what, "actor": actor.name, "cut": stop.cut, "reason": stop.reason}
        log.warning("stop.made", extra={**told, "effect": stop.outcome.text})
        if stop.effect == "stop":
            self._reach_out(stop)
        await self._write(stop, claim)
        return stop

    def is_durable(self, stop: Stop) -> bool:
        """Return whether a stop is on disk, so that it outlives this process."""
        return stop.id not in self._unwritten

    def find(self, id_: str) -> Stop:
        """Return a stop in force; raises MissingError."""
        for stop in self.in_force():
            if stop.id == id_:
                return stop
        raise no_stop(id_)

    async def end(self, stop: Stop, actor: Actor) -> None:
        """Let go on what a stop forbids, once that is on disk; raises LedgerUnavailableError, and it goes on to hold.

        One that is not on disk ends at once; should it still get there, tend() removes it.
        """
        if stop.id in self._unwritten:
            self._ended[stop.id] = actor
        else:
            await self._ledger.operate("stops.end", now_ms=self._clock.now_ms(), actor=actor, fields={"id": stop.id})
        self._drop(stop)
        log.warning("stop.ended", extra={"stop": stop.id, "what": stop.what, "actor": actor.name})

    async def _write(self, stop: Stop, claim: PostClaim | None = None, *, is_again: bool = False) -> None:
        fields = {name: getattr(stop, name) for name in _WRITTEN}
        made_by = Actor(stop.actor, stop.source)
        try:
            await self._ledger.operate("stops.add", now_ms=stop.created_ms, actor=made_by, fields=fields, claim=claim)
        except LedgerUnavailableError as error:
            level = logging.DEBUG if is_again else logging.ERROR
            log.log(level, "stop.not_durable", extra={"stop": stop.id, "what": stop.what, "problem": str(error)})
            return
        self._unwritten.discard(stop.id)

    def _drop(self, stop: Stop) -> None:
        self._set(each for each in self.active if each.id != stop.id)
        self._unwritten.discard(stop.id)
        for latch in self._turns.pop(stop.id, ()):
            latch.give_up()

    # What happens by itself

    async def run(self) -> None:
        """End stops whose time is over, and write those that the disk has refused, until cancelled."""
        while True:
            if self.active or self._ended:
                await self.tend()
            await asyncio.sleep(_EVERY_S)

    async def tend(self) -> None:
        """Do once what run() does."""
        for stop in self.in_force():
            if stop.id in self._unwritten:
                await self._write(stop, is_again=True)
        for id_, actor in sorted(self._ended.items()):
            try:
                await self._ledger.operate("stops.end", now_ms=self._clock.now_ms(), actor=actor, fields={"id": id_})
            except LedgerUnavailableError:
                continue  # it is over all the same; next time, or the next start, writes it down
            except MissingError:  # the disk had refused it all the time that it held
                pass
            self._ended.pop(id_, None)

    def in_force(self) -> tuple[Stop, ...]:
        """Return the stops that hold now."""
        stops, now_ms = self.active, self._clock.now_ms()
        for stop in stops:
            if stop.is_over(now_ms):
                self._drop(stop)
                self._ended[stop.id] = PROXY
                log.warning("stop.ended", extra={"stop": stop.id, "what": stop.what, "actor": PROXY.name})
        return self.active

    def _halting_now(self) -> tuple[Stop, ...]:
        self.in_force()
        return self._halting

    # What a request asks. Each is called only while something is stopped.

    def check(self, context: RequestContext) -> None:
        """Raise OwnError 503 where all is stopped that somebody asks, or the preset that the body names."""
        stop = self._of_request(self._halting_now(), context)
        if stop is not None:
            raise self._error(stop)

    def open_route(self, context: RequestContext, route: Route) -> Route:
        """Return the route without what is stopped; raises OwnError 503 where nothing is left, or nobody may go on."""
        self.check(context)
        return self.narrowed(route)

    def narrowed(self, route: Route) -> Route:
        """Return the route without targets that are stopped; raises OwnError 503 where none is left."""
        targets, stopped = [], None
        for target in route.targets:
            stop = self.of_target(target)
            if stop is None:
                targets.append(self._without_handed(target))
            stopped = stopped or stop
        if stopped is None and tuple(targets) == route.targets:
            return route
        if stopped is not None and not targets:
            raise self._error(stopped)
        return replace(route, targets=tuple(targets))

    def refusal_of(self, identity: Identity, snapshot: Snapshot, preset: str | None) -> OwnError | None:
        """Return what somebody would be told now, whatever the model; None: their requests may go on."""
        stops = self._halting_now()
        stop = stop_of_asker(stops, _asker_of((identity,), snapshot)) or stop_of_preset(stops, {preset or ""})
        return None if stop is None else self._error(stop)

    def easing(self) -> tuple[Stop, ...]:
        """Return what slows or downgrades now, the oldest first."""
        self.in_force()
        return self._easing

    def listed(self, context: RequestContext) -> set[str]:
        """Return the presets that are stopped among the models that a body lists beside the one that it asks for."""
        presets = context.snapshot.presets
        others = {name for name in context.endpoint.others(context.body) if name in presets}
        return {name for name in others if stop_of_preset(self._halting_now(), {name}) is not None}

    def concerns_all(self, stop: Stop, context: RequestContext) -> bool:
        """Return whether a stop concerns all that somebody asks, or the preset that the body names."""
        return self._of_request((stop,), context) is not None

    def concerns_everyone(self, stop: Stop, identity: Identity, snapshot: Snapshot, preset: str | None) -> bool:
        """Return what concerns_all() does of somebody, whatever the request."""
        asker = _asker_of((identity,), snapshot)
        return (stop_of_asker((stop,), asker) or stop_of_preset((stop,), {preset or ""})) is not None

    async def wait_for_turn(self, stop: Stop, context: RequestContext, wait_s: float) -> None:
        """Wait for as long, or until the stop that slows the request ends, or the client goes."""
        latch = Latch()
        waiting = self._turns.setdefault(stop.id, set())
        waiting.add(latch)
        try:
            await context.wait_for(latch, wait_s)
        finally:
            waiting.discard(latch)

    def of_target(self, target: Target) -> Stop | None:
        """Return the stop of a target's model or provider. Canned answers come from none."""
        if target.static is not None:
            return None
        return stop_of_target(self._halting_now(), target.provider, target.model)

    def error_of(self, target: Target) -> OwnError | None:
        """Return what a client is told who would be answered by a target that is stopped; None where it is not."""
        stop = self.of_target(target)
        return None if stop is None else self._error(stop)

    def _without_handed(self, target: Target) -> Target:
        """Return a target without the models that its provider must not fall back on either."""
        stops = self._halting
        handed = tuple(model for model in target.handed if stop_of_target(stops, target.provider, model) is None)
        return target if handed == target.handed else replace(target, handed=handed)

    def _error(self, stop: Stop) -> OwnError:
        left_s = None if stop.until_ms is None else (stop.until_ms - self._clock.now_ms()) / 1000
        wait_s = _TOLD_MAX_S if left_s is None else min(max(math.ceil(left_s), 1), _TOLD_MAX_S)
        why = "" if stop.reason is None else f": {stop.reason}"
        until = "" if stop.until_ms is None else f" Until {_moment(stop.until_ms)}."
        return OwnError(
            503,
            CODE,
            f"{stop.requests} are stopped by the operator{why}.{until} Operator: tollkeeper stops",
            retry_after_s=wait_s,
            should_retry=left_s is not None and left_s <= _TOLD_MAX_S,
        )

    # Whom a stop concerns

    def _of_request(self, stops: Collection[Stop], context: RequestContext) -> Stop | None:
        return stop_of_asker(stops, _asker(context)) or stop_of_preset(stops, _presets(context))

    def _concerns(self, stop: Stop, context: RequestContext) -> bool:
        """Return whether a stop concerns a request, or the attempt that it is at."""
        if self._of_request((stop,), context) is not None:
            return True
        if isinstance(context.latch, TargetLatch):
            target = context.latch.target
        elif context.attempt is not None:
            target = context.attempt.target
        else:
            return False
        return target.static is None and stop_of_target((stop,), target.provider, target.model) is not None

    def _reach_out(self, stop: Stop) -> None:
        """End the waits of requests that a stop concerns, and where it cuts, whatever they do."""
        self._limiter.wake()
        reached = [context for context in self._in_flight.contexts() if self._concerns(stop, context)]
        for context in reached:
            if stop.cut:
                context.stop(self._error(stop))
            elif context.latch is not None:
                context.latch.give_up()
        if stop.cut and reached:
            asyncio.get_running_loop().call_later(_UNREAD_S, self._cut_unread, reached)

    def _cut_unread(self, reached: Collection[RequestContext]) -> None:
        """Drop clients that were cut and have not read the end of their answer."""
        left = {*self._in_flight.contexts()}
        for context in reached:
            if context in left:
                context.cut()


def _asker(context: RequestContext) -> Asker:
    """Return whose request it is: whom the token names, and who owns it."""
    row = context.snapshot.directory.find(context.downstream.request_headers.token_hash or "")
    owners = () if row is None else (row.identity,)
    return _asker_of((context.identity, *owners), context.snapshot)


def _asker_of(identities: Sequence[Identity], snapshot: Snapshot) -> Asker:
    parents = {name: group.parent for name, group in snapshot.settings.groups.items()}
    own = [identity.group for identity in identities if identity.group is not None]
    groups = {above for group in own for above in (group, *ancestors(parents, group))}
    return Asker({identity.user for identity in identities}, groups, identities[0].token_id)


def _presets(context: RequestContext) -> set[str]:
    """Return the presets that a body asks for, once it is read: by model, or by its use case."""
    if context.asked is None:
        return set()
    found = {context.asked} & context.snapshot.presets.keys()
    use_case = context.tags.use_case
    if context.asked not in found and use_case is not None and use_case in context.snapshot.use_cases:
        found.add(context.snapshot.use_cases[use_case])
    return found


def _moment(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
