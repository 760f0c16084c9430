"""The ledger against the simulator's books once everything is booked: by request, user, hour, class, and in all."""

import hashlib
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from .draw import OPENROUTER_PROVIDERS
from .outsiders import Outsiders
from .processes import PLAIN_KEY, PROVIDER_KEYS
from .views import Books, LedgerView

REQUEST_CLASSES = ("estimated", "raised", "refunded", "reservation_charged", "price_rounding", "pending")
ROWS = "SELECT * FROM requests ORDER BY id"
ADJUSTMENTS = "SELECT * FROM adjustments ORDER BY id"
_REASONS = "SELECT reason, request_id, reference, amount_pusd FROM adjustments ORDER BY id"
_HOUR_MS = 3_600_000
_OWNERS = {hashlib.sha256(key.encode()).hexdigest(): name for name, key in PROVIDER_KEYS.items()}
_PLAIN = hashlib.sha256(PLAIN_KEY.encode()).hexdigest()


def read_all(path: Path, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return connection.execute(sql).fetchall()


def wrong_requests(path: Path, books: Books, provider: str | None = None) -> dict[str, int]:
    """Return the requests (of one provider) that are not booked at what was charged, with what was charged."""
    charged = books.charged()
    with LedgerView(path) as ledger:
        rows = [row for row in ledger.rows if provider in (None, row["provider"])]
        costs = [(str(row["session_id"]), row["request_id"], row["cost_pusd"] or 0) for row in rows]
    return {id_: charged.get(session, 0) for session, id_, cost in costs if cost != charged.get(session, 0)}


def reasons(path: Path) -> dict[str, tuple[int, int]]:
    """Return how many adjustments there are by reason, and what they come to in pico-USD."""
    numbers, sums = Counter[str](), Counter[str]()
    for reason, _, _, pusd in read_all(path, _REASONS):
        name = reason.partition(":")[0]
        numbers[name] += 1
        sums[name] += pusd
    return {name: (number, sums[name]) for name, number in sorted(numbers.items())}


def lasting(provider: str, books: Books) -> dict[str, int]:
    """Return what stays between a provider's bill and the ledger, by class: other keys, and what others bill."""
    found = Counter[str]()
    for one in books.generations.values():
        if _OWNERS.get(one["key_sha256"]) == provider:
            found["own_key"] -= one["upstream_pusd"]
        else:
            found["other_key"] += one["charged_pusd"] - one["upstream_pusd"]
    return dict(found)


def class_differences(path: Path, outsiders: Outsiders, books: Books) -> Iterator[str]:
    """Say which calls and changed charges were not booked for what they are."""
    with LedgerView(path) as ledger:
        ids = {row["id"]: str(row["session_id"]) for row in ledger.requests}
    apart: defaultdict[str, list[tuple[str, int]]] = defaultdict(list)
    named: defaultdict[str, set[str]] = defaultdict(set)
    for reason, request_id, reference, pusd in read_all(path, _REASONS):
        name = reason.partition(":")[0]
        if request_id is None:
            apart[reference].append((name, pusd))
        else:
            named[ids[request_id]].add(name)
    for id_, name in outsiders.calls.items():
        wanted = [] if name == "other_key" else [(name, books.generations[id_]["charged_pusd"])]
        if apart.pop(id_, []) != wanted:
            yield f"{id_} is a call of class {name}, and was not booked as such"
    yield from (f"{id_} was booked for nobody: {booked}" for id_, booked in apart.items())
    for session, name in outsiders.changed.items():
        if name not in named[session]:
            yield f"{session}: its charge was {name}, but it was booked as {sorted(named[session])}"


def booking_differences(path: Path, books: Books, outsiders: Outsiders) -> Iterator[str]:
    """Say what is not booked at what was charged: requests, users in their hours, what is nobody's, and the sum."""
    for id_, pusd in wrong_requests(path, books).items():
        yield f"{id_} is not booked at {pusd} pico-USD, which was charged, after all that became known"
    charged, expected = books.charged(), Counter[tuple[str, int]]()
    with LedgerView(path) as ledger:
        for row in ledger.requests:
            expected[row["user"], row["started_ms"] // _HOUR_MS] += charged.get(str(row["session_id"]), 0)
        rolled_up = Counter[tuple[str, int]]()
        for key, figures in ledger.rollup().items():
            rolled_up[key[1], key[0] // _HOUR_MS] += figures[-1]
    for id_, name in outsiders.calls.items():
        if name != "other_key":
            one = books.generations[id_]
            expected["", one["created"] // 3600] += one["charged_pusd"]
    for place in sorted(rolled_up.keys() | expected.keys()):
        if rolled_up[place] != expected[place]:
            user, hour = place
            text = f"usage_hourly of {user or 'nobody'} in hour {hour} sums to {rolled_up[place]} pico-USD"
            yield f"{text}, {expected[place]} were charged"
    total = sum(rolled_up.values())
    if total != charged_with_ours(books):
        yield f"{total} pico-USD are booked in the end, {charged_with_ours(books)} were charged"


def charged_with_ours(books: Books) -> int:
    """Return what was charged for all that the proxy's keys were used for, pico-USD."""
    ours = {*_OWNERS, _PLAIN}
    return sum(one["charged_pusd"] for one in books.generations.values() if one["key_sha256"] in ours)


def drift_differences(days: list[dict[str, Any]], books: Books) -> Iterator[str]:
    """Hold what tollkeeper reconcile says against the books: nothing is open, and what stays is explained."""
    found: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for day in days:
        for one in day["classes"]:
            found[day["provider"]][one["name"]] += one["amount_pusd"]
        if day["problem"] is not None:
            yield f"{day['provider']} {day['day']}: {day['problem']}"
    for provider in OPENROUTER_PROVIDERS:
        left = {name: pusd for name, pusd in found[provider].items() if pusd}
        expected = {name: pusd for name, pusd in lasting(provider, books).items() if pusd}
        if left != expected:
            yield f"{provider}: reconcile says {left}, but the books leave {expected}"
