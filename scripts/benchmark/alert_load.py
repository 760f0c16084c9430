"""What alerts cost beside requests: 10,000 events a second, 10,000 users with a limit each, rules off and on.

    python alert_load.py [SECONDS]

Runs a whole proxy in this process, its provider out of reach, and hands its subscribers the ends of requests at the
rate of a very busy machine, each with a body of 1 KB for the rule on repeats. Prints one JSON object for each round:
event_us (CPU of one event, median), look_ms (CPU of one look at all rules, median), held_ms (how late the event loop
answered a timer, 99th percentile and most: what a request feels), cpu_percent (of one core, all of it).
"""

import asyncio
import json
import logging
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import uvloop
import yaml

from proxy.app import App
from proxy.app.collector import tune_collector
from proxy.config.load import load_file
from proxy.pipeline.values.allowance import Allowance
from proxy.pipeline.values.finished import RequestFinished
from proxy.pipeline.values.identity import Identity
from proxy.storage.rows import OpenRow, RequestEnd

_USERS = 10_000
_EVENTS_PER_S = 10_000
_TICK_S = 0.005
_SECONDS = 20.0
_RULES = {
    "budgets": {"watch": "limit_share"},
    "forecast": {"watch": "forecast"},
    "failing": {"watch": "error_rate"},
    "slow": {"watch": "latency_p95"},
    "retried": {"watch": "fallback_rate"},
    "burning": {"watch": "spend_rate"},
    "loop": {"watch": "repeats"},
    "down": {"watch": "breaker_open"},
    "disk": {"watch": "disk_free"},
}


@dataclass
class Round:
    rules: int
    event_us: list[float] = field(default_factory=list)
    look_ms: list[float] = field(default_factory=list)
    held_ms: list[float] = field(default_factory=list)
    cpu_percent: float = 0.0

    def figures(self) -> dict[str, object]:
        held = sorted(self.held_ms)
        return {
            "rules": self.rules,
            "event_us": round(statistics.median(self.event_us), 3),
            "look_ms": round(statistics.median(self.look_ms), 1) if self.look_ms else None,
            "held_ms": {"p99": round(held[len(held) * 99 // 100], 2), "most": round(held[-1], 2)},
            "cpu_percent": round(self.cpu_percent, 1),
        }


def config(folder: Path, rules: Mapping[str, object]) -> Path:
    """Write a configuration whose provider nobody reaches, so that nothing else happens."""
    users = {
        f"user{n}": {"token_hash": f"sha256:{n:064x}", "limits": {"cost": ["$5/day", "$50/month"]}}
        for n in range(_USERS)
    }
    content = {
        "server": {"port": 0},
        "log": {"level": "error"},
        "providers": {"openrouter": {"base_url": "http://127.0.0.1:9/v1", "api_key": "sk-or-v1-bench"}},
        "users": users,
        "alerts": {"rules": rules},
    }
    path = folder / "config.yaml"
    path.write_text(yaml.dump(content, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper)))
    path.chmod(0o600)
    return path


def event(number: int, now_ms: int) -> RequestFinished:
    """Return the end of a request; what alerts do not look at is None."""
    user = f"user{number % _USERS}"
    row = OpenRow._make(dict.fromkeys(OpenRow._fields).values())._replace(id=number, started_ms=now_ms, user=user)
    end = RequestEnd._make(dict.fromkeys(RequestEnd._fields).values())._replace(
        id=number,
        finished_ms=now_ms,
        provider="openrouter",
        status=200,
        cost_pusd=168_000_000,
        attempts=1,
        ttft_ms=310,
        duration_ms=200 + number % 3000,
        user=user,
    )
    return RequestFinished(row, end)


async def hand_over(app: App, outcome: Round, until_s: float) -> None:
    """Hand the subscribers their events, some at each tick of the loop, as many as the rate asks for."""
    services, number = app.services, 0
    allowance = Allowance((), (), None, None, False, False, False)
    identities = [Identity(f"user{n}", None, "tok_1", allowance) for n in range(_USERS)]
    loop = asyncio.get_running_loop()
    body = b'{"model": "m", "messages": [{"role": "user", "content": "' + b"x" * 1000 + b'"}]}'
    begun_s = loop.time()
    while loop.time() < until_s:
        wanted = int((loop.time() - begun_s) * _EVENTS_PER_S) - number
        now_ms = services.clock.now_ms()
        made = [event(number + n, now_ms) for n in range(wanted)]
        begin_ns = time.perf_counter_ns()
        for one in made:
            if services.repeated is not None:
                identity = identities[one.row.id % _USERS]
                services.repeated.note(identity, body + b"%d" % one.row.id, now_ms)
            services.events.finished(one)
        if wanted:
            outcome.event_us.append((time.perf_counter_ns() - begin_ns) / 1000 / wanted)
        number += wanted
        await asyncio.sleep(_TICK_S)


async def feel(outcome: Round, until_s: float) -> None:
    """Measure how late a timer is answered."""
    loop = asyncio.get_running_loop()
    while loop.time() < until_s:
        due_s = loop.time() + 0.001
        await asyncio.sleep(0.001)
        outcome.held_ms.append((loop.time() - due_s) * 1000)


async def look(app: App, outcome: Round, until_s: float) -> None:
    """Look at all rules every five seconds, as the job does; its own is among the rest."""
    loop = asyncio.get_running_loop()
    while loop.time() < until_s:
        begin_s = time.thread_time()
        await app.alerts.check()
        outcome.look_ms.append((time.thread_time() - begin_s) * 1000)
        await asyncio.sleep(5)


async def measure(folder: Path, rules: Mapping[str, object], seconds: float) -> Round:
    path = config(folder, rules)
    loaded = load_file(path, {})
    app, outcome = App(lambda: loaded), Round(len(rules))
    await app.start(loaded)
    tune_collector()  # as serve does
    try:
        until_s = asyncio.get_running_loop().time() + seconds
        begin_s = time.process_time()
        tasks = [hand_over(app, outcome, until_s), feel(outcome, until_s)]
        if rules:
            await app.alerts.check()  # the first look makes the list of limits
            tasks.append(look(app, outcome, until_s))
        await asyncio.gather(*tasks)
        outcome.cpu_percent = (time.process_time() - begin_s) / seconds * 100
    finally:
        await app.close()
    return outcome


def main() -> int:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else _SECONDS
    logging.disable(logging.CRITICAL)
    for rules in ({}, _RULES):
        with tempfile.TemporaryDirectory() as folder:
            outcome = uvloop.run(measure(Path(folder), rules, seconds))
        sys.stdout.write(json.dumps(outcome.figures()) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
