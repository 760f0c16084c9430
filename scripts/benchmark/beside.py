"""What requests feel of a long look at the ledger: their latency alone, and beside reports, an export and the bill.

    PYTHONPATH=. python scripts/benchmark/beside.py FOLDER [REQUESTS] [ROUNDS] [USERS] [MODELS] [JOB …]

Makes a ledger of REQUESTS (10,000,000) over 90 days in FOLDER, unless it is there, and starts a proxy on it, a provider
and an account whose bill has all of its rows. Then, for the JOBs that are named or for all, ROUNDS (5) times and in an
order by chance, RATE requests a second for some seconds alone and beside each job, which begins again as soon as it has
ended, or as long after that as _PAUSE_S says: people do not ask for usage without a pause. Nothing is pinned to a core;
the account has its bill ready, for a provider computes elsewhere. Run it on a machine that does nothing else.

Prints one JSON object by job: how often it ended; p50 and p99 in ms of all requests of its rounds as the client has
them, from the write of a request; the same of the rounds alone, each the one right before; p99_ratio, of the two p99;
p99_ratios, round by round, where each p99 is the twelfth slowest of 1,200 requests, by chance often twice the next
one's. And medians of the rounds: own_p99_ms, of which the proxy knows (duration_ms of the ledger); sent_late_p99_ms, by
which the load itself was late, and which is in none of the others; loop_waited_us, what the proxy's event loop has
waited for a processor for each request.
"""

import json
import random
import sqlite3
import statistics
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from account_upstream import API_KEY
from machine import environment
from made_ledger import make_ledger
from systems import Service, Tollkeeper, Upstream

from proxy.storage.rows import id_floor

_ROOT = Path(__file__).resolve().parents[2]
_HERE = Path(__file__).parent
_RATE, _SECONDS, _CONNECTIONS = 150, 8, 200
_PAUSE_S = 3.0
_NUMBERS = (10_000_000, 5, 50, 5)  # requests, rounds, users, models
_MODEL = "live/bench/json"
_CONFIG = """
server: {{host: 127.0.0.1, port: {port}}}
database: "{ledger}"
reconcile: {{apply: report}}
providers:
  openrouter:
    api_key: {key}
    management_key: {key}-management
    base_url: "http://127.0.0.1:{account}/api/v1"
  live: {{kind: openrouter, api_key: {key}-live, base_url: "http://127.0.0.1:{upstream}/api/v1"}}
users:
  bench: {{token_hash: "sha256:{hash}"}}
"""


class AccountUpstream(Service):
    name = "account"
    first_path = "/api/v1/credits"
    start_max_s = 600  # it works out its bill

    def __init__(self, folder: Path, ledger: Path) -> None:
        super().__init__(folder, _ANY)
        self._ledger = ledger

    def command(self) -> list[str]:
        return [sys.executable, str(_HERE / "account_upstream.py"), str(self.port), str(self._ledger)]


_ANY = "0-1"


class LongLedger(Tollkeeper):
    """The proxy on a long ledger: its start reads the whole file."""

    start_max_s = 600

    def __init__(self, folder: Path, upstream: Upstream, account: AccountUpstream) -> None:
        super().__init__(folder, _ANY, upstream.port)
        hash_ = self.config.read_text().partition('bench: {token_hash: "sha256:')[2].partition('"')[0]
        self.config.write_text(
            _CONFIG.format(
                port=self.port,
                ledger=self.ledger,
                key=API_KEY,
                account=account.port,
                upstream=upstream.port,
                hash=hash_,
            )
        )

    def loop_waited_s(self) -> float:
        """Return how long the event loop has waited for a processor; 0 where the system does not tell."""
        assert self._process is not None
        file = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/schedstat")  # taskset becomes the proxy
        return int(file.read_text().split()[1]) / 1e9 if file.exists() else 0.0

    def durations_ms(self, since_ms: int) -> list[float]:
        """Return how long requests since then took by the proxy's own clock, sorted."""
        query = "SELECT duration_ms FROM requests WHERE id >= ? AND duration_ms IS NOT NULL ORDER BY 1"
        with closing(sqlite3.connect(f"{self.ledger.as_uri()}?mode=ro", uri=True)) as reader:
            return [duration_ms for (duration_ms,) in reader.execute(query, (id_floor(since_ms),))]


class Round(NamedTuple):
    """What one load felt: see above. delays_ms: sorted."""

    delays_ms: list[float]
    own_p99_ms: float
    sent_late_p99_ms: float
    loop_waited_us: float


@dataclass
class Job:
    """A command that is run beside the load, again and again; pause_s: after it has ended."""

    words: tuple[str, ...]
    pause_s: float = 0.0
    ended: int = 0
    rounds: list[Round] = field(default_factory=list)
    alone: list[Round] = field(default_factory=list)  # the one before each


def jobs() -> dict[str, Job]:
    today = datetime.now(UTC).date()
    days = ("--from", str(today - timedelta(days=29)), "--to", str(today - timedelta(days=1)))
    report = ("report", f"{today - timedelta(days=30):%Y-%m}")
    return {
        "usage": Job(("usage", "--by", "user,month")),
        "usage now and then": Job(("usage", "--by", "user,month"), _PAUSE_S),
        "usage of rows": Job(("usage", "--by", "token")),
        "report": Job(report),
        "report now and then": Job(report, _PAUSE_S),
        "export": Job(("export", "-o", "/dev/null")),
        "models stats": Job(("models", "stats")),
        "models stats now and then": Job(("models", "stats"), _PAUSE_S),
        "reconcile": Job(("sync", *days)),
    }


class Runs:
    """Runs a command beside a load until the load is over."""

    def __init__(self, config: Path) -> None:
        self._config = config

    def start(self, job: Job) -> subprocess.Popen[bytes]:
        command = [str(Path(sys.executable).parent / "tollkeeper"), *job.words, "-c", str(self._config)]
        return subprocess.Popen(
            command,
            env={**environment(), "PYTHONPATH": str(_ROOT)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )

    def beside(self, load: subprocess.Popen[bytes], job: Job) -> None:
        running: subprocess.Popen[bytes] | None = self.start(job)
        due_s = 0.0
        while load.poll() is None:
            if running is not None and running.poll() is not None:
                self._note(running, job)
                running, due_s = None, time.monotonic() + job.pause_s
            if running is None and time.monotonic() >= due_s:
                running = self.start(job)
            time.sleep(0.05)
        if running is not None:
            running.kill()
            running.communicate()

    @staticmethod
    def _note(running: subprocess.Popen[bytes], job: Job) -> None:
        told = running.communicate()[1].decode(errors="replace")
        if running.returncode != 0:
            raise SystemExit(f"tollkeeper {' '.join(job.words)} ended with {running.returncode}: {told[-800:]}")
        job.ended += 1


def measure(proxy: LongLedger, runs: Runs, job: Job | None) -> Round:
    """Return what a load felt; beside a job, if there is one."""
    numbers = [str(number) for number in (_RATE, _SECONDS, _CONNECTIONS)]
    command = [sys.executable, str(_HERE / "load.py"), "latency", str(proxy.port), proxy.token, *numbers, _MODEL]
    begun_ms, waited_s = int(time.time() * 1000), proxy.loop_waited_s()
    load = subprocess.Popen(command, env={**environment(), "PYTHONPATH": str(_ROOT)}, stdout=subprocess.PIPE)
    if job is not None:
        runs.beside(load, job)
    found = json.loads(load.communicate()[0])
    waited_s = proxy.loop_waited_s() - waited_s
    if found["failed"]:
        raise SystemExit(f"{found['failed']} requests failed: {found['first_failure']}")
    delays_ms = [delay_us / 1000 for delay_us in found["delays_us"][_MODEL]]
    return Round(
        delays_ms,
        share(proxy.durations_ms(begun_ms), 99),
        share(found["late_us"], 99) / 1000,
        waited_s / len(delays_ms) * 1e6,
    )


def share(values: list[float], percent: int) -> float:
    """Return the percentile of sorted values."""
    return values[len(values) * percent // 100]


def main(folder: str, numbers: list[int], only: list[str]) -> None:
    requests, rounds, users, models = [*numbers, *_NUMBERS[len(numbers) :]]
    place = Path(folder).resolve()
    place.mkdir(exist_ok=True)
    upstream = Upstream(place, _ANY, events=1, interval_ms=1)
    account = AccountUpstream(place, place / "ledger.db")
    proxy = LongLedger(place, upstream, account)
    if not proxy.ledger.exists():
        make_ledger(proxy.ledger, requests, users, models)
    services: list[Service] = [upstream, account, proxy]
    known = {name: job for name, job in jobs().items() if name in only or not only}
    chance = random.Random()
    try:
        for service in services:
            service.start()
        runs = Runs(proxy.config)
        time.sleep(15)  # what a start does later: the first sync, days that are summed
        measure(proxy, runs, None)  # not counted
        for _ in range(rounds):
            for name in chance.sample([*known], len(known)):
                known[name].alone.append(measure(proxy, runs, None))
                known[name].rounds.append(measure(proxy, runs, known[name]))
    finally:
        for service in reversed(services):
            service.stop()
    print(json.dumps({name: told(job) for name, job in known.items()}, indent=1))


def told(job: Job) -> dict[str, object]:
    beside_ms, alone_ms = all_delays_ms(job.rounds), all_delays_ms(job.alone)
    ratios = [
        share(one.delays_ms, 99) / share(before.delays_ms, 99)
        for one, before in zip(job.rounds, job.alone, strict=True)
    ]
    return {
        "ended": job.ended,
        **{f"p{percent}_ms": round(share(beside_ms, percent), 2) for percent in (50, 99)},
        **{f"alone_p{percent}_ms": round(share(alone_ms, percent), 2) for percent in (50, 99)},
        "p99_ratio": round(share(beside_ms, 99) / share(alone_ms, 99), 2),
        "p99_ratios": [round(ratio, 2) for ratio in sorted(ratios)],
        "own_p99_ms": statistics.median(one.own_p99_ms for one in job.rounds),
        "alone_own_p99_ms": statistics.median(one.own_p99_ms for one in job.alone),
        "sent_late_p99_ms": round(statistics.median(one.sent_late_p99_ms for one in job.rounds), 2),
        "loop_waited_us": round(statistics.median(one.loop_waited_us for one in job.rounds), 2),
        "alone_loop_waited_us": round(statistics.median(one.loop_waited_us for one in job.alone), 2),
    }


def all_delays_ms(rounds: list[Round]) -> list[float]:
    return sorted(delay_ms for one in rounds for delay_ms in one.delays_ms)


if __name__ == "__main__":
    numbers = [int(word) for word in sys.argv[2:] if word.isdecimal()]
    main(sys.argv[1], numbers, [word for word in sys.argv[2:] if not word.isdecimal()])
