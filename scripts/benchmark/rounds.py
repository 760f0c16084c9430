"""The measurements, in interleaved rounds: a machine that changes its speed changes it for everybody."""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from closed_loop import Answered, keep_busy
from figures import Count, Figures, LedgerCount, OpenLoop, Streams, add, percentile
from machine import BenchError, run_on_core, running_on_core
from made_ledger import make_ledger
from plan import Plan, RatePlan, StreamPlan
from systems import JSON_ROUTE, STREAM_ROUTE, AiohttpRelay, Nginx, Service, Tollkeeper, Upstream
from upstream import JSON_MODEL, STREAM_MODEL, paced_model

_HERE = Path(__file__).parent
_REST_S = 0.2
_SETTLE_S = 60  # rows of clients that hung up wait for the provider's figure
_BEGIN_S = 15  # until all streams of a crowd have begun


@dataclass(frozen=True)
class Lane:
    """One way from the load to the upstream: a service, the user who asks it, and what for."""

    name: str
    service: Service
    token: str
    json_model: str = JSON_MODEL
    stream_model: str = STREAM_MODEL


class Bench:
    """All measurements of one run; say is told what is being done, in one line each."""

    def __init__(self, folder: Path, plan: Plan, cores: tuple[int, int], say: Callable[[str], None]) -> None:
        self._proxy_core, self._load_core = cores
        self._folder = folder
        self._plan = plan
        self._say = say
        self.figures = Figures()
        self._upstream = Upstream(folder, self._load_core, events=plan.paced.events, interval_ms=plan.paced.interval_ms)
        self._nginx = Nginx(folder, self._proxy_core, self._upstream.port)
        self._tollkeeper = ours = Tollkeeper(folder, self._proxy_core, self._upstream.port)
        self._grown = Tollkeeper(folder / "grown", self._proxy_core, self._upstream.port)
        self._aiohttp = AiohttpRelay(folder, self._proxy_core, self._upstream.port)
        self._services: tuple[Service, ...] = (self._grown, self._nginx, self._aiohttp, ours, self._upstream)
        nginx, aiohttp, tollkeeper, direct = (
            Lane(s.name, s, ours.token) for s in (self._nginx, self._aiohttp, ours, self._upstream)
        )
        self._route = Lane("route", ours, ours.token, JSON_ROUTE, STREAM_ROUTE)
        limited = Lane("limited", ours, ours.limited_token)
        single = Lane("single", ours, ours.single_token)
        self._direct = direct
        self._latency_lanes: tuple[Lane, ...] = (nginx, tollkeeper, direct)
        self._stream_lanes: tuple[Lane, ...] = (nginx, tollkeeper)
        self._paced_lanes: tuple[Lane, ...] = self._stream_lanes
        self._json_lanes: tuple[Lane, ...] = self._stream_lanes
        if plan.wide:
            self._latency_lanes = (nginx, aiohttp, tollkeeper, direct)
            self._stream_lanes = (nginx, aiohttp, tollkeeper)
            self._paced_lanes = (nginx, aiohttp, tollkeeper, self._route, direct)
            self._json_lanes = (nginx, aiohttp, limited, tollkeeper, single, self._route, direct)

    @property
    def steps(self) -> int:
        plan, streams = self._plan, len(self._stream_lanes)
        loads = len(self._json_lanes) * plan.json_rounds
        loads += len(self._paced_lanes) * (1 + plan.paced.rounds) + streams * plan.fast.rounds
        loads += streams * plan.crowd.rounds + (streams + 1) * plan.alone.rounds
        loads += sum(rate.rounds * (1 if rate.together else len(self._latency_lanes)) for rate in plan.rates)
        return 3 + plan.starts + loads + plan.mixed.rounds + plan.ledger_rounds

    def run(self) -> Figures:
        plan = self._plan
        try:
            self._upstream.start()
            self._measure_starts()
            self._warm_up()
            for rate in plan.rates:
                self._open_loop(rate)
            for n in range(plan.mixed.rounds):
                self._mixed_latency(n)
            for n in range(plan.ledger_rounds):
                self._ledger_alone(n + 1)
            for n in range(plan.json_rounds):
                self._each(self._json_lanes, "JSON requests", n, self._json)
            self._all_streams()
            for proxy in (self._nginx, self._tollkeeper):
                add(self.figures.loaded_rss_mb, proxy.name, proxy.rss_mb())
        finally:
            for service in self._services:
                service.stop()
        return self.figures

    def _all_streams(self) -> None:
        plan, figures = self._plan, self.figures
        with_direct = (*self._stream_lanes, self._direct)
        kinds = (
            (plan.paced, self._paced_lanes, figures.paced, "paced streams"),
            (plan.fast, self._stream_lanes, figures.fast, "fast streams"),
            (plan.alone, with_direct, figures.alone, "stream alone"),
        )
        for kind, lanes, into, what in kinds:
            for n in range(kind.rounds):
                self._each(lanes, f"{kind.streams} {what}", n, partial(self._streams, kind, into))
        for n in range(plan.crowd.rounds):
            self._each(self._stream_lanes, f"{plan.crowd.streams} streams", n, self._crowd)

    def _measure_starts(self) -> None:
        """Start all proxies a few times; the last start stays. Memory is read after the first answer.

        Each time ours starts on a long ledger too, which ends before the others begin.
        """
        self._say(f"making a ledger of {self._plan.grown_rows:,} requests")
        make_ledger(self._grown.ledger, self._plan.grown_rows)
        self._say("first start, which compiles and reads files from disk (not counted)")
        self._tollkeeper.start()
        self._tollkeeper.stop()
        for n in range(self._plan.starts):
            self._say(f"start {n + 1}")
            self._tollkeeper.stop()
            self._start(self._grown, "grown")
            self._grown.stop()
            for proxy in (self._nginx, self._tollkeeper, self._aiohttp):
                proxy.stop()
                self._start(proxy, proxy.name)
        self._tollkeeper.ask()
        time.sleep(1)
        for proxy in (self._nginx, self._tollkeeper):
            add(self.figures.idle_rss_mb, proxy.name, proxy.rss_mb())
        self._say("what the proxy does by itself")
        cpu_before_s = self._tollkeeper.cpu_s()
        time.sleep(self._plan.idle_s)
        used_ms = (self._tollkeeper.cpu_s() - cpu_before_s) * 1000
        add(self.figures.idle_ms_per_s, self._tollkeeper.name, used_ms / self._plan.idle_s)

    def _start(self, service: Service, name: str) -> None:
        add(self.figures.start_s, name, service.start())
        add(self.figures.start_cpu_s, name, service.cpu_s())

    def _warm_up(self) -> None:
        for lane in self._paced_lanes:
            self._say(f"warming up {lane.name}")
            self._counted(lane, "warm-up", partial(self._failures_of_wrk, lane, 1))

    def _each(self, lanes: tuple[Lane, ...], what: str, n: int, measure: Callable[[Lane, str], None]) -> None:
        """Measure all lanes once, every other round from the last to the first: no lane always follows another."""
        load = f"{what}, round {n + 1}"
        for lane in reversed(lanes) if n % 2 else lanes:
            self._say(f"{load}: {lane.name}")
            measure(lane, load)

    def _counted(self, lane: Lane, load: str, run: Callable[[], int]) -> int:
        """Run a load that gives its failures; hold the ledger against the upstream; give its answers."""
        upstream_before = self._upstream.answers()
        books_before = self._tollkeeper.ledgered()
        failed = run()
        if lane.service is not self._tollkeeper:
            if failed:
                raise BenchError(f"{load}: {failed} requests to {lane.name} failed; nothing can be compared with it")
            return self._answers_at_rest() - upstream_before
        books = self._settled_books()
        answered = self._upstream.answers() - upstream_before
        self.figures.counts.append(
            Count(
                load=f"{load}: {lane.name}",
                answered_by_upstream=answered,
                rows=books.rows - books_before.rows,
                new_generations=books.generations - books_before.generations,
                unsettled=books.unsettled,
                failed=failed,
            )
        )
        return answered

    def _answers_at_rest(self) -> int:
        """Count once nothing more arrives: nginx passes on what it had accepted when wrk hung up, for a while."""
        answers, before = self._upstream.answers(), -1
        while answers != before:
            time.sleep(_REST_S)
            answers, before = self._upstream.answers(), answers
        return answers

    def _settled_books(self) -> Any:
        deadline = time.monotonic() + _SETTLE_S
        books = self._tollkeeper.ledgered()
        while time.monotonic() < deadline:
            time.sleep(0.3)
            books, before = self._tollkeeper.ledgered(), books
            if not books.unsettled and books == before:
                break
        return books

    def _json(self, lane: Lane, load: str) -> None:
        rate = 0.0

        def run() -> int:
            nonlocal rate
            found = self._wrk(lane, self._plan.json_s)
            rate = found.requests / found.seconds
            time.sleep(0.2)  # what is written after the answer belongs to the request
            return found.failed

        cpu_before_s = lane.service.cpu_s()
        answered = self._counted(lane, load, run)
        used_us = (lane.service.cpu_s() - cpu_before_s) * 1e6
        if lane.service is not self._upstream:
            add(self.figures.json_us, lane.name, used_us / answered)
        add(self.figures.json_per_s, lane.name, rate)

    def _wrk(self, lane: Lane, seconds: int) -> Answered:
        asked, connections = (lane.token, lane.json_model), self._plan.json_connections
        return keep_busy(self._load_core, lane.service.port, asked, connections=connections, seconds=seconds)

    def _failures_of_wrk(self, lane: Lane, seconds: int) -> int:
        return self._wrk(lane, seconds).failed

    def _streams(self, plan: StreamPlan, into: Streams, lane: Lane, load: str) -> None:
        outcome: dict[str, Any] = {}
        model = self._stream_model(plan, lane)

        def run() -> int:
            outcome.update(self._load("streams", *self._stream_words(plan, lane)))
            return int(outcome["failed"])

        cpu_before_s = lane.service.cpu_s()
        self._counted(lane, load, run)
        used_us = (lane.service.cpu_s() - cpu_before_s) * 1e6
        if lane.service is not self._upstream:
            add(into.chunk_us, lane.name, used_us / outcome["events"])
        add(into.delay_us, lane.name, percentile(outcome["delays_us"][model], 50))

    def _stream_model(self, plan: StreamPlan, lane: Lane) -> str:
        if plan is self._plan.paced:  # which goes through a route too, whose model has the upstream's own pace
            return lane.stream_model
        return paced_model(plan.events, plan.together, plan.interval_ms)

    def _stream_words(self, plan: StreamPlan, lane: Lane) -> list[str]:
        numbers = (plan.streams, plan.events // plan.together, plan.interval_ms)
        return [str(lane.service.port), lane.token, *map(str, numbers), self._stream_model(plan, lane)]

    def _crowd(self, lane: Lane, load: str) -> None:
        """Measure while all streams of a crowd run: CPU by what the upstream sent meanwhile, and the most memory."""
        plan, figures = self._plan.crowd, self.figures
        outcome: dict[str, Any] = {}

        def run() -> int:
            before = self._upstream.counted()["answers"]
            command = [sys.executable, str(_HERE / "load.py"), "streams", *self._stream_words(plan, lane)]
            with running_on_core(self._load_core, command) as running:
                deadline = time.monotonic() + _BEGIN_S
                while self._upstream.counted()["answers"] - before < plan.streams:
                    if running.poll() is not None or time.monotonic() > deadline:
                        raise BenchError(f"{load}: {lane.name} did not begin {plan.streams} streams")
                    time.sleep(_REST_S)
                events, cpu_s = self._upstream.counted()["events"], lane.service.cpu_s()
                time.sleep(self._plan.crowd_s)
                used_us = (lane.service.cpu_s() - cpu_s) * 1e6
                add(figures.crowd.chunk_us, lane.name, used_us / (self._upstream.counted()["events"] - events))
                add(figures.crowd_rss_mb, lane.name, lane.service.rss_mb())
                outcome.update(json.loads(running.communicate()[0]))
            return int(outcome["failed"])

        self._counted(lane, load, run)
        (delays_us,) = outcome["delays_us"].values()
        add(figures.crowd.delay_us, lane.name, percentile(delays_us, 50))

    def _open_loop(self, plan: RatePlan) -> None:
        into = self.figures.open_loop.setdefault(plan.rate, OpenLoop())
        what = f"latency at {plan.rate}/s"
        for n in range(plan.rounds):
            if plan.together:
                self._say(f"{what}, round {n + 1}: all together")
                self._latency_together(plan, into, f"{what}, round {n + 1}")
            else:
                self._each(self._latency_lanes, what, n, partial(self._latency, plan, into))

    def _latency(self, plan: RatePlan, into: OpenLoop, lane: Lane, load: str) -> None:
        cpu_before_s = lane.service.cpu_s()
        delays_us = self._delays_us(lane, load, plan, (lane.json_model,))[lane.json_model]
        used_us = (lane.service.cpu_s() - cpu_before_s) * 1e6
        self._note(into, lane, delays_us, used_us / len(delays_us))

    def _note(self, into: OpenLoop, lane: Lane, delays_us: list[float], used_us: float) -> None:
        add(into.p50_us, lane.name, percentile(delays_us, 50))
        add(into.p99_us, lane.name, percentile(delays_us, 99))
        if lane.service is not self._upstream:
            add(into.cpu_us, lane.name, used_us)

    def _latency_together(self, plan: RatePlan, into: OpenLoop, load: str) -> None:
        """Ask all lanes in one load, each at the rate; the books have only those that went through ours."""
        lanes = self._latency_lanes
        books_before, upstream_before = self._tollkeeper.ledgered(), self._upstream.answers()
        cpu_before_s = {lane.name: lane.service.cpu_s() for lane in lanes}
        ports = [f"{lane.name}={lane.service.port}" for lane in lanes]
        numbers = map(str, (plan.rate, plan.seconds, plan.connections))
        outcome = self._load("lanes", self._tollkeeper.token, *numbers, JSON_MODEL, *ports)
        time.sleep(_REST_S)
        for lane in lanes:
            delays_us = outcome["delays_us"][lane.name]
            used_us = (lane.service.cpu_s() - cpu_before_s[lane.name]) * 1e6
            self._note(into, lane, delays_us, used_us / len(delays_us))
        books = self._settled_books()
        others = sum(len(outcome["delays_us"][lane.name]) for lane in lanes if lane.service is not self._tollkeeper)
        answered, rows = self._upstream.answers() - upstream_before - others, books.rows - books_before.rows
        generations = books.generations - books_before.generations
        self.figures.counts.append(Count(load, answered, rows, generations, books.unsettled, int(outcome["failed"])))

    def _mixed_latency(self, n: int) -> None:
        """Ask for the model and for the route in one load: whatever slows one down slows the other down."""
        lane, plan = self._route, self._plan.mixed
        load = f"latency of model and route at {plan.rate}/s, round {n + 1}"
        self._say(load)
        delays_us = self._delays_us(lane, load, plan, (JSON_MODEL, lane.json_model))
        add(self.figures.mixed_p50_us, "tollkeeper", percentile(delays_us[JSON_MODEL], 50))
        add(self.figures.mixed_p50_us, lane.name, percentile(delays_us[lane.json_model], 50))

    def _delays_us(self, lane: Lane, load: str, plan: RatePlan, models: tuple[str, ...]) -> dict[str, list[float]]:
        """Ask for all models at a rate that they share; return the delays by model, sorted."""
        outcome: dict[str, Any] = {}

        def run() -> int:
            numbers = map(str, (plan.rate, plan.seconds, plan.connections))
            outcome.update(self._load("latency", str(lane.service.port), lane.token, *numbers, *models))
            return int(outcome["failed"])

        self._counted(lane, load, run)
        delays_us: dict[str, list[float]] = outcome["delays_us"]
        return delays_us

    def _ledger_alone(self, number: int) -> None:
        """Reserve and settle without HTTP, where the proxy runs otherwise, on the same disk, for the limited user."""
        plan, ours = self._plan, self._tollkeeper
        load = f"ledger alone at {plan.ledger_rate}/s and flat out, round {number}"
        self._say(load)
        folder = self._folder / f"alone-{number}"
        folder.mkdir()
        script = [sys.executable, str(_HERE / "ledger_load.py"), str(ours.config), ours.limited_token, str(folder)]
        numbers = (plan.ledger_rate, plan.ledger_rate_s, plan.ledger_flat_s)
        found = json.loads(run_on_core(self._proxy_core, [*script, *map(str, numbers)]))
        figures = self.figures
        for series, of, percent in (
            (figures.reserve_p50_us, "reserve_us", 50),
            (figures.reserve_p99_us, "reserve_us", 99),
            (figures.settle_p50_us, "settle_us", 50),
            (figures.settle_p99_us, "settle_us", 99),
        ):
            add(series, "tollkeeper", percentile(found[of], percent))
            add(series, "disk", percentile(found["sync_us"], percent))
        add(figures.reserved_per_s, "tollkeeper", found["reserved_per_s"])
        names = ("reserved", "rows", "unsettled", "faults")
        figures.ledger_counts.append(LedgerCount(load, **{name: found[name] for name in names}))

    def _load(self, kind: str, *arguments: str) -> dict[str, Any]:
        script = [sys.executable, str(_HERE / "load.py"), kind, *arguments]
        outcome: dict[str, Any] = json.loads(run_on_core(self._load_core, script))
        if not outcome["answered"]:
            raise BenchError(f"{kind}: nothing was answered: {outcome['first_failure']}")
        if outcome["failed"]:
            self._say(f"{outcome['failed']} failed, the first: {outcome['first_failure']}")
        return outcome
