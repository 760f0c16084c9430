"""The simulator and the proxy as real processes on loopback, started and ended by their own handles."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, Request, build_opener

import orjson
import yaml

from proxy.core.money import pusd_to_usd
from proxy.core.user_token import new_token, token_hash
from proxy.simulator.prices import SCRIPTED_MODEL, DemoModels

from .draw import DEAR, LIMITED, OPENROUTER_PROVIDERS, PLAIN_PROVIDER, USERS, Plan
from .limits import GROUPS, ZONE, configured

ROOT = Path(__file__).resolve().parents[2]
PROVIDER_KEYS = {name: f"sk-or-v1-canarykey{name:0>6}{'0' * 40}" for name in OPENROUTER_PROVIDERS}
MANAGEMENT_KEY = f"sk-or-v1-management-canarykey{'0' * 30}"
PLAIN_KEY = "sk-canarykey000000000000000000000000"
# Named behaviours whose charge is not tokens x list price, or whose prompt is longer than what was sent.
_CHARGED_OTHERWISE = ("sim/cost-*", "sim/byok*", "sim/cache*", "sim/long-context")
_START_S = 30.0
_STOP_S = 60.0


class ProcessError(Exception):
    """A process did not start, or ended as it should not have."""


def _variable(provider: str) -> str:
    return f"STORM_KEY_{provider.upper()}"


_SECRETS = {
    "STORM_PLAIN_KEY": PLAIN_KEY,
    "STORM_MANAGEMENT_KEY": MANAGEMENT_KEY,
    **{_variable(name): key for name, key in PROVIDER_KEYS.items()},
}


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
    return port


OPERATOR_TOKEN = "operator-of-the-storm-" + "0123456789" * 4


def http_json(
    url: str, fields: Mapping[str, Any] | None = None, headers: dict[str, str] | None = None, method: str | None = None
) -> Any:
    """Ask one of our processes; POST where fields are given and nothing else is said. Raises OSError without a 2xx."""
    data = None if fields is None else orjson.dumps(fields)
    headers = {"Content-Type": "application/json", **(headers or {})}
    request = Request(url, data=data, headers=headers, method=method)  # noqa: S310  loopback
    with build_opener(ProxyHandler({})).open(request, timeout=30) as answer:
        return orjson.loads(answer.read())


def _environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OPENROUTER", "TOLLKEEPER"))}
    return {**kept, "PYTHONPATH": str(ROOT), **more}


def _end(process: subprocess.Popen[str], limit_s: float) -> int:
    process.send_signal(signal.SIGTERM)
    try:
        return process.wait(limit_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise ProcessError(f"process {process.args!r} did not end within {limit_s:g} s of SIGTERM") from None


class SimulatorProcess:
    """The provider; it outlives every proxy, and its books are the witness."""

    def __init__(self, seed: int, folder: Path) -> None:
        self._log = (folder / "simulator.log").open("w")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "proxy.simulator", "--port", "0", "--seed", str(seed)],
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            cwd=folder,
            env=_environment(),
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line.startswith("simulator ready "):
            self.close()
            raise ProcessError(f"the simulator did not start; see {self._log.name}")
        self.url = line.split()[-1]

    def set_behaviour(self, model: str, fields: dict[str, Any]) -> None:
        http_json(f"{self.url}/_sim/behaviour", {"for": f"model:{model}", **fields})

    def tell_generations(self) -> None:
        """Let it tell from now on what each generation cost, also those that it kept to itself."""
        http_json(f"{self.url}/_sim/generations/tell", {})

    def advance(self, seconds: int) -> None:
        """Move its clock forward."""
        http_json(f"{self.url}/_sim/clock", {"advance_s": seconds})

    def plant(self, generations: list[dict[str, Any]]) -> None:
        """Write generations into its books that no request of the storm made."""
        http_json(f"{self.url}/_sim/past", {"generations": generations})

    def change_charge(self, generation_id: str, charged_pusd: int) -> None:
        """Charge another amount for a generation than it told."""
        http_json(f"{self.url}/_sim/charge", {"id": generation_id, "charged_pusd": charged_pusd})

    def books(self) -> dict[str, Any]:
        books: dict[str, Any] = http_json(f"{self.url}/_sim/books")
        return books

    def close(self) -> None:
        if self._process.poll() is None:
            _end(self._process, 10)
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._log.close()


class ProxyProcess:
    """The proxy, one run after the other on the same ledger and port."""

    def __init__(self, folder: Path, port: int) -> None:
        self._folder = folder
        self.port = port
        self.log_path = folder / "proxy.log"
        self._log = self.log_path.open("ab")
        self._process: subprocess.Popen[str] | None = None
        self.run = 0
        self.ahead_s = 0  # by how much the clocks of the runs from now on are ahead of this machine's

    @property
    def ledger_path(self) -> Path:
        return self._folder / "ledger.db"

    def spawn(self) -> None:
        """Start it; wait_ready() waits until it takes requests."""
        self.run += 1
        program = ["-m", "tests.storm.later", str(self.ahead_s)] if self.ahead_s else ["-m", "proxy"]
        self._process = subprocess.Popen(
            [sys.executable, *program, "serve", "-c", str(self._folder / "config.yaml")],
            stdout=self._log,
            stderr=self._log,
            text=True,
            cwd=self._folder,
            env=_environment(**_SECRETS),
        )

    def command(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run a command as the operator does beside the proxy."""
        return subprocess.run(
            [sys.executable, "-m", "proxy", *arguments, "-c", str(self._folder / "config.yaml")],
            capture_output=True,
            text=True,
            cwd=self._folder,
            env=_environment(**_SECRETS),
            check=False,
        )

    def ready(self) -> bool:
        """Tell whether it takes requests; raises ProcessError if it has ended."""
        self.check_alive()
        try:
            http_json(f"http://127.0.0.1:{self.port}/readyz")
        except OSError:
            return False
        return True

    def check_alive(self) -> None:
        if self._process is None or self._process.poll() is not None:
            code = None if self._process is None else self._process.returncode
            raise ProcessError(f"the proxy ended by itself (exit {code}); see {self.log_path}")

    def wait_ready(self) -> None:
        """Block until it takes requests; raises ProcessError."""
        deadline_s = time.monotonic() + _START_S
        while not self.ready():
            if time.monotonic() > deadline_s:
                raise ProcessError(f"the proxy was not ready within {_START_S:g} s; see {self.log_path}")
            time.sleep(0.02)

    def kill(self) -> None:
        """SIGKILL, which nothing in it can catch."""
        self.check_alive()
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> int:
        """SIGTERM; give the exit code."""
        assert self._process is not None
        return _end(self._process, _STOP_S)

    def close(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._log.close()


def write_config(folder: Path, plan: Plan, simulator_url: str, port: int, lookup_timeout_s: int) -> dict[str, str]:
    """Write config.yaml into folder; give each user's token."""
    tokens = {user: new_token() for user in (*USERS, *LIMITED)}
    common = {"header_timeout_s": 2, "idle_timeout_s": 2, "total_timeout_s": 20, "connect_timeout_s": 2}
    providers: dict[str, Any] = {
        name: {
            "kind": "openrouter",
            "base_url": f"{simulator_url}/api/v1",
            "api_key": f"${{{_variable(name)}}}",
            "management_key": "${STORM_MANAGEMENT_KEY}",
            "on_disconnect": name,
            "prices": _prices(plan),
            **common,
        }
        for name in OPENROUTER_PROVIDERS
    }
    providers[PLAIN_PROVIDER] = {
        "kind": "openai",
        "base_url": f"{simulator_url}/openai/v1",
        "api_key": "${STORM_PLAIN_KEY}",
        "prices": {"*": _own_price(SCRIPTED_MODEL)},
        **common,
    }
    config = {
        "server": {"host": "127.0.0.1", "port": port, "shutdown_timeout_s": 30},
        "database": str(folder / "ledger.db"),
        "admin_token": OPERATOR_TOKEN,
        "ledger": {"lookup_timeout_s": lookup_timeout_s},
        "reconcile": {"apply": "adjust", "hourly": False},  # it is compared when the storm is over
        "log": {"level": "debug", "format": "json"},
        "providers": providers,
        "presets": {name: {"targets": list(targets), "use_case": name} for name, targets in plan.chains.items()},
        "timezone": ZONE,
        "quotas": {"wait_s": 0.2},
        "limits": configured(plan.limits, "all"),
        "groups": {group: {"limits": configured(plan.limits, f"group:{group}")} for group in GROUPS.values()},
        "users": {user: _user(plan, user, token) for user, token in tokens.items()},
    }
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    path.chmod(0o600)
    return tokens


def _user(plan: Plan, name: str, token: str) -> dict[str, Any]:
    group = {"group": GROUPS[name]} if name in GROUPS else {}
    return {"token_hash": f"sha256:{token_hash(token)}", **group, "limits": configured(plan.limits, f"user:{name}")}


def _prices(plan: Plan) -> dict[str, Any]:
    """Price what the simulator's list lacks, as an operator would; the first pattern that fits counts.

    What is charged by something else than tokens stands above the most that is ever charged for it: the promise that
    a reservation covers the cost rests on a price list that the provider keeps.
    """
    dear = {"input": 100, "output": 100, "request": 1.1}
    prices: dict[str, Any] = dict.fromkeys((f"*:{DEAR}*", *_CHARGED_OTHERWISE), dear)
    for name in plan.scripted:
        base, colon, _ = name.partition(":")
        if colon:
            prices[f"{base}:v*"] = _own_price(base)
    prices["sim/*"] = _own_price(SCRIPTED_MODEL)
    return prices


def _own_price(name: str) -> dict[str, str]:
    """Give the simulator's price of a model in the configuration's unit, USD a million tokens."""
    model = DemoModels().find(name)
    assert model is not None
    price = model.price
    if price.above is not None:  # the configuration knows no tiers: the dearer one bounds both
        price = price.above
    fields = {
        "input": price.prompt,
        "output": price.completion,
        "cached_input": price.cache_read,
        "cache_write": price.cache_write,
    }
    # atto-USD a token is the same number as pico-USD a million tokens
    return {field: pusd_to_usd(amount) for field, amount in fields.items() if amount is not None}
