"""Bursts: N requests at the same moment with headroom for exactly k; exactly k may be let in, each time.

Every answer is charged exactly what was set aside for it, so that one that ends early makes no room for another; in
each fourth burst it is charged less, and then what was spent still may not pass the limit. The limit that is tight is
that of the user, of the group, of everyone together, of the user on a set of models, or of the group above. The same
seed draws the same bursts.
"""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.quotas.place import Place, body_of, cost, place, usd, user
from tests.support.book import book_of
from tests.support.installation import token_of
from tests.support.raw import Client, connect, request_bytes
from tests.support.stand import CHAT

SCOPES = ("user", "group", "all", "models", "above")
NAMES = {"user": "user:anna", "group": "group:family", "all": "all", "models": "user:anna", "above": "group:home"}
FAMILY = ["openai/*"]  # the set of models that is limited
ROOMY_PUSD = 10**15
PEOPLE = ("anna", "ben", "rich")
_REST_S = 1.0  # by then nothing may be set aside any more


@dataclass(frozen=True, slots=True)
class Burst:
    """One burst as it is drawn. slack: a part of one request that is left over beside the headroom, of 1000."""

    n: int
    width: int
    headroom: int
    scope: str
    slack: int
    stream: bool
    exact: bool
    max_tokens: int


@dataclass(slots=True)
class Tally:
    """What all bursts came to; amounts are pico-USD. faults: what did not hold, in words."""

    bursts: int = 0
    requests: int = 0
    admitted: int = 0
    overspent_pusd: int = 0
    reserved_left_pusd: int = 0
    ledger_pusd: int = 0
    books_pusd: int = 0
    faults: list[str] = field(default_factory=list)


def draw_bursts(seed: int, bursts: int, width: int) -> list[Burst]:
    dice = random.Random(seed)
    rooms = (0, 1, 2, width // 10, width // 2, width - 1, width, width + 5)
    return [
        Burst(
            n=n,
            width=width,
            headroom=dice.choice(rooms) if n else width - 1,  # room for many, and for one less than there are
            scope=dice.choice(SCOPES),
            slack=dice.randrange(1000),
            stream=dice.random() < 0.5,
            exact=n % 4 != 3,
            max_tokens=dice.randint(1, 256),
        )
        for n in range(bursts)
    ]


async def run_bursts(
    folder: Path, seed: int, bursts: int, width: int, progress: Callable[[int, str], None] = lambda _n, _text: None
) -> Tally:
    """Run them one after the other on one installation; progress hears how many are done."""
    tally = Tally()
    async with place(folder, _config({})) as it:
        await it.sim._ask("POST", "requests", {"keep": 1})
        clients = [await connect(it.app.port) for _ in range(width)]
        it.clients += clients
        for burst in draw_bursts(seed, bursts, width):
            await _run_one(it, burst, clients, tally)
            progress(tally.bursts, f"{tally.admitted} of {tally.requests} let in")
        await _hold_against_the_books(it, tally)
    return tally


def _config(limits: dict[str, dict[str, Any]]) -> dict[str, Any]:
    roomy = {"cost": cost(ROOMY_PUSD)}
    return {
        "limits": limits.get("all", roomy),
        "groups": {
            "home": {"limits": limits.get("above", roomy)},
            "family": {"parent": "home", "limits": limits.get("group", roomy)},
        },
        "users": {
            "anna": user(
                "anna",
                group="family",
                limits=[limits.get("user", roomy), {**limits.get("models", roomy), "models": FAMILY}],
            ),
            "ben": user("ben", group="family"),
            "rich": user("rich", limits={"cost": cost(ROOMY_PUSD)}),
        },
        "quotas": {"wait_s": 0},
    }


def _askers(burst: Burst) -> list[str]:
    """Give who asks: the user whose limit is tight, or all who share it."""
    together = ("anna", "ben")
    people = {"group": together, "above": together, "all": PEOPLE}.get(burst.scope, ("anna",))
    return [people[n % len(people)] for n in range(burst.width)]


async def _run_one(it: Place, burst: Burst, clients: list[Client], tally: Tally) -> None:
    fields = {"max_tokens": burst.max_tokens, "stream": burst.stream}
    await it.configure(_config({}))
    worst = await it.worst_case("rich", **fields)
    await it.charge(worst if burst.exact else max(1, worst * (burst.slack + 1) // 1000))
    used = await _used(it, burst.scope)
    limit = used + burst.headroom * worst + worst * burst.slack // 1000
    await it.configure(_config({burst.scope: {"cost": cost(max(1, limit))}}))
    statuses = await _fire(burst, clients, fields)
    await it.quiet()
    _judge(burst, statuses, tally)
    spent = await _used(it, burst.scope)
    tally.overspent_pusd += max(0, spent - limit) if limit else 0
    if book_of(it.app.services).open_requests():
        await asyncio.sleep(_REST_S)
    tally.reserved_left_pusd += sum(held.cost_pusd for held in book_of(it.app.services).open_requests().values())
    tally.bursts += 1


async def _fire(burst: Burst, clients: list[Client], fields: dict[str, Any]) -> list[int]:
    """Send all requests before any answer is read."""
    body = body_of(**fields)
    for who, client in zip(_askers(burst), clients, strict=True):
        client._writer.write(request_bytes("POST", CHAT, body, token=token_of(who)))
    answers = await asyncio.gather(*(client.read_answer() for client in clients))
    for answer in answers:
        assert answer.end == "complete", answer
    return [answer.status for answer in answers]


def _judge(burst: Burst, statuses: list[int], tally: Tally) -> None:
    admitted = statuses.count(200)
    tally.requests += len(statuses)
    tally.admitted += admitted
    expected = min(burst.headroom, burst.width)
    if admitted + statuses.count(402) != len(statuses):
        tally.faults.append(f"{burst}: statuses {sorted(set(statuses))}")
    if admitted != expected if burst.exact else admitted < expected:
        tally.faults.append(f"{burst}: {admitted} were let in, expected {expected}")


async def _used(it: Place, scope: str) -> int:
    rows = await it.limits("anna")
    models = FAMILY if scope == "models" else None
    (row,) = [row for row in rows if (row["scope"], row["models"]) == (NAMES[scope], models)]
    used: int = row["used_pusd"]
    return used


async def _hold_against_the_books(it: Place, tally: Tally) -> None:
    books = await it.sim.books()
    tally.books_pusd = books["total_pusd"]
    rows = it.rows("SELECT generation_id, cost_pusd FROM usage")
    tally.ledger_pusd = sum(row["cost_pusd"] for row in rows)
    charged = {id_: one["charged_pusd"] for id_, one in books["generations"].items()}
    if {row["generation_id"]: row["cost_pusd"] for row in rows} != charged:
        tally.faults.append("ledger and books differ in some generation")
    if len(rows) != tally.admitted:
        tally.faults.append(f"{len(rows)} rows for {tally.admitted} requests that were let in")
    tally.faults += book_of(it.app.services).audit()
    for row in await it.limits("anna"):
        if row["scope"] == "all" and row["used_pusd"] != tally.ledger_pusd:
            tally.faults.append(f"totals say {usd(row['used_pusd'])}, rows {usd(tally.ledger_pusd)}")
