"""Tollkeeper beside other gateways: LiteLLM (PyPI) and Portkey's (npm), each in one process as its makers serve it.

They are set up once, in a folder of their own in the cache; all ask the same upstream with the same request. Measured
in interleaved rounds: CPU a request at 16 connections and at 100 requests a second, delays there, memory, start.
"""

import http.client
import json
import os
import shutil
import subprocess
import sys
import time
import venv
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from closed_loop import keep_busy
from figures import Series, add, more, percentile, spread
from machine import BenchError, run_on_core
from systems import Nginx, Service, Tollkeeper, Upstream
from upstream import JSON_MODEL

LITELLM, PORTKEY = "1.108.7", "1.15.2"
_HERE = Path(__file__).parent
_KEY = "sk-or-v1-bench"
_LITELLM_CONFIG = """
model_list:
  - model_name: {model}
    litellm_params: {{model: "openai/{model}", api_base: "http://127.0.0.1:{upstream}/v1", api_key: {key}}}
general_settings: {{master_key: {token}}}
litellm_settings: {{telemetry: false}}
"""
_ROUNDS, _STARTS = 3, 2
_BUSY_S, _RATES, _RATE_S, _CONNECTIONS, _WARM_UP_S = 3, (10, 100), 4, 16, 2
_REST_S = 0.5
_FIRST_S = 60
COLUMNS = ("", "direct", "nginx", "tollkeeper", "litellm", "portkey")


def cache() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(home) / "tollkeeper" / "peers"


class LiteLLM(Service):
    name = "litellm"
    first_path = "/health/liveliness"
    start_max_s = 180

    def __init__(self, folder: Path, core: int | str, upstream_port: int, token: str) -> None:
        super().__init__(folder, core)
        self._config = folder / "litellm.yaml"
        self._config.write_text(_LITELLM_CONFIG.format(model=JSON_MODEL, upstream=upstream_port, key=_KEY, token=token))

    def command(self) -> list[str]:
        quiet = ["env", "LITELLM_LOCAL_MODEL_COST_MAP=True", "LITELLM_LOG=ERROR"]  # no list of prices from the net
        program = [str(litellm_home() / "bin" / "litellm"), "--host", "127.0.0.1", "--port", str(self.port)]
        return [*quiet, *program, "--config", str(self._config), "--num_workers", "1", "--telemetry", "False"]


class Portkey(Service):
    name = "portkey"
    first_path = "/"
    start_max_s = 60

    def command(self) -> list[str]:
        script = portkey_home() / "node_modules" / "@portkey-ai" / "gateway" / "build" / "start-server.js"
        return ["node", str(script), f"--port={self.port}", "--headless"]


def litellm_home() -> Path:
    return cache() / f"litellm-{LITELLM}"


def portkey_home() -> Path:
    return cache() / f"portkey-{PORTKEY}"


def set_up(say: Callable[[str], None]) -> None:
    """Install both, each into a folder that gets its name once it is whole."""
    if not shutil.which("node") or not shutil.which("npm"):
        raise BenchError("Portkey's gateway needs node and npm:  apt-get install nodejs npm")
    cache().mkdir(parents=True, exist_ok=True)
    if not litellm_home().exists():
        say(f"installing litellm[proxy] {LITELLM} into {litellm_home()} (a minute or two)")
        _install_litellm(litellm_home())
    if not portkey_home().exists():
        say(f"installing @portkey-ai/gateway {PORTKEY} into {portkey_home()}")
        _install_portkey(portkey_home())


def _install_litellm(home: Path) -> None:
    """Build the environment in its place, for its programs know where they are; remove it where that fails."""
    try:
        venv.create(home, with_pip=True, symlinks=True)
        _run([str(home / "bin" / "python"), "-m", "pip", "install", "-q", f"litellm[proxy]=={LITELLM}"])
    except BaseException:
        shutil.rmtree(home, ignore_errors=True)
        raise


def _install_portkey(home: Path) -> None:
    making = home.with_name(f"{home.name}.part")
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir()
    quiet = ("--ignore-scripts", "--no-audit", "--no-fund", "--prefix", str(making))
    _run(["npm", "install", *quiet, f"@portkey-ai/gateway@{PORTKEY}"])
    making.rename(home)


def _run(command: list[str]) -> None:
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode != 0:
        raise BenchError(
            f"{' '.join(command[:4])} … failed with {ran.returncode}:\n{(ran.stderr or ran.stdout)[-2000:]}"
        )


@dataclass
class PeerRate:
    """What one rate came to: CPU a request, delays, and the percentage that found every connection busy."""

    cpu_us: Series = field(default_factory=dict)
    p50_us: Series = field(default_factory=dict)
    p99_us: Series = field(default_factory=dict)
    lost_percent: Series = field(default_factory=dict)


@dataclass
class PeerFigures:
    """By system, one value a round."""

    busy_us: Series = field(default_factory=dict)  # CPU a request, all connections busy
    per_s: Series = field(default_factory=dict)
    at_rate: dict[int, PeerRate] = field(default_factory=lambda: {rate: PeerRate() for rate in _RATES})
    start_s: Series = field(default_factory=dict)
    idle_mb: Series = field(default_factory=dict)
    loaded_mb: Series = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Peer:
    """One way to the upstream; all are asked with the same token, which is the key that they know or pass on."""

    service: Service
    headers: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.service.name


class PeerBench:
    """All measurements of one run; say is told what is being done, in one line each."""

    def __init__(self, folder: Path, cores: tuple[int, int], say: Callable[[str], None]) -> None:
        core, self._load_core = cores
        self._say = say
        self._upstream = Upstream(folder, self._load_core, events=1, interval_ms=1)
        port = self._upstream.port
        ours = Tollkeeper(folder, core, port)
        self._token = ours.token
        portkey = ("x-portkey-provider: openai", f"x-portkey-custom-host: http://127.0.0.1:{port}/v1")
        self._peers = (
            Peer(Nginx(folder, core, port)),
            Peer(ours),
            Peer(LiteLLM(folder, core, port, ours.token)),
            Peer(Portkey(folder, core), portkey),
        )
        self.figures = PeerFigures()

    @property
    def steps(self) -> int:
        peers = len(self._peers)
        return _STARTS * peers + peers + _ROUNDS * (peers + len(_RATES) * (peers + 1))

    def run(self) -> PeerFigures:
        try:
            self._upstream.start()
            self._starts()
            for peer in self._peers:
                self._say(f"warming up {peer.name}")
                self._first_answer(peer)
                self._busy(peer, _WARM_UP_S)
            direct = Peer(self._upstream)
            for n in range(_ROUNDS):
                turns = self._peers if n % 2 == 0 else self._peers[::-1]
                for rate in _RATES:
                    for peer in (*turns, direct):
                        self._say(f"{rate}/s, round {n + 1}: {peer.name}")
                        self._at_rate(peer, rate)
                for peer in turns:
                    self._say(f"{_CONNECTIONS} connections, round {n + 1}: {peer.name}")
                    self._measure_busy(peer)
            for peer in self._peers:
                add(self.figures.loaded_mb, peer.name, peer.service.rss_mb())
        finally:
            for peer in self._peers:
                peer.service.stop()
            self._upstream.stop()
        return self.figures

    def _starts(self) -> None:
        """Start each a few times, the first uncounted, for it compiles; each stays where it is started last."""
        for n in range(_STARTS):
            for peer in self._peers:
                self._say(f"start {n + 1}: {peer.name}")
                peer.service.stop()
                taken_s = peer.service.start()
                if n:
                    add(self.figures.start_s, peer.name, taken_s)
        time.sleep(1)
        for peer in self._peers:
            add(self.figures.idle_mb, peer.name, peer.service.rss_mb())

    def _first_answer(self, peer: Peer) -> None:
        """Wait for one answer: what imports at its first request takes seconds for it, and wrk would give up."""
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        headers |= dict(one.split(": ", 1) for one in peer.headers)
        chat = {"model": JSON_MODEL, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 80}
        with closing(http.client.HTTPConnection("127.0.0.1", peer.service.port, timeout=_FIRST_S)) as connection:
            connection.request("POST", "/v1/chat/completions", json.dumps(chat), headers)
            answer = connection.getresponse()
            body = answer.read()
        if answer.status != http.HTTPStatus.OK:
            raise BenchError(f"{peer.name} answered {answer.status}: {body[:500]!r}")

    def _busy(self, peer: Peer, seconds: int) -> tuple[int, float]:
        answered = keep_busy(
            self._load_core, peer.service.port, (self._token, JSON_MODEL),
            connections=_CONNECTIONS, seconds=seconds, headers=peer.headers,
        )  # fmt: skip
        if answered.failed or not answered.requests:
            raise BenchError(f"{peer.name}: {answered.failed} requests failed, {answered.requests} were answered")
        time.sleep(_REST_S)  # what is written after the answer belongs to the request
        return answered.requests, answered.seconds

    def _measure_busy(self, peer: Peer) -> None:
        cpu_before_s = peer.service.cpu_s()
        requests, seconds = self._busy(peer, _BUSY_S)
        add(self.figures.busy_us, peer.name, (peer.service.cpu_s() - cpu_before_s) * 1e6 / requests)
        add(self.figures.per_s, peer.name, requests / seconds)

    def _at_rate(self, peer: Peer, rate: int) -> None:
        into = self.figures.at_rate[rate]
        numbers = map(str, (rate, _RATE_S, _CONNECTIONS))
        headers = [word for header in peer.headers for word in ("--header", header)]
        script = [sys.executable, str(_HERE / "load.py"), "latency", str(peer.service.port), self._token]
        cpu_before_s = peer.service.cpu_s()
        outcome = json.loads(run_on_core(self._load_core, [*script, *numbers, JSON_MODEL, *headers]))
        used_us = (peer.service.cpu_s() - cpu_before_s) * 1e6
        delays_us = outcome["delays_us"][JSON_MODEL]
        busy = outcome["first_failure"].startswith("all ")  # a turn that came while every connection was busy
        if not delays_us or (outcome["failed"] and not busy):
            raise BenchError(f"{peer.name}: {outcome['failed']} failed, the first: {outcome['first_failure']}")
        add(into.lost_percent, peer.name, 100 * outcome["failed"] / (rate * _RATE_S))
        if peer.service is not self._upstream:
            add(into.cpu_us, peer.name, used_us / len(delays_us))
        add(into.p50_us, peer.name, percentile(delays_us, 50))
        add(into.p99_us, peer.name, percentile(delays_us, 99))


def rows(figures: PeerFigures) -> list[tuple[str, ...]]:
    """Return the table, one cell for each of COLUMNS."""

    def row(what: str, series: Series, digits: int) -> tuple[str, ...]:
        return (what, *(spread(series.get(name, []), digits) for name in COLUMNS[1:]))

    def added(what: str, series: Series) -> tuple[str, ...]:
        found = ((name, more(series, name, "direct")) for name in COLUMNS[1:])
        return (what, *("-" if one is None or name == "direct" else f"{one:+.0f}" for name, one in found))

    rates = [
        line
        for rate, one in figures.at_rate.items()
        for line in (
            row(f"CPU a request at {rate}/s, µs", one.cpu_us, 0),
            row(f"latency at {rate}/s, p50 µs", one.p50_us, 0),
            added("added to the floor, p50 µs", one.p50_us),
            row(f"latency at {rate}/s, p99 µs", one.p99_us, 0),
            row(f"not sent at {rate}/s, all connections busy, %", one.lost_percent, 0),
        )
    ]
    return [
        row(f"CPU a request, {_CONNECTIONS} connections, µs", figures.busy_us, 0),
        row("requests a second, one core", figures.per_s, 0),
        *rates,
        row("memory idle, MB", figures.idle_mb, 0),
        row("memory after the load, MB", figures.loaded_mb, 0),
        row("start to first answer, s", figures.start_s, 2),
    ]


def versions(about: dict[str, str]) -> str:
    """Name what was compared, and where."""
    node = _output_of(["node", "--version"])
    return (
        f"LiteLLM {LITELLM} (one worker, a master key, no database), @portkey-ai/gateway {PORTKEY} on node {node}; "
        f"{about['cpu']}; Python {about['python']}; nginx {about['nginx']}; commit {about['commit']}."
    )


def _output_of(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def sentence(figures: PeerFigures) -> str:
    """Say how many times more the others take, as medians of the run."""
    ours = {
        name: median(series["tollkeeper"]) for name, series in (("busy", figures.busy_us), ("idle", figures.idle_mb))
    }
    others = (
        f"{name}: {median(figures.busy_us[name]) / ours['busy']:.1f} times the CPU, "
        f"{median(figures.idle_mb[name]) / ours['idle']:.1f} times the memory"
        for name in ("litellm", "portkey")
    )
    return "; ".join(others) + "."
