"""The storm over all profiles: one proxy on default settings, killed now and then, held against the servers' books."""

import asyncio
import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from proxy.core.user_token import new_token, token_hash
from proxy.simulator.profiles.table import PROFILES
from tests.profiles.stand import settings

from .client import Client, NotUpError, Seen
from .compare import Difference
from .processes import ProcessError, ProxyProcess, SimulatorProcess, free_port, http_json
from .profile_draw import SPARE, USERS, ProfileAsk, draw_asks, kill_moments

Say = Callable[[int, str], None]

_TRIES = 200  # of one client to find the proxy up
_QUIET_S = 120.0  # after which a row that is still open is a difference
_LOOK_UPS = ("openrouter", SPARE)  # providers that can be asked what a generation cost
_CLASSES = {"completion_tokens": 12, "reasoning_tokens": 3, "pace_ms": 2}


@dataclass(slots=True)
class Sums:
    """Of all requests: booked in the ledger, billed by the servers; above: what was booked above the bill."""

    requests: int = 0
    booked_pusd: int = 0
    billed_pusd: int = 0
    above_pusd: int = 0

    def add(self, booked_pusd: int, billed_pusd: int) -> None:
        self.requests += 1
        self.booked_pusd += booked_pusd
        self.billed_pusd += billed_pusd
        self.above_pusd += max(0, booked_pusd - billed_pusd)

    @property
    def above_percent(self) -> float:
        return 100 * self.above_pusd / self.billed_pusd if self.billed_pusd else 0.0


@dataclass(slots=True)
class Outcome:
    """What the storm found.

    known: the requests whose generation id was known to a provider that can be asked. uncut: whose answer came to its
    end. causes: pico-USD booked above the bill, by the flags of the rows.
    """

    differences: list[Difference] = field(default_factory=list)
    all: Sums = field(default_factory=Sums)
    known: Sums = field(default_factory=Sums)
    uncut: Sums = field(default_factory=Sums)
    verdicts: Counter[str] = field(default_factory=Counter)
    causes: Counter[str] = field(default_factory=Counter)
    clients: Counter[str] = field(default_factory=Counter)
    facts: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class _Field:
    """What the tasks of one storm share."""

    proxy: ProxyProcess
    tokens: dict[str, str]
    say: Say
    up: asyncio.Event = field(default_factory=asyncio.Event)
    started: asyncio.Condition = field(default_factory=asyncio.Condition)
    begun: int = 0
    kills: int = 0
    seen: list[Seen] = field(default_factory=list)


async def profile_storm(seed: int, requests: int, kills: int, folder: Path, *, clients: int, say: Say) -> Outcome:
    """Run it in folder, which is left with the ledger and the logs in it. Raises ProcessError."""
    say(0, "starting")
    simulator = SimulatorProcess(seed, folder)
    proxy: ProxyProcess | None = None
    try:
        _teach(simulator)
        port = free_port()
        tokens = _write_config(folder, simulator.url, port)
        proxy = ProxyProcess(folder, port)
        proxy.spawn()
        proxy.wait_ready()
        ground = _Field(proxy, tokens, say)
        ground.up.set()
        await _blow(ground, draw_asks(seed, requests), kill_moments(seed, requests, kills), clients)
        say(requests, "waiting for look-ups")
        waited_s = await _quiet(proxy)
        books = _charges(simulator)
        exit_code = proxy.stop()
        outcome = _compare(ground.seen, books, _rows(proxy.ledger_path))
        if exit_code != 0:
            outcome.differences.append(Difference("-", f"SIGTERM: the proxy ended with exit code {exit_code}"))
        outcome.facts = {
            "requests sent": len(ground.seen),
            "profiles": len(PROFILES),
            "kills of the proxy": ground.kills,
            "requests that were billed": sum(1 for charged in books.values() if charged),
            "seconds until nothing was pending": int(waited_s),
        }
        return outcome
    finally:
        if proxy is not None:
            proxy.close()
        simulator.close()


def _teach(simulator: SimulatorProcess) -> None:
    """Have every profile bill tokens of all the classes that it tells."""
    for profile in PROFILES.values():
        classes: dict[str, Any] = dict(_CLASSES)
        if profile.told.cached != "unsaid":
            classes["cached_tokens"] = 8
        if profile.told.writes != "unsaid":
            classes["cache_write_tokens"] = 4
        fields = {"for": f"path:{profile.path}/{profile.api}", **classes}
        http_json(f"{simulator.url}/_sim/behaviour", fields)


def _write_config(folder: Path, url: str, port: int) -> dict[str, str]:
    tokens = {user: new_token() for user in USERS}
    config = settings(url, PROFILES.values())
    config |= {
        "server": {"host": "127.0.0.1", "port": port},
        "database": str(folder / "ledger.db"),
        "users": {
            user: {
                "token_hash": f"sha256:{token_hash(token)}",
                "limits": {"cost": "$1000000/day"},
                "max_tokens": USERS[user],
            }
            for user, token in tokens.items()
        },
    }
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    path.chmod(0o600)
    return tokens


# --- under load


async def _blow(ground: _Field, asks: list[ProfileAsk], kills: list[tuple[int, float]], clients: int) -> None:
    waiting = asyncio.Queue[ProfileAsk]()
    for ask in asks:
        waiting.put_nowait(ask)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_kill(ground, kills))
        for _ in range(clients):
            tasks.create_task(_client(ground, waiting))


async def _client(ground: _Field, waiting: "asyncio.Queue[ProfileAsk]") -> None:
    client = Client(ground.proxy.port, ground.tokens)
    try:
        while not waiting.empty():
            ask = waiting.get_nowait()
            async with ground.started:
                ground.begun += 1
                ground.started.notify_all()
            ground.seen.append(await _ask(ground, client, ask))
            ground.say(len(ground.seen), f"{ground.kills} kills")
    finally:
        client.close()


async def _ask(ground: _Field, client: Client, ask: ProfileAsk) -> Seen:
    for _ in range(_TRIES):
        await ground.up.wait()
        try:
            seen = await client.ask(ask, ground.proxy.run)
        except NotUpError:
            await asyncio.sleep(0.05)
        else:
            seen.killed = ground.proxy.run != seen.under
            return seen
    raise ProcessError("the proxy is up, but takes no connection")


async def _kill(ground: _Field, kills: list[tuple[int, float]]) -> None:
    for at_request, delay_s in kills:
        async with ground.started:
            await ground.started.wait_for(lambda at=at_request: ground.begun > at)  # type: ignore[misc]
        await asyncio.sleep(delay_s)
        ground.up.clear()
        ground.proxy.kill()
        ground.kills += 1
        ground.proxy.spawn()
        await asyncio.to_thread(ground.proxy.wait_ready)
        ground.up.set()


async def _quiet(proxy: ProxyProcess) -> float:
    """Wait until no row is open or pending, or time is up; return how long it took."""
    begun_s = time.monotonic()
    while time.monotonic() - begun_s < _QUIET_S:
        proxy.check_alive()
        if all(row["state"] not in ("open", "pending") for row in _rows(proxy.ledger_path)):
            break
        await asyncio.sleep(0.5)
    return time.monotonic() - begun_s


# --- afterwards


def _charges(simulator: SimulatorProcess) -> dict[str, int]:
    """Return what the servers billed, by session: every generation of a request, at whatever server."""
    books = [simulator.books(), *http_json(f"{simulator.url}/_sim/profiles/books").values()]
    charged: Counter[str] = Counter()
    for one in books:
        for generation in one["generations"].values():
            charged[generation["session_id"]] += generation["charged_pusd"]
    return dict(charged)


def _rows(path: Path) -> list[dict[str, Any]]:
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute("SELECT * FROM usage")]
    finally:
        connection.close()


def _compare(seen: list[Seen], books: dict[str, int], rows: list[dict[str, Any]]) -> Outcome:
    """Hold every request's row against what was billed for it."""
    outcome = Outcome()
    by_session: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_session.setdefault(row["session_id"], []).append(row)
    for one in seen:
        outcome.clients[_class(one)] += 1
        billed = books.get(one.ask.session, 0)
        _hold(outcome, one, billed, by_session.get(one.ask.session, []))
    unknown = set(books) - {one.ask.session for one in seen}
    outcome.differences += [Difference(str(session), "billed, but nobody asked") for session in unknown]
    return outcome


def _hold(outcome: Outcome, one: Seen, billed: int, rows: list[dict[str, Any]]) -> None:
    session, name = one.ask.session, f"{one.ask.model}{' streamed' if one.ask.stream else ''}"
    if not rows:
        outcome.verdicts["no row, nothing billed" if not billed else "no row"] += 1
        if billed:
            outcome.differences.append(Difference(session, f"{name}: {billed} pico-USD billed, no row"))
        return
    booked = sum(row["cost_pusd"] or 0 for row in rows)
    text = f"{name}: {booked} pico-USD booked, {billed} billed, {_facts(rows)}"
    if any(row["state"] in ("open", "pending") for row in rows):
        outcome.differences.append(Difference(session, f"still open: {text}"))
    elif booked < billed:
        outcome.differences.append(Difference(session, f"lower than the bill: {text}"))
    elif booked > billed and not any(_told(row) for row in rows):
        outcome.differences.append(Difference(session, f"above the bill without a flag: {text}"))
    outcome.verdicts["exact" if booked == billed else "above the bill, flagged"] += 1
    outcome.all.add(booked, billed)
    if booked > billed:
        outcome.causes[" ".join(sorted({flag for row in rows for flag in (row["flags"] or "").split()}))] += (
            booked - billed
        )
    if all(row["provider"] in _LOOK_UPS and row["generation_id"] and row["attempts"] == 1 for row in rows):
        outcome.known.add(booked, billed)
    if not one.killed and not one.left and one.whole:
        outcome.uncut.add(booked, billed)


def _told(row: dict[str, Any]) -> bool:
    flags = set((row["flags"] or "").split()) - {"client_gone"}
    return bool(flags) or row["cost_source"] in ("reservation", "estimate")


def _facts(rows: list[dict[str, Any]]) -> str:
    return "; ".join(f"{row['state']} from {row['cost_source']}, {row['flags']}, {row['error']}" for row in rows)


def _class(one: Seen) -> str:
    kind = "streamed" if one.ask.stream else "plain"
    if one.stuck or one.garbled:
        return f"{kind}, {'stuck' if one.stuck else 'garbled'}"
    if one.left:
        return f"{kind}, left {one.ask.hang_up.place.replace('_', ' ')}"
    if one.broken:
        return f"{kind}, connection broken"
    return f"{kind}, {'answered 200' if one.status == 200 else 'answered with an error'}"
