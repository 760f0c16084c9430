"""Book costs that became known late: a row of adjustments and its hour of the roll-up, in the writer's transaction."""

import sqlite3
from collections.abc import Sequence
from typing import Any, NamedTuple

from msgspec.structs import asdict

from proxy.core.text import fit_text
from proxy.policy.quota.window import HOUR_MS
from proxy.storage.adjustment import (
    TEXT_MAX,
    AdjustedKey,
    AdjustmentFilter,
    AdjustmentRow,
    Booked,
    Correction,
    How,
    RemovedRequest,
    UnattachedCost,
)
from proxy.storage.audit import Actor
from proxy.storage.rows import id_text
from proxy.storage.spending_source import SpendingSource
from proxy.storage.sqlite.audit_log import append_audit
from proxy.storage.sqlite.spending_source import ENDED_SOURCE
from proxy.storage.sqlite.usage_daily import add_to_days

_SOURCE = "user, group_name, model, provider, use_case, groups_above, other_models"  # as SpendingSource

_REQUEST = f"""
SELECT state, started_ms, day, instr(' ' || ifnull(flags, '') || ' ', ' request_price ') > 0,
    ifnull(cost_pusd, 0) + ifnull((SELECT sum(amount_pusd) FROM adjustments WHERE request_id = requests.id), 0),
    {ENDED_SOURCE}
FROM requests WHERE id = ?1
"""  # noqa: S608 - constants of this file

# the attempt whose figure was corrected: the one that is named, or whose cost is least certain
_CHARGED = """
SELECT n, provider, key FROM attempts WHERE request_id = ?1 AND provider IS NOT NULL AND key IS NOT NULL
ORDER BY n IS ?2 DESC, cost_source IN ('reservation', 'estimate') DESC, ifnull(cost_pusd, 0) > 0 DESC, n DESC LIMIT 1
"""

_LAST = f"""
SELECT at_ms, day, booked_pusd + amount_pusd, charged_provider, charged_key, {_SOURCE}
FROM adjustments WHERE request_id = ?1 ORDER BY id DESC LIMIT 1
"""  # noqa: S608 - constants of this file

_REFERRED = "SELECT count(*), ifnull(sum(amount_pusd), 0) FROM adjustments WHERE reference = ?1"

# where an amount of a reference was booked first, where all of it stays
_REFERENCE = "SELECT at_ms, day, model, charged_key FROM adjustments WHERE reference = ?1 ORDER BY id LIMIT 1"

_INSERT = f"""
INSERT INTO adjustments (request_id, attempt, at_ms, ts_ms, day, booked_pusd, amount_pusd, reason, source, reference,
    charged_provider, charged_key, {_SOURCE})
VALUES ({", ".join("?" * 19)}) RETURNING id
"""  # noqa: S608 - constants of this file

_MOVED = tuple(f"hour_ms, {_SOURCE}, cost_pusd".split(", "))
_HOUR = f"SELECT cost_pusd FROM usage_hourly WHERE hour_ms = ? AND ({_SOURCE}) = (?, ?, ?, ?, ?, ?, ?)"  # noqa: S608
# a sum beyond 64 bits would be REAL, which the column refuses: it stays at the most
_MOVE = f"""
INSERT INTO usage_hourly (hour_ms, {_SOURCE}, requests, errors, input_tokens, output_tokens, cached_tokens,
    reasoning_tokens, uncounted_tokens, cost_pusd)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0, 0, 0, 0, 0, 0, 0, ?)
ON CONFLICT DO UPDATE SET cost_pusd = CAST(cost_pusd + excluded.cost_pusd AS INTEGER)
"""  # noqa: S608 - constants of this file


def with_late(cost: str, late: str) -> str:
    """Return what a request is booked at, in SQL: NULL where neither its cost nor a sum of adjustments is known."""
    return f"coalesce({cost} + {late}, {late}, {cost})"


_LIST = """
SELECT id, request_id, attempt, at_ms, ts_ms, day, booked_pusd, amount_pusd, reason, source, reference, user,
    group_name, model, provider, use_case, charged_provider, charged_key
FROM adjustments
WHERE (:before_id IS NULL OR id < :before_id) AND (:request_id IS NULL OR request_id = :request_id)
    AND (:user IS NULL OR user = :user) AND (:provider IS NULL OR provider = :provider)
    AND (:key IS NULL OR charged_key = :key) AND (:model IS NULL OR model = :model)
    AND (:source IS NULL OR source = :source) AND (:day IS NULL OR day = :day)
    AND (:is_unattached IS NULL OR (request_id IS NULL) = :is_unattached)
    AND (:since_ms IS NULL OR ts_ms >= :since_ms) AND (:until_ms IS NULL OR ts_ms < :until_ms)
ORDER BY id DESC LIMIT :count
"""


def list_adjustments(
    connection: sqlite3.Connection, wanted: AdjustmentFilter, before_id: int | None, count: int
) -> list[AdjustmentRow]:
    """Return up to count adjustments that were booked before the one with before_id, the last first."""
    found = connection.execute(_LIST, {**asdict(wanted), "before_id": before_id, "count": count})
    return [AdjustmentRow(*row) for row in found]


class _AmountPlace(NamedTuple):
    """Where an amount belongs."""

    request_id: int | None
    attempt: int | None
    at_ms: int
    day: str
    spending: SpendingSource
    charged: AdjustedKey | None
    reference: str | None
    is_on_hour: bool


def correct(
    connection: sqlite3.Connection, corrections: Sequence[Correction], now_ms: int, actor: Actor | None = None
) -> tuple[Booked, ...]:
    """Book what requests cost after all; one result for each correction, in order. actor: the person who says so."""
    found = tuple(_correct(connection, each, now_ms) for each in corrections)
    for one in found:
        if actor is not None and one.request_id is not None and one.adjustment_id is not None:
            before, after = {"cost_pusd": one.booked_pusd}, {"cost_pusd": one.actual_pusd, "reason": one.reason}
            append_audit(connection, now_ms, actor, "adjustments.book", id_text(one.request_id), before, after)
    return found


def book_unattached(connection: sqlite3.Connection, costs: Sequence[UnattachedCost], now_ms: int) -> tuple[Booked, ...]:
    """Book what belongs to no request; one result for each cost, in order."""
    return tuple(_book_unattached(connection, each, now_ms) for each in costs)


def _correct(connection: sqlite3.Connection, wanted: Correction, now_ms: int) -> Booked:
    row = connection.execute(_REQUEST, (wanted.request_id,)).fetchone()
    if row is None:
        return _correct_removed(connection, wanted, now_ms)
    state, started_ms, day, holds_own_price, booked_pusd, *source = row
    if state not in ("settled", "released"):
        return _nothing(wanted, state, booked_pusd)
    if wanted.is_bill and holds_own_price:
        return _nothing(wanted, "refused", booked_pusd)
    attempt, charged = _charged(connection, wanted)
    spending = SpendingSource._make(source)
    place = _AmountPlace(wanted.request_id, attempt, started_ms, day, spending, charged, None, is_on_hour=False)
    return _book(connection, wanted, place, booked_pusd, now_ms)


def _charged(connection: sqlite3.Connection, wanted: Correction) -> tuple[int | None, AdjustedKey | None]:
    found = connection.execute(_CHARGED, (wanted.request_id, wanted.attempt)).fetchone()
    return (None, None) if found is None else (found[0], AdjustedKey(*found[1:]))


def _correct_removed(connection: sqlite3.Connection, wanted: Correction, now_ms: int) -> Booked:
    """Book on the hour of a request whose row is gone: by its last adjustment, or as the caller says."""
    removed, last = wanted.removed, connection.execute(_LAST, (wanted.request_id,)).fetchone()
    if last is not None:
        at_ms, day, booked_pusd, provider, key, *source = last
        charged = None if provider is None or key is None else AdjustedKey(provider, key)
        removed = RemovedRequest(at_ms, day, SpendingSource._make(source), booked_pusd, charged)
    if removed is None:
        return _nothing(wanted, "missing", 0)
    place = _AmountPlace(
        wanted.request_id,
        wanted.attempt,
        removed.at_ms,
        removed.day,
        removed.spending,
        removed.charged,
        None,
        is_on_hour=True,
    )
    return _book(connection, wanted, place, removed.booked_pusd, now_ms)


def _book_unattached(connection: sqlite3.Connection, cost: UnattachedCost, now_ms: int) -> Booked:
    earlier, booked_pusd = connection.execute(_REFERRED, (cost.reference,)).fetchone()
    known = connection.execute(_REFERENCE, (cost.reference,)).fetchone()
    at_ms, day, model, key = known or (cost.at_ms, cost.day, cost.model, cost.key)
    spending = SpendingSource("", "", model, cost.provider, "", "", "")
    charged = AdjustedKey(cost.provider, key)
    place = _AmountPlace(None, None, at_ms, day, spending, charged, cost.reference, is_on_hour=True)
    return _book(connection, cost, place, booked_pusd, now_ms, is_new=not earlier)


def _nothing(wanted: Correction, how: How, booked_pusd: int) -> Booked:
    return Booked(wanted.request_id, how, booked_pusd, 0, wanted.reason, wanted.source)


def _book(
    connection: sqlite3.Connection,
    wanted: Correction | UnattachedCost,
    place: _AmountPlace,
    booked_pusd: int,
    now_ms: int,
    *,
    is_new: bool = False,
) -> Booked:
    """Write the difference between what is true and what is booked, if there is any."""
    amount_pusd = wanted.actual_pusd - booked_pusd
    how: How = "adjusted" if amount_pusd else "unchanged"
    reason, source = fit_text(wanted.reason, TEXT_MAX), fit_text(wanted.source, TEXT_MAX)
    id_: int | None = None
    if amount_pusd < 0 and not _holds(connection, place, -amount_pusd):
        how, amount_pusd = "refused", 0
    elif amount_pusd:
        charged: tuple[Any, Any] = (
            (None, None) if place.charged is None else (place.charged.provider, place.charged.key)
        )
        what = (place.request_id, place.attempt, place.at_ms, now_ms, place.day, booked_pusd, amount_pusd)
        values = (*what, reason, source, place.reference, *charged, *place.spending)
        (id_,) = connection.execute(_INSERT, values).fetchone()
        moved = (_hour_ms(place.at_ms), *place.spending, amount_pusd)
        connection.execute(_MOVE, moved)
        add_to_days(connection, _MOVED, [moved])
    return Booked(
        request_id=place.request_id,
        how=how,
        booked_pusd=booked_pusd,
        amount_pusd=amount_pusd,
        reason=reason,
        source=source,
        reference=place.reference,
        adjustment_id=id_,
        at_ms=place.at_ms,
        spending=place.spending,
        charged=place.charged,
        is_on_hour=place.is_on_hour,
        is_new=is_new and id_ is not None,
    )


def _holds(connection: sqlite3.Connection, place: _AmountPlace, amount_pusd: int) -> bool:
    """Return whether the hour of the roll-up has as much as is to be taken from it."""
    found = connection.execute(_HOUR, (_hour_ms(place.at_ms), *place.spending)).fetchone()
    return found is not None and found[0] >= amount_pusd


def _hour_ms(at_ms: int) -> int:
    return at_ms - at_ms % HOUR_MS
