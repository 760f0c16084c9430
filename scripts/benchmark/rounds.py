"""The measurements, in interleaved rounds: a machine that changes its speed changes it for everybody."""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from machine import BenchError, run_on_core
from made_ledger import make_ledger
from systems import JSON_ROUTE, STREAM_ROUTE, AiohttpRelay, Nginx, Service, Tollkeeper, Upstream
from upstream import JSON_MODEL, STREAM_MODEL

_HERE = Path(__file__).parent
_CONNECTIONS = 64
_REST_S = 0.2
_SETTLE_S = 60  # rows of clients that hung up wait for the provider's figure


@dataclass(frozen=True)
class Plan:
    """How long and how often; short is for CI, full for figures to quote."""

    json_rounds: int
    json_s: int
    stream_rounds: int
    streams: int
    events: int
    interval_ms: int
    latency_rounds: int
    latency_s: int
    latency_rate: int
    mixed_rate: int  # of model and route together
    starts: int
    grown_rows: int  # requests in the ledger of the second start
    ledger_rounds: int
    ledger_rate: int
    ledger_rate_s: int
    ledger_flat_s: int


SHORT = Plan(
    json_rounds=2, json_s=2, stream_rounds=1, streams=100, events=100, interval_ms=20,
    latency_rounds=1, latency_s=2, latency_rate=100, mixed_rate=500, starts=3,
    grown_rows=100_000, ledger_rounds=1, ledger_rate=500, ledger_rate_s=2, ledger_flat_s=1,
)  # fmt: skip
FULL = Plan(
    json_rounds=6, json_s=4, stream_rounds=3, streams=100, events=200, interval_ms=20,
    latency_rounds=3, latency_s=10, latency_rate=100, mixed_rate=500, starts=7,
    grown_rows=1_000_000, ledger_rounds=5, ledger_rate=500, ledger_rate_s=5, ledger_flat_s=2,
)  # fmt: skip


@dataclass
class Count:
    """One load held against the books: answers of the upstream and rows of the ledger that it left."""

    load: str
    answered_by_upstream: int
    rows: int
    new_generations: int
    unsettled: int
    failed: int

    @property
    def agrees(self) -> bool:
        return self.answered_by_upstream == self.rows and not self.unsettled and not self.failed


@dataclass
class LedgerCount:
    """What the ledger on its own was asked to hold against its rows; faults names totals that differ from the rows."""

    load: str
    reserved: int
    rows: int
    unsettled: int
    faults: list[str]

    @property
    def agrees(self) -> bool:
        return self.reserved == self.rows and not self.unsettled and not self.faults


@dataclass
class Figures:
    """Measured values by system ("direct", "nginx", "aiohttp", "tollkeeper"), one a round in the order of the rounds.

    "limited" is tollkeeper asked by a user with limits, "route" tollkeeper asked for a preset of two targets, "grown"
    tollkeeper on a ledger of plan.grown_rows, "disk" a bare write with fdatasync beside the ledger.
    """

    json_us: dict[str, list[float]] = field(default_factory=dict)  # CPU of the proxy a request
    json_per_s: dict[str, list[float]] = field(default_factory=dict)
    chunk_us: dict[str, list[float]] = field(default_factory=dict)  # CPU of the proxy a streamed event
    chunk_delay_us: dict[str, list[float]] = field(default_factory=dict)  # p50
    latency_p50_us: dict[str, list[float]] = field(default_factory=dict)
    latency_p99_us: dict[str, list[float]] = field(default_factory=dict)
    mixed_p50_us: dict[str, list[float]] = field(default_factory=dict)  # model and route in one load
    idle_rss_mb: dict[str, list[float]] = field(default_factory=dict)
    loaded_rss_mb: dict[str, list[float]] = field(default_factory=dict)
    start_s: dict[str, list[float]] = field(default_factory=dict)
    reserve_p50_us: dict[str, list[float]] = field(default_factory=dict)
    reserve_p99_us: dict[str, list[float]] = field(default_factory=dict)
    settle_p50_us: dict[str, list[float]] = field(default_factory=dict)
    settle_p99_us: dict[str, list[float]] = field(default_factory=dict)
    reserved_per_s: dict[str, list[float]] = field(default_factory=dict)
    counts: list[Count] = field(default_factory=list)
    ledger_counts: list[LedgerCount] = field(default_factory=list)

    @property
    def agree(self) -> bool:
        return all(one.agrees for one in self.counts) and all(one.agrees for one in self.ledger_counts)

    def as_json(self) -> dict[str, Any]:
        return {
            **asdict(self),
            "counts": [{**asdict(one), "agrees": one.agrees} for one in self.counts],
            "ledger_counts": [{**asdict(one), "agrees": one.agrees} for one in self.ledger_counts],
        }


def add(series: dict[str, list[float]], name: str, value: float) -> None:
    series.setdefault(name, []).append(value)


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
        self._upstream = Upstream(folder, self._load_core, events=plan.events, interval_ms=plan.interval_ms)
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
        self._latency_lanes = (nginx, tollkeeper, direct)
        self._stream_lanes = (nginx, aiohttp, tollkeeper, self._route, direct)
        self._json_lanes = (nginx, aiohttp, limited, tollkeeper, self._route, direct)

    @property
    def steps(self) -> int:
        plan = self._plan
        loads = len(self._json_lanes) * plan.json_rounds
        loads += len(self._stream_lanes) * (1 + plan.stream_rounds)
        loads += (len(self._latency_lanes) + 1) * plan.latency_rounds
        return 2 + plan.starts + loads + plan.ledger_rounds

    def run(self) -> Figures:
        try:
            self._upstream.start()
            self._measure_starts()
            self._warm_up()
            for n in range(self._plan.latency_rounds):
                self._each(self._latency_lanes, f"latency at {self._plan.latency_rate}/s", n, self._latency)
                self._mixed_latency(n)
            for n in range(self._plan.ledger_rounds):
                self._ledger_alone(n + 1)
            for n in range(self._plan.json_rounds):
                self._each(self._json_lanes, "JSON requests", n, self._json)
            for n in range(self._plan.stream_rounds):
                self._each(self._stream_lanes, f"{self._plan.streams} streams", n, self._streams)
            for proxy in (self._nginx, self._tollkeeper):
                add(self.figures.loaded_rss_mb, proxy.name, proxy.rss_mb())
        finally:
            for service in self._services:
                service.stop()
        return self.figures

    def _measure_starts(self) -> None:
        """Start both proxies a few times; the last start stays. Memory is read after the first answer.

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
            add(self.figures.start_s, "grown", self._grown.start())
            self._grown.stop()
            for proxy in (self._nginx, self._tollkeeper):
                proxy.stop()
                add(self.figures.start_s, proxy.name, proxy.start())
        self._tollkeeper.ask()
        self._aiohttp.start()
        time.sleep(1)
        for proxy in (self._nginx, self._tollkeeper):
            add(self.figures.idle_rss_mb, proxy.name, proxy.rss_mb())

    def _warm_up(self) -> None:
        for lane in self._stream_lanes:
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
            answered, seconds, failed = self._wrk(lane, self._plan.json_s)
            rate = answered / seconds
            time.sleep(0.2)  # what is written after the answer belongs to the request
            return failed

        cpu_before_s = lane.service.cpu_s()
        answered = self._counted(lane, load, run)
        used_us = (lane.service.cpu_s() - cpu_before_s) * 1e6
        if lane.service is not self._upstream:
            add(self.figures.json_us, lane.name, used_us / answered)
        add(self.figures.json_per_s, lane.name, rate)

    def _wrk(self, lane: Lane, seconds: int) -> tuple[int, float, int]:
        """Keep 64 connections busy; give answered requests, seconds, failures."""
        command = ["wrk", "-t1", f"-c{_CONNECTIONS}", f"-d{seconds}s", "-s", str(_HERE / "chat.lua")]
        output = run_on_core(
            self._load_core, [*command, f"http://127.0.0.1:{lane.service.port}", "--", lane.token, lane.json_model]
        )
        line = next((one for one in output.splitlines() if one.startswith("BENCH ")), None)
        if line is None:
            raise BenchError(f"wrk did not end as it should:\n{output[-2000:]}")
        answered, not_2xx, broken, took_s = line.split()[1:]
        return int(answered), float(took_s), int(not_2xx) + int(broken)

    def _failures_of_wrk(self, lane: Lane, seconds: int) -> int:
        return self._wrk(lane, seconds)[2]

    def _streams(self, lane: Lane, load: str) -> None:
        plan = self._plan
        outcome: dict[str, Any] = {}

        def run() -> int:
            numbers = (str(plan.streams), str(plan.events), str(plan.interval_ms))
            outcome.update(self._load("streams", lane, *numbers, lane.stream_model))
            return int(outcome["failed"])

        cpu_before_s = lane.service.cpu_s()
        self._counted(lane, load, run)
        used_us = (lane.service.cpu_s() - cpu_before_s) * 1e6
        if lane.service is not self._upstream:
            add(self.figures.chunk_us, lane.name, used_us / outcome["events"])
        add(self.figures.chunk_delay_us, lane.name, percentile(outcome["delays_us"][lane.stream_model], 50))

    def _latency(self, lane: Lane, load: str) -> None:
        delays_us = self._delays_us(lane, load, self._plan.latency_rate, (lane.json_model,))[lane.json_model]
        add(self.figures.latency_p50_us, lane.name, percentile(delays_us, 50))
        add(self.figures.latency_p99_us, lane.name, percentile(delays_us, 99))

    def _mixed_latency(self, n: int) -> None:
        """Ask for the model and for the route in one load: whatever slows one down slows the other down."""
        lane, load = self._route, f"latency of model and route at {self._plan.mixed_rate}/s, round {n + 1}"
        self._say(load)
        delays_us = self._delays_us(lane, load, self._plan.mixed_rate, (JSON_MODEL, lane.json_model))
        add(self.figures.mixed_p50_us, "tollkeeper", percentile(delays_us[JSON_MODEL], 50))
        add(self.figures.mixed_p50_us, lane.name, percentile(delays_us[lane.json_model], 50))

    def _delays_us(self, lane: Lane, load: str, rate: int, models: tuple[str, ...]) -> dict[str, list[float]]:
        """Ask for all models at a rate that they share; give the delays by model, sorted."""
        outcome: dict[str, Any] = {}

        def run() -> int:
            numbers = (str(rate), str(self._plan.latency_s), str(_CONNECTIONS))
            outcome.update(self._load("latency", lane, *numbers, *models))
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

    def _load(self, kind: str, lane: Lane, *arguments: str) -> dict[str, Any]:
        script = [sys.executable, str(_HERE / "load.py"), kind, str(lane.service.port), lane.token]
        outcome: dict[str, Any] = json.loads(run_on_core(self._load_core, [*script, *arguments]))
        if not outcome["answered"]:
            raise BenchError(f"{kind}: {lane.name} answered nothing: {outcome['first_failure']}")
        if outcome["failed"]:
            self._say(f"{outcome['failed']} failed, the first: {outcome['first_failure']}")
        return outcome


def percentile(ordered: list[float], percent: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]
