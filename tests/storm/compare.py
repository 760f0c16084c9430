"""The simulator's books against the ledger, request by request; nothing here is lenient."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import Any

from .client import Seen
from .draw import Ask, Plan
from .limits import passed
from .views import Books, LedgerView

_EXACT = frozenset({"provider", "generation", "price"})
_DEARER = frozenset(
    {"usage_fell", "usage_ambiguous"}
)  # flags of a usage with two readings, of which the dearer is booked
_LEAST = frozenset(
    {"usage_too_small", "usage_zero", "usage_not_final"}
)  # flags of a usage that is only the least of what was taken: where that costs more than was set aside, it is booked
_PUSD_PER_USD = 10**12


@dataclass(frozen=True, slots=True)
class Difference:
    """One disagreement; session is the request's, or "-"."""

    session: str
    text: str


def compare(plan: Plan, books: Books, ledger: LedgerView, seen: Iterable[Seen]) -> list[Difference]:
    """Give every disagreement between the books, the ledger and what the clients saw."""
    asks = {ask.session: ask for ask in plan.asks}
    found = [
        *_presence(asks, books, ledger),
        *_rows(asks, books, ledger),
        *_books_themselves(books),
        *_totals(ledger),
        *(Difference("-", text) for text in passed(plan.limits, ledger.requests, books.charged())),
    ]
    for one in seen:
        found += [
            Difference(one.ask.session, f"{text} [{one.ask.behaviour}, {one.ask.hang_up.place}]")
            for text in _client(one, ledger)
        ]
    return found


def _presence(asks: dict[str, Ask], books: Books, ledger: LedgerView) -> Iterator[Difference]:
    """Whoever reached the provider has exactly one row, and no row is anybody else's."""
    for session in sorted(books.sessions - asks.keys()):
        yield Difference(session, "in the books, but nobody asked for it")
    for session, rows in ledger.by_session.items():
        if session not in asks:
            yield Difference(session, "in the ledger, but nobody asked for it")
        if len(rows) != 1:
            yield Difference(session, f"{len(rows)} rows in the ledger")
    for session in sorted(books.sessions - ledger.by_session.keys()):
        yield Difference(session, "reached the provider, but has no row in the ledger")


def _rows(asks: dict[str, Ask], books: Books, ledger: LedgerView) -> Iterator[Difference]:
    for row in ledger.rows:
        session = str(row["session_id"])
        ask = asks.get(session)
        attempts = ledger.attempts_of[row["request_id"]]
        generations = books.by_session.get(session, {})
        reached = len(generations) + books.refused_by_session[session]
        problems = [
            *_cost(row, attempts, generations),
            *_attempts(row, attempts, generations, reached),
            *([] if ask is None else _knowable(row, attempts, ask)),
        ]
        about = "" if ask is None else f" [{ask.model}, {ask.behaviour}, {'stream' if ask.stream else 'plain'}"
        about += "" if ask is None else f", {ask.hang_up.place}; {row['state']} {row['cost_source']} {row['flags']}]"
        for problem in problems:
            yield Difference(session, problem + about)


def _cost(row: dict[str, Any], attempts: list[dict[str, Any]], generations: dict[str, dict[str, Any]]) -> Iterator[str]:
    """Hold a row's amount against what was charged for its session."""
    charged = sum(generation["charged_pusd"] for generation in generations.values())
    cost, source, state, flags = row["cost_pusd"], row["cost_source"], row["state"], (row["flags"] or "").split()
    if state in ("open", "pending"):
        yield f"still {state}"
    elif source in _EXACT:
        is_dearer = cost > charged and not _DEARER.isdisjoint(flags)  # of two readings, and the row says so
        if cost != charged and not is_dearer:
            yield f"{source}: {cost} pico-USD in the ledger, {charged} charged"
        yield from _rounding(generations, flags, source)
    elif state == "released":
        if cost != 0 or source != "none" or charged:
            yield f"released with {cost} from {source}, but {charged} charged"
    elif source in ("reservation", "estimate"):
        yield from _shares(row, attempts, generations)
        if cost < charged:
            yield f"reservation of {cost} pico-USD booked, but {charged} charged"
        if not flags:
            yield "not exact, and no flag says why"
    elif row["reserved_pusd"] is not None or cost is not None or "cost_unknown" not in flags:
        yield f"settled at {cost} from {source} with a reservation of {row['reserved_pusd']}"
    over = row["reserved_pusd"] is not None and cost is not None and cost > row["reserved_pusd"]
    if over and "over_reservation" not in flags:
        yield f"{cost} is over the reservation of {row['reserved_pusd']} without the flag"


def _shares(
    row: dict[str, Any], attempts: list[dict[str, Any]], generations: dict[str, dict[str, Any]]
) -> Iterator[str]:
    """A request is as sure as the least sure of its attempts: each is held against its own generation, or its share."""
    is_known = row["reserved_pusd"] is not None or row["cost_source"] == "reservation"  # else tokens x price is booked
    is_more = _LEAST.intersection((row["flags"] or "").split()) and row["cost_pusd"] > (row["reserved_pusd"] or 0)
    if len(attempts) == 1 and is_known and row["cost_pusd"] != row["reserved_pusd"] and not is_more:
        yield f"charged {row['cost_pusd']}, which is not the reservation of {row['reserved_pusd']}"
        return
    left = row["reserved_pusd"]
    for attempt in attempts if len(attempts) > 1 else ():
        cost, source, share = attempt["cost_pusd"], attempt["cost_source"], attempt["reserved_pusd"]
        share = left if attempt is attempts[-1] else share
        if source in ("reservation", "estimate") and cost != share:
            yield f"attempt {attempt['n']} charged {cost}, which is not its share of {share}"
        charged = generations.get(attempt["generation_id"], {}).get("charged_pusd")
        if source in _EXACT and cost != charged:
            yield f"attempt {attempt['n']}, {source}: {cost} pico-USD in the ledger, {charged} charged"
        left -= attempt["reserved_pusd"] or 0


def _rounding(generations: dict[str, dict[str, Any]], flags: list[str], source: str) -> Iterator[str]:
    """An amount finer than a pico-USD is rounded up and says so; no other one says so.

    Where a count fell, an earlier and greater amount stands in the row.
    """
    if source == "price" or len(generations) != 1 or "usage_fell" in flags:
        return
    usd = literal_usd(next(iter(generations.values()))["cost_literal"])
    if usd is not None and ("cost_rounded" in flags) != ((usd * _PUSD_PER_USD).denominator != 1):
        yield f"literal of {usd} USD, but flags {flags}"


def literal_usd(literal: str | None) -> Fraction | None:
    """Read a cost as it went over the wire, by another way than the program's; None where it is no legal amount."""
    if literal is None or literal.startswith('"'):
        return None
    try:
        usd = Fraction(literal)
    except ValueError:
        return None
    return usd if 0 <= usd < 10**6 else None


def _attempts(
    row: dict[str, Any], attempts: list[dict[str, Any]], generations: dict[str, dict[str, Any]], reached: int
) -> Iterator[str]:
    """Each upstream call has a row of its own, and the parts sum to the whole."""
    total = sum(attempt["cost_pusd"] or 0 for attempt in attempts)
    if total != (row["cost_pusd"] or 0):
        yield f"its attempts cost {total}, the request {row['cost_pusd']}"
    if reached > len(attempts):
        yield f"reached the provider {reached} times in {len(attempts)} attempts"
    if any(attempt["outcome"] == "open" for attempt in attempts):
        yield "an attempt is still open"
    ids = {attempt["generation_id"] for attempt in attempts} - {None}
    if not ids <= generations.keys():
        yield f"generation {sorted(ids - generations.keys())} is not in the books under this session"
    if row["generation_id"] is not None and row["generation_id"] not in ids:
        yield f"generation {row['generation_id']} is on no attempt"


def _knowable(row: dict[str, Any], attempts: list[dict[str, Any]], ask: Ask) -> Iterator[str]:
    """Where the provider had named the generation and answers for it, the exact cost was to be had."""
    if row["cost_source"] == "reservation" and not any(one["cost_source"] == "reservation" for one in attempts):
        yield "booked at the reservation although the cost of each attempt is known or can be looked up"
    for attempt in attempts:
        named = attempt["generation_id"] is not None and attempt["cost_source"] == "reservation"
        if named and not ask.look_up_fails:
            yield f"booked at the reservation although {attempt['generation_id']} can be looked up"


def _books_themselves(books: Books) -> Iterator[Difference]:
    """The witness must be sound: all closed, sums right, each legal literal rounded up as exact arithmetic does."""
    if books.open:
        yield Difference("-", f"{books.open} generations are still open in the books")
    total = 0
    for id_, generation in books.generations.items():
        total += generation["charged_pusd"]
        usd = literal_usd(generation["cost_literal"])
        if usd is not None and ceil(usd * _PUSD_PER_USD) + generation["upstream_pusd"] != generation["charged_pusd"]:
            yield Difference(
                str(generation["session_id"]), f"books: {id_} charged {generation['charged_pusd']} for {usd} USD"
            )
    if total != books.total_pusd:
        yield Difference("-", f"books: {books.total_pusd} in all, but the generations sum to {total}")


def _totals(ledger: LedgerView) -> Iterator[Difference]:
    for text in ledger.damage():
        yield Difference("-", f"integrity_check: {text}")
    kept, summed = ledger.rollup(), ledger.rollup_of_rows()
    for key in sorted(kept.keys() | summed.keys()):
        if kept.get(key) != summed.get(key):
            yield Difference("-", f"usage_hourly {key}: {kept.get(key)}, but its rows sum to {summed.get(key)}")


def _client(seen: Seen, ledger: LedgerView) -> Iterator[str]:
    """What a client was told must hold: an answer that it has whole is settled, whatever was killed afterwards."""
    if seen.stuck:
        yield "the client got no end of its answer"
    if seen.garbled:
        yield "the client got bytes that are no HTTP answer"
    if seen.broken and not seen.killed:
        yield "the connection broke, but nobody killed the proxy"
    if not seen.whole or seen.status != 200:
        return
    rows = ledger.by_session.get(seen.ask.session, [])
    if not rows or rows[0]["request_id"] != seen.headers.get("x-request-id"):
        yield f"answered under {seen.headers.get('x-request-id')}, which is not the row"
        return
    row = rows[0]
    if "crash" in (row["flags"] or "").split():
        yield "the client has the whole answer, but a crash lost its settlement"
    told_usd = seen.headers.get("x-tollkeeper-cost-usd")
    if told_usd is not None and Fraction(told_usd) * _PUSD_PER_USD != row["cost_pusd"]:
        yield f"the client was told {told_usd} USD, the row says {row['cost_pusd']} pico-USD"
