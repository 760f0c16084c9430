"""The dashboard on a large ledger: how quickly each page comes, how large it is, and what viewers cost requests.

    python dashboard_load.py [LEDGER] [SECONDS] [RATE]

LEDGER: a file that usage_times.py has made, of which a copy is used; without one a ledger of 10 million requests is
made. A proxy with 2,000 users and 400 models runs on one core. Prints JSON: pages, each with first_byte_ms (the best
of some, and the worst of them), cpu_ms (of the proxy) and bytes; then p50_us, p99_us and cpu_ms (of the proxy in a
second) at RATE (500) requests a second for SECONDS (10), in pairs alone and beside 50 viewers, whose pages all show
what has changed (viewers.py); and p50_ratio and p99_ratio, the medians over the pairs.
"""

import http.client
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from urllib.parse import quote, urlencode

import uvloop
from load import run_latency
from machine import two_cores
from made_ledger import make_ledger
from systems import Tollkeeper, Upstream
from upstream import JSON_MODEL

from proxy.storage.audit import Actor
from proxy.storage.master_keys import keys_beside
from proxy.storage.sqlite.owner import own_ledger

_REQUESTS = 10_000_000
_USERS, _MODELS = 2_000, 400
_TIMES = 5
_VIEWERS = 50
_CONNECTIONS = 64
_PAIRS = 5
_TYPING_S = 2
_ADMIN = "operator-" + "0123456789" * 4
_PAGES = (
    *("", "/people", "/people/user-7", "/requests", "/requests?user=user-7", "/models", "/routes", "/account", "/keys"),
    *("/alerts", "/audit", "/configuration", "/sessions", "/stop", "/projection", "/playground", "/attention"),
)
_LIVE = re.compile(rb'data-live="([^"]+)"')


class Proxy(Tollkeeper):
    """A proxy on a ledger that is there, with many users and an operator's token."""

    start_max_s = 120

    def __init__(self, folder: Path, core: int, upstream_port: int) -> None:
        super().__init__(folder, core, upstream_port)
        self.config.write_text(f"admin_token: {_ADMIN}\n{self.config.read_text()}")
        self.config.chmod(0o600)

    def add_users(self) -> None:
        """Write the users into the ledger, as tollkeeper users add would."""
        actor, now_ms = Actor("bench", "command line"), time.time_ns() // 1_000_000
        limits = {"cost": ["$50/day", "$500/month"]}
        with own_ledger(self.ledger, 5.0, keys_beside(self.ledger)) as ledger:
            for n in range(_USERS):
                fields = {"name": f"user-{n}", "group": "office", "settings": {"limits": limits}}
                ledger.operate("users.add", now_ms=now_ms, actor=actor, fields=fields)

    def log_in(self) -> str:
        """Return the cookie of an operator, who opens the login page first, and types the token for a while."""
        read_page(self.port, "/dashboard/login", "")
        time.sleep(_TYPING_S)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        origin = f"http://127.0.0.1:{self.port}"
        form = {"Content-Type": "application/x-www-form-urlencoded", "Origin": origin}
        connection.request("POST", "/dashboard/login", urlencode({"token": _ADMIN}), form)
        answer = connection.getresponse()
        answer.read()
        cookie = (answer.getheader("Set-Cookie") or "").partition(";")[0]
        connection.close()
        if not cookie:
            raise SystemExit(f"the login was answered with {answer.status}")
        return cookie


def read_page(port: int, path: str, cookie: str) -> tuple[int, float, bytes]:
    """Return the status of a page, the milliseconds to its first byte, and its body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    connection.connect()
    began_s = time.perf_counter()
    connection.request("GET", path, headers={"Cookie": cookie})
    answer = connection.getresponse()
    first_ms = (time.perf_counter() - began_s) * 1000
    body = answer.read()
    connection.close()
    return answer.status, first_ms, body


def measure_pages(proxy: Proxy, cookie: str) -> dict[str, object]:
    pages: dict[str, object] = {}
    for path in _PAGES:
        times, status, body, begun_cpu_s = [], 0, b"", proxy.cpu_s()
        for _ in range(_TIMES):
            status, first_ms, body = read_page(proxy.port, quote(f"/dashboard{path}", safe="/?=&"), cookie)
            times.append(first_ms)
        pages[path or "/"] = {
            "status": status,
            "first_byte_ms": [round(min(times), 1), round(max(times), 1)],
            "cpu_ms": round((proxy.cpu_s() - begun_cpu_s) / _TIMES * 1000),
            "bytes": len(body),
        }
    return pages


class Viewers:
    """Browsers that follow a live page, in a process of their own: see viewers.py."""

    def __init__(self, port: int, path: str, cookie: str) -> None:
        script = str(Path(__file__).with_name("viewers.py"))
        self._process = subprocess.Popen(
            [sys.executable, script, str(port), str(_VIEWERS), path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(f"{cookie}\n")
        stdin.flush()
        if stdout.readline() != "ready\n":
            raise SystemExit(f"the viewers ended with {self._process.wait()}")

    def end(self) -> Mapping[str, int]:
        """End them; return what they have read."""
        told, _ = self._process.communicate()
        if self._process.returncode:
            raise SystemExit(f"the viewers ended with {self._process.returncode}")
        found: Mapping[str, int] = json.loads(told)
        return found


@dataclass
class Turn:
    """What was measured of the requests of one turn."""

    p50_us: float
    p99_us: float
    cpu_ms: float  # of the proxy, in a second
    failed: int  # as all connections were busy: a machine at its end


def measure_turn(proxy: Proxy, seconds: float, rate: float) -> Turn:
    begun_cpu_s = proxy.cpu_s()
    outcome = uvloop.run(run_latency(proxy.port, proxy.token, rate, seconds, _CONNECTIONS, [JSON_MODEL]))
    used_s = proxy.cpu_s() - begun_cpu_s
    shares = statistics.quantiles(outcome.delays_us[JSON_MODEL], n=100)
    return Turn(shares[49], shares[98], used_s * 1000 / seconds, outcome.failed)


def measure_viewers(proxy: Proxy, cookie: str, seconds: float, rate: float) -> dict[str, object]:
    """Return percentiles of requests alone and beside viewers, in pairs: a machine is not the same all the time."""
    _, _, page = read_page(proxy.port, "/dashboard/requests", cookie)
    found = _LIVE.search(page)
    if found is None:
        raise SystemExit("the page of requests has no live part")
    live = found[1].decode().replace("&amp;", "&")
    read = Counter[str]()

    def beside() -> Turn:
        viewers = Viewers(proxy.port, live, cookie)
        time.sleep(1)
        turn = measure_turn(proxy, seconds, rate)
        read.update(viewers.end())
        return turn

    alone: list[Turn] = []
    watched: list[Turn] = []
    for n in range(_PAIRS):
        turns: list[Callable[[], None]] = [
            lambda: alone.append(measure_turn(proxy, seconds, rate)),
            lambda: watched.append(beside()),
        ]
        for turn in turns if n % 2 == 0 else reversed(turns):  # what follows is no better off than what goes before
            turn()
    figures: dict[str, object] = {"viewers": _VIEWERS, "rate": rate, "read": dict(read)}
    pairs = list(zip(alone, watched, strict=True))
    for name in (field.name for field in fields(Turn)):
        kinds = zip(("alone", "beside"), (alone, watched), strict=True)
        figures[name] = {kind: [round(getattr(turn, name)) for turn in turns] for kind, turns in kinds}
    for name in ("p50_us", "p99_us"):
        ratios = [getattr(beside_one, name) / getattr(alone_one, name) for alone_one, beside_one in pairs]
        figures[f"{name.removesuffix('_us')}_ratio"] = round(statistics.median(ratios), 3)
    return figures


@contextmanager
def running(folder: Path, ledger: Path | None) -> Iterator[Proxy]:
    proxy_core, other_core = two_cores()
    os.environ["BENCH_MODELS"] = str(_MODELS)
    upstream = Upstream(folder, other_core, events=10, interval_ms=10)
    proxy = Proxy(folder / "proxy", proxy_core, upstream.port)
    if ledger is None:
        make_ledger(proxy.ledger, _REQUESTS)
    else:
        shutil.copyfile(ledger, proxy.ledger)
    proxy.add_users()
    with ExitStack() as started:
        for service in (upstream, proxy):
            service.start()
            started.callback(service.stop)
        os.sched_setaffinity(0, {other_core})
        proxy.ask()
        yield proxy


def main(ledger: str | None = None, seconds: str = "10", rate: str = "500") -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        running(Path(folder), None if ledger is None else Path(ledger)) as proxy,
    ):
        cookie = proxy.log_in()
        found = {"pages": measure_pages(proxy, cookie)}
        sys.stdout.write(json.dumps(found, indent=1) + "\n")
        sys.stdout.flush()
        beside = measure_viewers(proxy, cookie, float(seconds), float(rate))
        sys.stdout.write(json.dumps(beside) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
