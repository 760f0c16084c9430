"""Hold rules against what is measured, every few seconds; what is to be told goes into the ledger first."""

import asyncio
import inspect
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping
from pathlib import Path

import orjson

from proxy.config.alerts import AlertRule
from proxy.core.errors import LedgerError
from proxy.core.glob import fits
from proxy.core.stop_effect import STOP
from proxy.jobs.alerts import account_measures, machine_measures, provider_measures, request_measures
from proxy.jobs.alerts.alert_look import DAY_MS, Acting, AlertLook, AlertPlace
from proxy.jobs.alerts.limit_measures import LimitMeasures
from proxy.pipeline.recent_requests import RecentRequests
from proxy.pipeline.repeated_bodies import RepeatedBodies
from proxy.pipeline.services import Services
from proxy.pipeline.stops import NewStop
from proxy.policy.alerts.measures import AlertReading
from proxy.providers.account.source import AccountError
from proxy.storage.alerts import AlertNotes, AlertRows, SampleNote
from proxy.storage.audit import Actor
from proxy.storage.ledger import LedgerUnavailableError

log = logging.getLogger("tollkeeper.alerts")

_ACTOR = Actor("alert", "proxy")
EVERY_S = 5.0
_FORGET_EVERY_MS = 3_600_000
_OF_REQUESTS = frozenset({"error_rate", "latency_p95", "fallback_rate"})
_SUBJECTS_MAX = 10_000  # of one rule: names are bounded where they come from, and this is the last bound

Readings = list[AlertReading]
Measure = Callable[[AlertRule, AlertRows, int], Readings | Awaitable[Readings]]


class AlertWatch:
    """The job. measured: what each rule came to at the last look. told: how many alerts, by rule and what was told."""

    def __init__(
        self,
        services: Services,
        database: Path,
        wake: Callable[[], None],
        listen: Callable[[RecentRequests | None], None],
    ) -> None:
        """Keep the parts; wake is called when there is something to deliver, listen with who hears of requests."""
        self._services = services
        self._database = database
        self._wake = wake
        self._listen = listen
        self._recent: RecentRequests | None = None
        self._size_bytes: int | None = None  # of the ledger, at this look
        self._turn = asyncio.Lock()
        self._pending: Mapping[AlertPlace, int] = {}
        self._problems: dict[str, str] = {}  # of rules that cannot be measured; "" of all
        self._forgotten_ms: int | None = None
        self.measured: Mapping[AlertPlace, AlertReading] = {}
        self.told: Counter[tuple[str, str]] = Counter()
        self.looked_ms: int | None = None
        self.measures: Mapping[str, Measure] = self._all_measures()

    def _all_measures(self) -> Mapping[str, Measure]:
        services, limits = self._services, LimitMeasures(self._services)
        return {
            "limit_share": lambda rule, rows, now_ms: limits.limit_share(rule, _subjects(rows), now_ms),
            "forecast": lambda rule, rows, now_ms: limits.forecast(rule, _subjects(rows), now_ms),
            "spend_rate": lambda rule, _, now_ms: limits.spend_rate(rule, now_ms),
            "error_rate": lambda rule, *_: request_measures.error_rate(self._heard(), rule),
            "latency_p95": lambda rule, *_: request_measures.latency_p95(self._heard(), rule),
            "fallback_rate": lambda rule, *_: request_measures.fallback_rate(self._heard(), rule),
            "provider_down": lambda *_: provider_measures.provider_down(services),
            "breaker_open": lambda *_: provider_measures.breaker_open(services),
            "key_bad": lambda *_: provider_measures.key_bad(services),
            "drift": lambda *_: account_measures.drift(services),
            "credits_low": lambda *_: account_measures.credits_low(services),
            "provider_budget": lambda *_: account_measures.provider_budget(services),
            "price_moved": lambda _, rows, __: provider_measures.price_moved(services, rows.samples),
            "model_gone": lambda *_: provider_measures.model_gone(services),
            "disk_free": lambda *_: asyncio.to_thread(machine_measures.disk_free, self._database),
            "ledger_growth": self._growth,
            "repeats": lambda rule, *_: self._repeated(rule),
        }

    async def run(self) -> None:
        """Run until cancelled."""
        while True:
            try:
                await self.check()
            except LedgerUnavailableError as error:  # nothing was kept of it, so the next look tells it
                self._tell_problem("", f"what was measured cannot be written: {error}")
            except LedgerError as error:
                self._tell_problem("", str(error))
            await asyncio.sleep(EVERY_S)

    async def check(self) -> None:
        """Look once, and write what follows."""
        async with self._turn:
            await self._check()

    async def _check(self) -> None:
        snapshot = self._services.live.current
        alerts = snapshot.settings.alerts
        rules = {name: rule for name, rule in alerts.rules.items() if rule.enabled}
        self._hear({rule.watch for rule in rules.values()})
        if not rules:
            self.measured = {}
            await self._end_stops({}, (), ())
            return
        rows = await asyncio.to_thread(self._services.reports.alerts)
        now_ms = self._services.clock.now_ms()
        look = AlertLook(alerts, rows, now_ms, snapshot.zone)
        measured: dict[AlertPlace, AlertReading] = {}
        for name, rule in rules.items():
            readings = await self._readings(name, rule, rows, now_ms)
            if readings is None:
                continue
            measured.update({(name, reading.subject): reading for reading in readings})
            silence = rows.silences.get(name)
            if silence is None or silence.until_ms <= now_ms:
                look.hold(name, rule, readings, self._pending)
        look.forget_others(rules)
        await self._end_stops(rules, look.held, look.acting)
        self.measured, self.looked_ms = measured, now_ms
        samples = self._samples({rule.watch for rule in rules.values()}, rows, look, now_ms)
        await self._write(look, samples, now_ms, alerts.deliveries_kept_d)
        self._problems.pop("", None)

    async def _write(self, look: AlertLook, samples: list[SampleNote], now_ms: int, kept_d: int) -> None:
        notes = AlertNotes(look.states, look.alerts, samples=samples)
        is_due = self._forgotten_ms is None or not 0 <= now_ms - self._forgotten_ms < _FORGET_EVERY_MS
        if is_due:
            notes = notes._replace(kept_since_ms=now_ms - kept_d * DAY_MS)
        for stop in look.stops:
            await self._stop(stop)
        if is_due or look.states or look.alerts or samples:
            await self._services.ledger.note_alerts(notes, now_ms)
        if is_due:
            self._forgotten_ms = now_ms
        self._pending = look.pending
        for note in look.alerts:
            self.told[note.message.rule, note.message.told] += 1
        if look.alerts:
            self._wake()

    async def _stop(self, wanted: NewStop) -> None:
        """Stop before it is told: a crash between the two stops once, and tells it after the next start."""
        stops = self._services.stops
        of_any = wanted.effect == STOP  # while one rule stops them, another has nothing to add
        place = (wanted.kind, wanted.subject, wanted.effect)
        held = [
            (stop.kind, stop.subject, stop.outcome)
            for stop in stops.in_force()
            if stop.actor == _ACTOR.name and (of_any or stop.rule == wanted.rule)
        ]
        if place not in held:
            await stops.add(wanted, _ACTOR)

    async def _end_stops(
        self, rules: Mapping[str, AlertRule], held: Collection[str], acting: Collection[Acting]
    ) -> None:
        """End what slows or downgrades for rules that do not ask for it any more, or are below their last threshold.

        held: the rules that were measured and are not silenced; of others that is not known. What stops, and what
        follows an event, is for a person to resume.
        """
        stops = self._services.stops
        for stop in stops.easing() if stops.active else ():
            if stop.rule is None:
                continue
            rule = rules.get(stop.rule)
            is_asked = rule is not None and rule.effect == stop.outcome
            is_known = rule is not None and not rule.kind.is_event and stop.rule in held
            if not is_asked or (is_known and (stop.rule, stop.kind, stop.subject) not in acting):
                await stops.end(stop, _ACTOR)

    async def _readings(self, name: str, rule: AlertRule, rows: AlertRows, now_ms: int) -> Readings | None:
        """Return what a rule's measure comes to, of its scope; None where it cannot be measured now."""
        try:
            measured = self.measures[rule.watch](rule, rows, now_ms)
            found = await measured if inspect.isawaitable(measured) else measured
        except (OSError, LedgerError, AccountError) as error:
            self._tell_problem(name, str(error))
            return None
        self._problems.pop(name, None)
        wanted = (one for one in found if any(fits(one.scope, scope) for scope in rule.scope))
        by_subject: dict[str, AlertReading] = {}
        for one in wanted:  # of two limits in one place, as two presets of a use case may have, the one that says more
            known = by_subject.get(one.subject)
            if known is None or one.value > known.value:
                by_subject[one.subject] = one
        return [*by_subject.values()][:_SUBJECTS_MAX]

    def _hear(self, watched: Collection[str]) -> None:
        """Let requests be counted while a rule asks for it, and only then."""
        clock = self._services.clock
        wants_requests = not _OF_REQUESTS.isdisjoint(watched)
        if wants_requests != (self._recent is not None):
            counters = self._services.counters
            self._recent = RecentRequests(clock.now_ms, counters.ended) if wants_requests else None
            self._listen(self._recent)
        if ("repeats" in watched) != (self._services.repeated is not None):
            self._services.repeated = RepeatedBodies(clock.now_ms) if "repeats" in watched else None

    def _heard(self) -> RecentRequests:
        return self._recent or RecentRequests(self._services.clock.now_ms, lambda: None)

    def _repeated(self, rule: AlertRule) -> Readings:
        bodies = self._services.repeated
        return [] if bodies is None else request_measures.repeats(bodies, rule)

    async def _growth(self, rule: AlertRule, rows: AlertRows, now_ms: int) -> Readings:
        del rule  # it has nothing that this depends on
        self._size_bytes = await asyncio.to_thread(machine_measures.ledger_size, self._database)
        return machine_measures.ledger_growth(rows.samples, self._size_bytes, now_ms)

    def _samples(self, watched: Collection[str], rows: AlertRows, look: AlertLook, now_ms: int) -> list[SampleNote]:
        """Return the figures that later looks are compared with."""
        found = []
        is_due = machine_measures.is_sample_due(rows.samples, now_ms)
        if "ledger_growth" in watched and self._size_bytes is not None and is_due:
            found.append(SampleNote(machine_measures.GROWTH, "ledger", now_ms, str(self._size_bytes)))
        if "price_moved" in watched:
            moved = {note.message.subject for note in look.alerts if note.message.kind == "price_moved"}
            for subject, prices in provider_measures.listed_prices(self._services).items():
                if subject in moved or (provider_measures.PRICES, subject) not in rows.samples:
                    text = orjson.dumps(prices).decode()
                    found.append(SampleNote(provider_measures.PRICES, subject, 0, text))
        return found

    def _tell_problem(self, rule: str, problem: str) -> None:
        """Log why a rule (or "": all of them) cannot be held, once for as long as that is so."""
        if self._problems.get(rule) != problem:
            log.warning("alert.not_measured", extra={"rule": rule or "all", "problem": problem})
            self._problems[rule] = problem


def _subjects(rows: AlertRows) -> frozenset[str]:
    """Return what any rule stands anywhere with."""
    return frozenset(subject for _, subject in rows.states)
