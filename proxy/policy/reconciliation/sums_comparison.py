"""Compare sums of a day by model, where the bill lists no single calls, or the ledger's rows are removed by retention.

What a sum of the ledger holds of amounts that are not exact may explain a difference, up to what it is; nothing of it
can be booked, for nobody knows whose it is. One difference alone is certain: what a key was charged for a model of
which no request was made, on a day of which the ledger has nothing too much.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

from proxy.policy.reconciliation.day_comparison import SUM, DayComparison, DriftEntry
from proxy.policy.reconciliation.drift_class import (
    ESTIMATED,
    OTHER_KEY,
    OUTSIDE_CALL,
    OWN_KEY,
    PENDING,
    REFUNDED,
    RESERVATION_CHARGED,
    UNKNOWN,
)

_MAY_BE_ELSEWHERE: Final = frozenset({UNKNOWN, RESERVATION_CHARGED, ESTIMATED})
_NOON_MS: Final = 12 * 3_600_000  # an hour of the same date in nearly every zone


class BookedSum(NamedTuple):
    """What the ledger has of a model. All but pending_pusd are parts of booked_pusd, or it.

    reservation_pusd: charged at the reservation; estimated_pusd: worked out by the proxy; elsewhere_pusd: somebody else
    bills it; pending_pusd: reserved by requests whose cost is awaited. requests: of the model, on the day or so shortly
    before it that they may be billed on it, at whatever provider. apart: what was booked for the day's sums of it, by
    reference.
    """

    model: str
    booked_pusd: int
    reservation_pusd: int = 0
    estimated_pusd: int = 0
    elsewhere_pusd: int = 0
    pending_pusd: int = 0
    requests: int = 0
    apart: Mapping[str, int] = {}


class BilledSum(NamedTuple):
    """What the bill has of a model. names: all that the model may be called, the one to show first.

    key_hash "": the bill does not tell keys apart.
    """

    names: tuple[str, ...]
    usage_pusd: int
    key_hash: str = ""


def compare_sums(
    day_ms: int,
    booked: Iterable[BookedSum],
    billed: Iterable[BilledSum],
    other_keys_pusd: int,
    *,
    is_final: bool = False,
    new_keys: Collection[str] = (),
) -> DayComparison:
    """Return the differences of a day by model, each in one class. billed: of the proxy's keys only.

    is_final: the bill of the day gets no more calls, none of it is history, and no other entry has one of its keys.
    new_keys: hashes of keys that came here after the day had begun: what they were used for may be history.
    """
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
    lonely = _lonely(rows, billed, new_keys) if is_final else frozenset[str]()
    found = {
        name: _of_model(day_ms, rows.get(name, BookedSum(name, 0)), bills.get(name, 0)) for name in {*rows, *bills}
    }
    of_others = [entry for name, own in found.items() if name not in lonely for entry in own]
    if not any(entry.drift_class == PENDING or _is_too_much(entry) for entry in of_others):
        for name in lonely:
            own = [one for one in billed if one.names[0] == name]
            found[name] = [*_of_lonely(day_ms, rows.get(name, BookedSum(name, 0)), own)]
    entries = [entry for _, own in sorted(found.items()) for entry in own]
    if other_keys_pusd:
        entries.append(_entry(OTHER_KEY, day_ms, "", other_keys_pusd, 0, other_keys_pusd))
    booked_pusd = sum(row.booked_pusd for row in rows.values())
    return DayComparison(booked_pusd, sum(bills.values()) + other_keys_pusd, tuple(entries))


def _added(one: BookedSum, other: BookedSum) -> BookedSum:
    return BookedSum(
        one.model,
        one.booked_pusd + other.booked_pusd,
        one.reservation_pusd + other.reservation_pusd,
        one.estimated_pusd + other.estimated_pusd,
        one.elsewhere_pusd + other.elsewhere_pusd,
        one.pending_pusd + other.pending_pusd,
        one.requests + other.requests,
        {**one.apart, **other.apart},
    )


def _lonely(rows: Mapping[str, BookedSum], billed: Sequence[BilledSum], new_keys: Collection[str]) -> frozenset[str]:
    """Return the models on the bill, told by key, of which the ledger has nothing but what was booked for such sums."""
    found, history = set[str](), {one.names[0] for one in billed if one.key_hash in new_keys}
    for one in billed:
        row = rows.get(one.names[0])
        is_bare = row is None or (not row.requests and row.booked_pusd == sum(row.apart.values()))
        if one.key_hash and is_bare:
            found.add(one.names[0])
    return frozenset(found - history)


def _is_too_much(entry: DriftEntry) -> bool:
    """Return whether the ledger has more of a model than the bill: it may be there under another name.

    So may a reservation that was charged and an estimate, of which the bill has less or nothing.
    """
    return entry.drift_class in _MAY_BE_ELSEWHERE and entry.amount_pusd < 0


def _of_lonely(day_ms: int, row: BookedSum, billed: Iterable[BilledSum]) -> Iterator[DriftEntry]:
    """Yield what each key was charged for a model of which there is no request, as far as it is not booked yet."""
    keys: dict[str, int] = {}
    for one in billed:
        keys[one.key_hash] = keys.get(one.key_hash, 0) + one.usage_pusd
    day = datetime.fromtimestamp(day_ms / 1000, UTC).date()
    left = dict(row.apart)
    for key_hash, usage_pusd in sorted(keys.items()):
        reference = f"{SUM}{day} {key_hash[:16]} {row.model}"
        booked_pusd = left.pop(reference, 0)
        if usage_pusd != booked_pusd:
            amount_pusd = usage_pusd - booked_pusd
            name = OUTSIDE_CALL if amount_pusd > 0 else REFUNDED
            figures = booked_pusd, usage_pusd, max(usage_pusd, 0)
            yield DriftEntry(name, amount_pusd, None, reference, key_hash, row.model, day_ms + _NOON_MS, *figures)
    rest_pusd = -sum(left.values())  # of a key that the bill no longer tells of
    if rest_pusd:
        yield _entry(UNKNOWN, day_ms, row.model, rest_pusd, -rest_pusd, 0)


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
