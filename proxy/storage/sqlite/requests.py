"""Single requests and refusals, newest first, by ranges of ids: the hot table has no other index.

A page reads slices of some thousand rows until it is full or has read enough; what matches little takes several pages,
each of which is a short look.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any, Final

from msgspec.structs import asdict

from proxy.core.glob import sql_glob
from proxy.storage.request_reports import (
    REFUSED,
    AttemptEntry,
    AttemptFilter,
    AttemptPage,
    KeptSince,
    RefusalCount,
    RequestEntry,
    RequestFilter,
    RequestPage,
)
from proxy.storage.rows import id_floor
from proxy.storage.sqlite.adjustments import with_late
from proxy.storage.sqlite.own_usage import id_bounds

_SLICE_ROWS: Final = 5000
_SLICES_MAX: Final = 12
_AHEAD_MS = 2 * 86_400_000  # how far ids may be ahead of the clock after it was set back
_END = 1 << 62  # beyond every id

# corrections of a range of ids, read once: many rows are asked about
_LATE = (
    "WITH late AS MATERIALIZED (SELECT request_id, sum(amount_pusd) AS pusd FROM adjustments"
    " WHERE request_id >= :lower AND request_id < :upper GROUP BY request_id) "
)
_COST = with_late("cost_pusd", "late.pusd")
_OF_REQUESTS = {"cost_pusd": _COST}
_OF_REFUSALS = {
    "finished_ms": "started_ms + duration_ms",
    "state": f"'{REFUSED}'",
    "cost_pusd": "0",
    "cost_source": "'none'",
    "streamed": "0",
    "attempts": "0",
}
_REFUSAL_COLUMNS = frozenset(
    {
        *("id", "started_ms", "user", "group_name", "token_id", "endpoint", "requested_model", "use_case"),
        *("session_id", "status", "error", "duration_ms", "address", "param", "fault", "reason", "limit_json", "more"),
    }
)
_OWN_TO_REFUSALS = RequestEntry._fields[RequestEntry._fields.index("address") :]


def _requests_column(name: str) -> str:
    if name in _OWN_TO_REFUSALS:
        return "0" if name == "more" else "NULL"
    return _OF_REQUESTS.get(name, name)


def _refusals_column(name: str) -> str:
    return _OF_REFUSALS.get(name) or (name if name in _REFUSAL_COLUMNS else "NULL")


_REQUESTS = (
    f"{_LATE}SELECT {', '.join(map(_requests_column, RequestEntry._fields))} FROM requests"  # noqa: S608
    " LEFT JOIN late ON late.request_id = requests.id WHERE "
)
_REFUSALS = f"SELECT {', '.join(map(_refusals_column, RequestEntry._fields))} FROM refusals WHERE "  # noqa: S608
_ATTEMPTS = f"SELECT {', '.join(AttemptEntry._fields)} FROM attempts WHERE "  # noqa: S608 - names of columns

# conditions of a filter that both tables can answer, and what only one of them can
_BOTH = {
    "user": "user = :user",
    "group": "group_name = :group",
    "token_id": "token_id = :token_id",
    "status_from": "status >= :status_from",
    "status_below": "status < :status_below",
    "error": "error = :error",
    "endpoint": "endpoint = :endpoint",
    "use_case": "use_case = :use_case",
    "session_id": "session_id = :session_id",
    "since_ms": "started_ms >= :since_ms",
    "until_ms": "started_ms < :until_ms",
}
_REQUESTS_ONLY = {
    "model": "(requested_model GLOB :model OR model GLOB :model)",
    "provider": "(provider = :provider OR target_provider = :provider)",
    "state": "state = :state",
    "text": "instr(lower(error), lower(:text)) > 0",
    "cost_min_pusd": f"{_COST} >= :cost_min_pusd",
    "charged_in_full": ":charged_in_full = (state = 'settled' AND cost_source = 'reservation'"
    " AND ifnull(cost_pusd, 0) > 0 AND late.request_id IS NULL AND (generation_id IS NULL OR EXISTS"
    " (SELECT 1 FROM attempt_rows WHERE request_id = requests.id AND attempt_rows.cost_source = 'reservation'"
    " AND attempt_rows.generation_id IS NULL)))",
    "generation_id": "(generation_id = :generation_id OR EXISTS (SELECT 1 FROM attempt_rows"
    " WHERE request_id = requests.id AND attempt_rows.generation_id = :generation_id))",
}
_REFUSALS_ONLY = {
    "model": "requested_model GLOB :model",
    "text": "instr(lower(error || ' ' || ifnull(reason, '')), lower(:text)) > 0",
}
_NOT_OF_REFUSALS = ("provider", "cost_min_pusd", "generation_id", "charged_in_full")
_OF_ATTEMPTS = {
    "request_id": "request_id = :request_id",
    "provider": "provider = :provider",
    "key": "key = :key",
    "model": "model GLOB :model",
    "outcome": "outcome = :outcome",
    "since_ms": "started_ms >= :since_ms",
    "until_ms": "started_ms < :until_ms",
}


def find_requests(
    connection: sqlite3.Connection, wanted: RequestFilter, before_id: int | None, count: int
) -> RequestPage:
    """Return a page; connection is in one transaction."""
    values = _values(wanted)
    asked = _queries(wanted)
    first = max(_first_id(wanted.since_ms), (wanted.after_id or -1) + 1)
    found: list[RequestEntry] = []
    for lower, upper in _slices(connection, ("requests", "refusals"), first, _upper(before_id, wanted.until_ms)):
        bounds = {**values, "lower": lower, "upper": upper, "count": count - len(found)}
        rows = [row for query in asked for row in connection.execute(query, bounds)]
        found += map(RequestEntry._make, sorted(rows, reverse=True)[: count - len(found)])
        if len(found) >= count:
            return RequestPage(found, found[-1].id)
        before_id = lower
        if lower <= first:
            return RequestPage(found, None)
    return RequestPage(found, before_id)


def _queries(wanted: RequestFilter) -> Sequence[str]:
    """Return the statements that a filter needs: of tables that can hold what it asks for."""
    given = {name for name, value in asdict(wanted).items() if value is not None}
    queries = []
    if wanted.state != REFUSED:
        queries.append(_REQUESTS + _conditions(given, {**_BOTH, **_REQUESTS_ONLY}))
    if wanted.state in (None, REFUSED) and not given.intersection(_NOT_OF_REFUSALS):
        queries.append(_REFUSALS + _conditions(given, {**_BOTH, **_REFUSALS_ONLY}))
    return queries


def _values(wanted: RequestFilter | AttemptFilter) -> dict[str, Any]:
    """Return what a filter asks for as the statements take it."""
    values = asdict(wanted)
    return values if wanted.model is None else {**values, "model": sql_glob(wanted.model)}


def _conditions(given: set[str], known: dict[str, str]) -> str:
    conditions = ["id >= :lower", "id < :upper", *(text for name, text in known.items() if name in given)]
    return f"{' AND '.join(conditions)} ORDER BY id DESC LIMIT :count"


def _first_id(since_ms: int | None) -> int:
    return 0 if since_ms is None else min(_END, id_floor(max(0, since_ms)))


def _upper(before_id: int | None, until_ms: int | None) -> int:
    until_id = _END if until_ms is None else id_floor(until_ms + _AHEAD_MS)
    return min(until_id, _END if before_id is None else before_id)


def _slices(connection: sqlite3.Connection, tables: Sequence[str], first: int, upper: int) -> Iterator[tuple[int, int]]:
    """Yield ranges [lower, upper) of ids from the newest back, of so many rows at most in each table."""
    for _ in range(_SLICES_MAX):
        lower = first
        for table in tables:
            row = connection.execute(
                f"SELECT id FROM {table} WHERE id >= ? AND id < ? ORDER BY id DESC LIMIT 1 OFFSET ?",  # noqa: S608
                (first, upper, _SLICE_ROWS - 1),
            ).fetchone()
            lower = max(lower, first if row is None else row[0])
        yield lower, upper
        upper = lower


def find_request(
    connection: sqlite3.Connection, id_: str, now_ms: int
) -> tuple[RequestEntry, Sequence[AttemptEntry]] | None:
    """Find a request by its own id or a generation's; connection is in one transaction."""
    first, end, generation_id = id_bounds(id_, now_ms)
    wanted, bounds = RequestFilter(generation_id=generation_id), {"lower": first, "upper": end, "count": 1}
    for query in _queries(wanted):
        row = connection.execute(query, {**asdict(wanted), **bounds}).fetchone()
        if row is not None:
            entry = RequestEntry._make(row)
            of_it = f"{_ATTEMPTS} request_id = ? ORDER BY n"
            return entry, list(map(AttemptEntry._make, connection.execute(of_it, (entry.id,))))
    return None


def find_attempts(
    connection: sqlite3.Connection, wanted: AttemptFilter, before: tuple[int, int] | None, count: int
) -> AttemptPage:
    """Return a page; connection is in one transaction."""
    values = {name: value for name, value in _values(wanted).items() if value is not None}
    conditions = " AND ".join(_OF_ATTEMPTS[name] for name in values)
    query = (
        f"{_ATTEMPTS} request_id >= :lower AND request_id < :upper"
        " AND (request_id < :before OR n < :before_n)"
        f"{f' AND {conditions}' if conditions else ''} ORDER BY request_id DESC, n DESC LIMIT :count"
    )
    before_id, before_n = before or (_END, 0)
    first, upper = _first_id(wanted.since_ms), _upper(before_id + 1, wanted.until_ms)
    if wanted.request_id is not None:
        first, upper = wanted.request_id, min(upper, wanted.request_id + 1)
    found: list[AttemptEntry] = []
    for lower, below in _slices(connection, ("requests",), first, upper):
        bounds = {"lower": lower, "upper": below, "before": before_id, "before_n": before_n}
        rows = connection.execute(query, {**values, **bounds, "count": count - len(found)})
        found += map(AttemptEntry._make, rows)
        if len(found) >= count:
            return AttemptPage(found, (found[-1].request_id, found[-1].n))
        if lower <= first:
            return AttemptPage(found, None)
        upper = lower
    return AttemptPage(found, (upper, 0))


def count_refusals(connection: sqlite3.Connection, since_ms: int) -> list[RefusalCount]:
    """Count refusals since a time by status and code."""
    query = (
        "SELECT status, error, sum(1 + more) FROM refusals WHERE id >= ? AND started_ms >= ?"
        " GROUP BY status, error ORDER BY 3 DESC, status, error"
    )
    return list(map(RefusalCount._make, connection.execute(query, (id_floor(since_ms), since_ms))))


def kept_since(connection: sqlite3.Connection) -> KeptSince:
    """Return how far back single requests and refusals go."""
    oldest: list[Any] = [
        connection.execute(f"SELECT started_ms FROM {table} ORDER BY id LIMIT 1").fetchone()  # noqa: S608
        for table in ("requests", "refusals")
    ]
    return KeptSince(*(None if row is None else row[0] for row in oldest))
