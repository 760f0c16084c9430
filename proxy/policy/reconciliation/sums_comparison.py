"""Compare sums of a day by model, where the bill lists no single calls, or the ledger's rows are removed by retention.

What a sum of the ledger holds of amounts that are not exact may explain a difference, up to what it is; nothing of it
can be booked, for nobody knows whose it is.
"""

from collections.abc import Iterable
from typing import NamedTuple

from proxy.policy.reconciliation.day_comparison import DayComparison, DriftEntry
from proxy.policy.reconciliation.drift_class import (
    ESTIMATED,
    OTHER_KEY,
    OWN_KEY,
    PENDING,
    RESERVATION_CHARGED,
    UNKNOWN,
)


class BookedSum(NamedTuple):
    """What the ledger has of a model. All but pending_pusd are parts of booked_pusd, or it.

    reservation_pusd: charged at the reservation; estimated_pusd: worked out by the proxy; elsewhere_pusd: somebody else
    bills it; pending_pusd: reserved by requests whose cost is awaited.
    """

    model: str
    booked_pusd: int
    reservation_pusd: int = 0
    estimated_pusd: int = 0
    elsewhere_pusd: int = 0
    pending_pusd: int = 0


class BilledSum(NamedTuple):
    """What the bill has of a model. names: all that the model may be called, the one to show first."""

    names: tuple[str, ...]
    usage_pusd: int


def compare_sums(
    day_ms: int, booked: Iterable[BookedSum], billed: Iterable[BilledSum], other_keys_pusd: int
) -> DayComparison:
    """Return the differences of a day by model, each in one class. billed: of the proxy's keys only."""
    billed = list(billed)
    name_of = {name: one.names[0] for one in billed for name in one.names}
    rows: dict[str, BookedSum] = {}
    for each in booked:
        name = name_of.get(each.model, each.model)
        known = rows.get(name)
        rows[name] = each._replace(model=name) if known is None else _added(known, each)
    bills: dict[str, int] = {}
    for one in billed:
        bills[one.names[0]] = bills.get(one.names[0], 0) + one.usage_pusd
    entries = [
        entry
        for name in sorted({*rows, *bills})
        for entry in _of_model(day_ms, rows.get(name, BookedSum(name, 0)), bills.get(name, 0))
    ]
    if other_keys_pusd:
        entries.append(_entry(OTHER_KEY, day_ms, "", other_keys_pusd, 0, other_keys_pusd))
    booked_pusd = sum(row.booked_pusd for row in rows.values())
    return DayComparison(booked_pusd, sum(bills.values()) + other_keys_pusd, tuple(entries))


def _added(one: BookedSum, other: BookedSum) -> BookedSum:
    return BookedSum(one.model, *(a + b for a, b in zip(one[1:], other[1:], strict=True)))


def _of_model(day_ms: int, row: BookedSum, billed_pusd: int) -> list[DriftEntry]:
    """Return the differences of one model: first what somebody else bills, then what inexact amounts explain."""
    left_pusd = billed_pusd - row.booked_pusd + row.elsewhere_pusd
    parts = [(OWN_KEY, -row.elsewhere_pusd)]
    for name, least_pusd, most_pusd in (
        (RESERVATION_CHARGED, -row.reservation_pusd, 0),
        (PENDING, 0, row.pending_pusd),
        (ESTIMATED, -row.estimated_pusd, row.estimated_pusd),
    ):
        part_pusd = max(least_pusd, min(left_pusd, most_pusd))
        parts.append((name, part_pusd))
        left_pusd -= part_pusd
    parts.append((UNKNOWN, left_pusd))
    return [
        _entry(name, day_ms, row.model, amount_pusd, row.booked_pusd, billed_pusd)
        for name, amount_pusd in parts
        if amount_pusd
    ]


def _entry(name: str, day_ms: int, model: str, amount_pusd: int, booked_pusd: int, billed_pusd: int) -> DriftEntry:
    return DriftEntry(name, amount_pusd, None, None, "", model, day_ms, booked_pusd, billed_pusd)
