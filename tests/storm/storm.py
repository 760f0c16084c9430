"""The run itself: many clients at once, the proxy killed and started again, then quiet and the comparison."""

import asyncio
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

from proxy.storage.sqlite.backup import copy_ledger

from .bill import Closing, Operator
from .client import Client, NotUpError, Seen
from .closed_books import REQUEST_CLASSES, read_all
from .compare import Difference, compare
from .counted import ended_rows, pending_rows, request_differences
from .draw import ANSWER_CANARY, PROMPT_CANARY, Ask, Plan
from .limits import Filled, fullest
from .processes import (
    MANAGEMENT_KEY,
    OPERATOR_TOKEN,
    PLAIN_KEY,
    PROVIDER_KEYS,
    ProcessError,
    ProxyProcess,
    SimulatorProcess,
    free_port,
    http_json,
    write_config,
)
from .totals import disagreements, still_reserved
from .views import Books, LedgerView

SETTLED = "settled.db"  # the ledger before anything became known later
_TRIES = 100  # of one client to find the proxy up
_QUIET_EXTRA_S = 60.0  # after the last look-up must have given up
_REST_S = 1.0  # by then nothing may be set aside any more

Say = Callable[[int, str], None]  # requests done so far, what is going on


@dataclass(slots=True)
class Outcome:
    """What a storm found; no differences means that books, ledger and clients agree.

    clients and rows: how many requests ended in which way for the client, and where their cost is from.
    filled: how full the limits became.
    """

    plan: Plan
    books: Books
    seen: list[Seen]
    differences: list[Difference]
    clients: Counter[str]
    rows: Counter[str]
    facts: dict[str, int]
    filled: list[Filled]
    took_s: float


@dataclass(slots=True)
class _Field:
    """What the tasks of one storm share."""

    plan: Plan
    proxy: ProxyProcess
    tokens: dict[str, str]
    say: Say
    up: asyncio.Event
    begun: int = 0
    done: int = 0
    kills: int = 0
    stops: int = 0
    ended: frozenset[int] = frozenset()  # rows that an earlier run had ended, or all but their cost
    pending: frozenset[int] = frozenset()
    refused: int = 0
    starts_checked: int = 0
    differences: list[Difference] = field(default_factory=list)  # found before the end
    seen: list[Seen] = field(default_factory=list)
    started: asyncio.Condition = field(default_factory=asyncio.Condition)


async def storm(
    plan: Plan, folder: Path, *, clients: int, lookup_timeout_s: int, say: Say, ends_with_bill: bool = True
) -> Outcome:
    """Run the plan in folder, which is left with the ledger and the logs in it. Raises ProcessError.

    ends_with_bill: in the end the books are closed, which takes some seconds.
    """
    begun_s = time.monotonic()
    say(0, "starting")
    simulator = SimulatorProcess(plan.seed, folder)
    proxy: ProxyProcess | None = None
    try:
        for model, fields in plan.scripted.items():
            simulator.set_behaviour(model, dict(fields))
        port = free_port()
        tokens = write_config(folder, plan, simulator.url, port, lookup_timeout_s)
        proxy = ProxyProcess(folder, port)
        proxy.spawn()
        proxy.wait_ready()
        await _wait_for_prices(proxy, tokens)
        ground = _Field(plan, proxy, tokens, say, asyncio.Event())
        ground.up.set()
        await _blow(ground, clients)
        say(ground.done, "waiting for look-ups")
        waited_s = await _wait_for_quiet(proxy, lookup_timeout_s + _QUIET_EXTRA_S)
        books = await _closed_books(simulator)
        say(ground.done, "comparing")
        ground.differences += await _limits_at_rest(ground)
        texts = request_differences(port, proxy.ledger_path, ground.ended, ground.pending)
        ground.differences += [Difference("-", text) for text in texts]
        copy_ledger(proxy.ledger_path, folder / SETTLED, force=True)
        with LedgerView(folder / SETTLED) as ledger:
            differences = [*ground.differences, *compare(plan, books, ledger, ground.seen)]
            rows = ledger.classes()
            facts = _facts(ground, books, ledger, waited_s)
            filled = fullest(plan.limits, ledger.requests, books.charged())
        if ends_with_bill:
            say(ground.done, "closing the books with the bill")
            closed = await Operator(proxy, simulator, plan).close_books(tokens, books)
            differences += [Difference("-", text) for text in closed.differences]
            differences += await _limits_at_rest(ground)
            facts |= _closing_facts(closed, proxy.ledger_path)
        exit_code = proxy.stop()
        if exit_code != 0:
            differences.append(Difference("-", f"SIGTERM: the proxy ended with exit code {exit_code}"))
        differences += _leaks(folder, proxy, tokens)
        took_s = time.monotonic() - begun_s
        return Outcome(plan, books, ground.seen, differences, _classes(ground.seen), rows, facts, filled, took_s)
    finally:
        if proxy is not None:
            proxy.close()
        simulator.close()


async def _wait_for_prices(proxy: ProxyProcess, tokens: dict[str, str]) -> None:
    headers = {"Authorization": f"Bearer {next(iter(tokens.values()))}"}
    for _ in range(200):
        if http_json(f"http://127.0.0.1:{proxy.port}/v1/models", headers=headers)["data"]:
            return
        await asyncio.sleep(0.05)
    raise ProcessError("the proxy has no price list after 10 s")


# --- under load


async def _blow(ground: _Field, clients: int) -> None:
    waiting = asyncio.Queue[Ask]()
    for ask in ground.plan.asks:
        waiting.put_nowait(ask)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_kill(ground))
        tasks.create_task(_stop_now_and_then(ground))
        for _ in range(clients):
            tasks.create_task(_client(ground, waiting))


async def _client(ground: _Field, waiting: "asyncio.Queue[Ask]") -> None:
    client = Client(ground.proxy.port, ground.tokens)
    try:
        while not waiting.empty():
            ask = waiting.get_nowait()
            async with ground.started:
                ground.begun += 1
                ground.started.notify_all()
            ground.seen.append(await _ask(ground, client, ask))
            ground.done += 1
            ground.say(ground.done, f"{ground.kills} of {len(ground.plan.kills)} kills")
    finally:
        client.close()


async def _ask(ground: _Field, client: Client, ask: Ask) -> Seen:
    for _ in range(_TRIES):
        await ground.up.wait()
        try:
            seen = await client.ask(ask, ground.proxy.run)
        except NotUpError:
            ground.refused += 1
            await asyncio.sleep(0.05)
        else:
            seen.killed = ground.proxy.run != seen.under
            return seen
    raise ProcessError("the proxy is up, but takes no connection")


async def _kill(ground: _Field) -> None:
    for kill in ground.plan.kills:
        async with ground.started:
            await ground.started.wait_for(lambda at=kill.at_request: ground.begun > at)  # type: ignore[misc]
        await asyncio.sleep(kill.delay_s)
        ground.up.clear()
        ground.proxy.kill()
        ground.kills += 1
        ground.ended = ended_rows(ground.proxy.ledger_path)
        ground.pending = pending_rows(ground.proxy.ledger_path)
        ground.proxy.spawn()
        await asyncio.to_thread(ground.proxy.wait_ready)
        if ground.plan.checks_starts:
            await _check_start(ground)
        ground.up.set()


async def _stop_now_and_then(ground: _Field) -> None:
    """Stop everything, or one user's requests also while they are answered, and let go on after a moment."""
    for stop in ground.plan.stops:
        async with ground.started:
            await ground.started.wait_for(lambda at=stop.at_request: ground.begun > at)  # type: ignore[misc]
        await _admin(ground, "POST", "/stops", stop.fields)
        await asyncio.sleep(stop.for_s)
        for made in await _admin(ground, "GET", "/stops", None):
            await _admin(ground, "DELETE", f"/stops/{made['id']}", None)
        ground.stops += 1


async def _admin(ground: _Field, method: str, path: str, fields: Mapping[str, Any] | None) -> Any:
    """Ask the operator's API, again where the proxy is killed meanwhile; what was done before counts as done."""
    headers = {"Authorization": f"Bearer {OPERATOR_TOKEN}", "Idempotency-Key": f"stop-{ground.stops}"}
    for _ in range(_TRIES):
        await ground.up.wait()
        try:
            url = f"http://127.0.0.1:{ground.proxy.port}/admin/v1{path}"
            return (await asyncio.to_thread(http_json, url, fields, headers, method))["data"]
        except HTTPError as error:
            if error.code in (404, 409):  # it was done, and its answer lost with the proxy
                return None
            raise ProcessError(f"{method} {path}: {error.code} {error.read()!r}") from None
        except OSError:
            await asyncio.sleep(0.05)
    raise ProcessError(f"{method} {path}: nobody answers")


async def _check_start(ground: _Field) -> None:
    """Hold the totals that the new run built against the rows, before anybody asks it for anything."""
    proxy, plan = ground.proxy, ground.plan
    texts = await disagreements(proxy.port, ground.tokens, plan.limits, proxy.ledger_path)
    ground.differences += [Difference("-", f"after kill {ground.kills}: {text}") for text in texts]
    ground.starts_checked += 1


# --- afterwards


async def _wait_for_quiet(proxy: ProxyProcess, limit_s: float) -> float:
    """Wait until no row is open or pending, or time is up (the comparison then says so); give how long it took."""
    begun_s = time.monotonic()
    while time.monotonic() - begun_s < limit_s:
        proxy.check_alive()
        with sqlite3.connect(f"file:{proxy.ledger_path}?mode=ro", uri=True) as connection:
            left = connection.execute("SELECT count(*) FROM requests WHERE state IN ('open', 'pending')").fetchone()[0]
        connection.close()
        if not left:
            break
        await asyncio.sleep(0.2)
    return time.monotonic() - begun_s


async def _limits_at_rest(ground: _Field) -> list[Difference]:
    """Nothing is pending any more: a second later nothing may be set aside, and the totals are those of the rows."""
    proxy, limits = ground.proxy, ground.plan.limits
    await asyncio.sleep(_REST_S)
    texts = still_reserved(proxy.port, ground.tokens, limits)
    texts += await disagreements(proxy.port, ground.tokens, limits, proxy.ledger_path, proxy.ahead_s)
    ownerless = http_json(f"http://127.0.0.1:{proxy.port}/readyz?verbose")["holds_without_owner"]
    if ownerless or "hold.without_owner" in proxy.log_path.read_text(errors="replace"):
        texts.append(f"{ownerless} holds without an owner; the log tells of those that were ended")
    return [Difference("-", f"at the end: {text}") for text in texts]


async def _closed_books(simulator: SimulatorProcess) -> Books:
    """Give the books once everything in them is closed; the simulator may still hear of the last hang-ups."""
    for _ in range(100):
        books = Books(simulator.books())
        if not books.open:
            break
        await asyncio.sleep(0.1)
    return books


def _leaks(folder: Path, proxy: ProxyProcess, tokens: dict[str, str]) -> list[Difference]:
    """Look for secrets, prompts and answers in all that the proxy wrote."""
    canaries = {
        "the management key": MANAGEMENT_KEY,
        **{f"the key of {name}": key for name, key in PROVIDER_KEYS.items()},
        "the plain provider's key": PLAIN_KEY,
        "the operator's token": OPERATOR_TOKEN,
        "a prompt": PROMPT_CANARY,
        "an answer": ANSWER_CANARY,
        **{f"the token of {user}": token for user, token in tokens.items()},
    }
    written = [*folder.glob(f"{proxy.ledger_path.name}*"), proxy.log_path]
    found = []
    for path in written:
        data = path.read_bytes()
        found += [
            Difference("-", f"{path.name} holds {what}") for what, canary in canaries.items() if canary.encode() in data
        ]
    return found


def _classes(seen: list[Seen]) -> Counter[str]:
    counter: Counter[str] = Counter()
    for one in seen:
        kind = "streamed" if one.ask.stream else "plain"
        if one.stuck:
            what = "stuck"
        elif one.garbled:
            what = "garbled"
        elif one.left:
            what = f"left {one.ask.hang_up.place.replace('_', ' ')}"
        elif one.broken:
            what = "connection broken"
        elif one.status in (402, 429) and b'"insufficient_quota"' in one.tail:
            what = "refused: a limit is reached"
        else:
            what = "answered 200" if one.status == 200 else "answered with an error"
        counter[f"{kind}, {what}"] += 1
    return counter


def _closing_facts(closed: Closing, path: Path) -> dict[str, int]:
    ((booked_pusd,),) = read_all(path, "SELECT sum(cost_pusd) FROM usage_hourly")
    return {
        "attempts charged in full that the provider told later": closed.told,
        "requests that the bill corrected": sum(
            number for name, (number, _) in closed.classes.items() if name in REQUEST_CLASSES
        ),
        "calls without a request that were booked for nobody": sum(
            number for name, (number, _) in closed.classes.items() if name in ("outside_call", "lost_row")
        ),
        "requests corrected by hand: of the provider without a bill": closed.by_hand,
        "requests corrected by hand: billed far below the price": closed.too_cheap,
        "charged in the books in the end (pico-USD)": closed.charged_pusd,
        "booked in the ledger in the end (pico-USD)": booked_pusd,
    }


def _facts(ground: _Field, books: Books, ledger: LedgerView, waited_s: float) -> dict[str, int]:
    plan = ground.plan
    return {
        "requests sent": len(ground.seen),
        "reached the provider": books.requests,
        "generations in its books": len(books.generations),
        "rows in the ledger": len(ledger.rows),
        "attempts in the ledger": len(ledger.attempts),
        "kills of the proxy": ground.kills,
        **({"stops, and goings on": ground.stops} if plan.stops else {}),
        **({"starts whose totals were held against the rows": ground.starts_checked} if plan.checks_starts else {}),
        "connections refused meanwhile": ground.refused,
        "charged in the books (pico-USD)": books.total_pusd,
        "booked in the ledger (pico-USD)": ledger.total_pusd,
        "seconds until nothing was pending": int(waited_s),
    }
