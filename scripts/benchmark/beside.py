"""What requests feel of a long look at the ledger: their latency alone, and beside reports, an export and the bill.

    PYTHONPATH=. python scripts/benchmark/beside.py FOLDER [REQUESTS] [ROUNDS] [USERS] [MODELS] [JOB …]

Makes a ledger of REQUESTS (10,000,000) over 90 days in FOLDER, unless it is there, and starts a proxy on it, a provider
and an account whose bill has all of its rows. Then, for the JOBs that are named or for all, ROUNDS (5) times and in an
order by chance, RATE requests a second for some seconds alone and beside each job, which begins again as soon as it has
ended. Nothing is pinned to a core. Prints one JSON object by job: how often it ended, p50 and p99 in ms beside it (the
median of the rounds), and the ratio of its p99 to that of the rounds alone, each to the one right before it. Run it on
a machine that does nothing else.
"""

import json
import random
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from account_upstream import API_KEY
from machine import environment
from made_ledger import make_ledger
from systems import Service, Tollkeeper, Upstream

_ROOT = Path(__file__).resolve().parents[2]
_HERE = Path(__file__).parent
_RATE, _SECONDS, _CONNECTIONS = 150, 8, 200
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


@dataclass
class Job:
    """A command that is run beside the load, again and again."""

    words: tuple[str, ...]
    ended: int = 0
    p50: list[float] = field(default_factory=list)
    p99: list[float] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)


def jobs() -> dict[str, Job]:
    today = datetime.now(UTC).date()
    days = ("--from", str(today - timedelta(days=29)), "--to", str(today - timedelta(days=1)))
    return {
        "usage": Job(("usage", "--by", "user,month")),
        "usage of rows": Job(("usage", "--by", "token")),
        "report": Job(("report", f"{today - timedelta(days=30):%Y-%m}")),
        "export": Job(("export", "-o", "/dev/null")),
        "models stats": Job(("models", "stats")),
        "reconcile": Job(("sync", *days)),
    }


class Runs:
    """Runs a command beside a load until the load is over."""

    def __init__(self, config: Path) -> None:
        self._config = config

    def start(self, job: Job) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "proxy", *job.words, "-c", str(self._config)]
        return subprocess.Popen(
            command,
            env={**environment(), "PYTHONPATH": str(_ROOT)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )

    def beside(self, load: subprocess.Popen[bytes], job: Job) -> None:
        running = self.start(job)
        while load.poll() is None:
            if running.poll() is not None:
                self._note(running, job)
                running = self.start(job)
            time.sleep(0.05)
        running.kill()
        running.communicate()

    @staticmethod
    def _note(running: subprocess.Popen[bytes], job: Job) -> None:
        told = running.communicate()[1].decode(errors="replace")
        if running.returncode != 0:
            raise SystemExit(f"tollkeeper {' '.join(job.words)} ended with {running.returncode}: {told[-800:]}")
        job.ended += 1


def measure(proxy: Tollkeeper, runs: Runs, job: Job | None) -> tuple[float, float]:
    """Return p50 and p99 of a load in ms; beside a job, if there is one."""
    numbers = [str(number) for number in (_RATE, _SECONDS, _CONNECTIONS)]
    command = [sys.executable, str(_HERE / "load.py"), "latency", str(proxy.port), proxy.token, *numbers, _MODEL]
    load = subprocess.Popen(command, env={**environment(), "PYTHONPATH": str(_ROOT)}, stdout=subprocess.PIPE)
    if job is not None:
        runs.beside(load, job)
    found = json.loads(load.communicate()[0])
    if found["failed"]:
        raise SystemExit(f"{found['failed']} requests failed: {found['first_failure']}")
    delays_us = found["delays_us"][_MODEL]
    return delays_us[len(delays_us) // 2] / 1000, delays_us[len(delays_us) * 99 // 100] / 1000


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
    alone, chance = Job(()), random.Random()
    try:
        for service in services:
            service.start()
        runs = Runs(proxy.config)
        time.sleep(15)  # what a start does later: the first sync, days that are summed
        measure(proxy, runs, None)  # not counted
        for _ in range(rounds):
            for name in chance.sample([*known], len(known)):
                before = measure(proxy, runs, None)
                beside = measure(proxy, runs, known[name])
                for job, (p50, p99) in ((alone, before), (known[name], beside)):
                    job.p50.append(p50)
                    job.p99.append(p99)
                known[name].ratios.append(beside[1] / before[1])
    finally:
        for service in reversed(services):
            service.stop()
    print(json.dumps({"alone": told(alone)} | {name: told(job) for name, job in known.items()}, indent=1))


def told(job: Job) -> dict[str, object]:
    found: dict[str, object] = {"p50_ms": round(statistics.median(job.p50), 2)}
    found["p99_ms"] = round(statistics.median(job.p99), 2)
    if job.ratios:
        found |= {"ended": job.ended, "p99_ratio": round(statistics.median(job.ratios), 2)}
        found["p99_ratios"] = [round(ratio, 2) for ratio in sorted(job.ratios)]
    return found


if __name__ == "__main__":
    numbers = [int(word) for word in sys.argv[2:] if word.isdecimal()]
    main(sys.argv[1], numbers, [word for word in sys.argv[2:] if not word.isdecimal()])
