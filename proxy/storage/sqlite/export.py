"""Read the rows of an export: all columns or some, by time, user and model; constant memory.

Rows come in slices by id, each read in one short transaction, so that a long export neither holds the WAL nor waits for
the writer. What changes between two slices is seen as it is when its slice is read.
"""

import sqlite3
from collections.abc import Iterator
from typing import Any

import orjson

from proxy.core.counts import Counts
from proxy.core.glob import sql_glob
from proxy.core.pacer import Pacer
from proxy.storage.export import Row, Selection, Slice
from proxy.storage.sqlite.adjustments import with_late
from proxy.storage.sqlite.labels import RATE_OF_ROW
from proxy.storage.sqlite.usage import id_range

COST = with_late("r.cost_pusd", "a.amount_pusd")

_UNCACHED = (
    "r.input_tokens - min(r.input_tokens, ifnull(r.cached_tokens, 0) + ifnull(r.cache_write_tokens, 0)"
    " + ifnull(r.audio_input_tokens, 0) + ifnull(r.image_input_tokens, 0))"
)
_VISIBLE = (
    "r.output_tokens - min(r.output_tokens, ifnull(r.reasoning_tokens, 0) + ifnull(r.audio_output_tokens, 0)"
    " + ifnull(r.image_output_tokens, 0))"
)
# of the last attempt: the row knows that of the first
_KEY_HASH = """(SELECT hash FROM key_hashes WHERE id = CASE WHEN r.attempts > 1
    THEN (SELECT key_id FROM attempt_rows WHERE request_id = r.id AND n = r.attempts) ELSE r.key_id END)"""

# name -> how it is read
COLUMNS_SQL: dict[str, str] = {
    "request_id": "'req_' || printf('%016x', r.id)",
    "ts": "strftime('%Y-%m-%dT%H:%M:%S', r.started_ms / 1000, 'unixepoch') || printf('.%03dZ', r.started_ms % 1000)",
    "day": "r.day",
    "user": "r.user",
    "group_name": "r.group_name",
    "token_id": "r.token_id",
    "endpoint": "r.endpoint",
    "use_case": "r.use_case",
    "session_id": "r.session_id",
    "tags": "r.tags",
    "requested_model": "r.requested_model",
    "model": "r.model",
    "provider": "r.provider",
    "status": "r.status",
    "state": "r.state",
    "input_tokens": "r.input_tokens",
    "output_tokens": "r.output_tokens",
    "cached_tokens": "r.cached_tokens",
    "reasoning_tokens": "r.reasoning_tokens",
    "total_tokens": "r.input_tokens + r.output_tokens",
    "cost_pusd": COST,
    "cost_usd": COST,
    "cost_local": f"({COST}) || ' ' || {RATE_OF_ROW}",
    "cost_source": "r.cost_source",
    "reserved_pusd": "r.reserved_pusd",
    "generation_id": "r.generation_id",
    "attempts": "r.attempts",
    "streamed": "r.streamed",
    "ttft_ms": "r.ttft_ms",
    "duration_ms": "r.duration_ms",
    "error": "r.error",
    "finish_reason": "r.finish_reason",
    "flags": "r.flags",
    **{name: f"r.{name}" for name in Counts._fields},
    "uncached_input_tokens": _UNCACHED,
    "visible_output_tokens": _VISIBLE,
    "is_byok": "r.is_byok",
    "upstream_cost_pusd": "r.upstream_cost_pusd",
    "endpoint_id": "r.endpoint_id",
    "permaslug": "r.permaslug",
    "key_hash": _KEY_HASH,
}
SLICE_IDS = 5000  # a few MB in memory and some ten milliseconds a transaction
_SHORT_SLICE_IDS = 100  # less than a millisecond where SQLite writes the lines


def slices(connection: sqlite3.Connection, selection: Selection, ids_at_once: int = SLICE_IDS) -> Iterator[Slice]:
    """Read what was there when the first slice was asked for. connection is in autocommit mode (open_reader)."""
    first, last = id_range(connection, selection.since_ms, selection.until_ms)
    after = start = first - 1
    while after < last:
        count = next_slice_ids(ids_at_once)
        found = connection.execute(
            "SELECT id FROM requests WHERE id > ? AND id <= ? ORDER BY id LIMIT 1 OFFSET ?", (after, last, count - 1)
        ).fetchone()
        upto = last if found is None else found[0]
        rows = read_values(connection, selection, after, upto)
        after = upto
        yield Slice(rows, (after - start) / (last - start))


def next_slice_ids(most: int) -> int:
    """Return how many ids the next slice may have, at a moment with no transaction; first stand still if it is time to.

    Beside requests slices are short: while a transaction is open SQLite cannot begin its WAL anew, and one that stands
    still stays open for long. A WAL that grows makes each commit several times as slow.
    """
    pacer = Pacer.of_this_process()
    if pacer is None:
        return most
    pacer.pause()
    return min(most, _SHORT_SLICE_IDS) if pacer.is_pausing else most


LATE_JOIN = """LEFT JOIN (SELECT request_id, sum(amount_pusd) AS amount_pusd FROM adjustments
    WHERE request_id > :after AND request_id <= :upto GROUP BY request_id) a ON a.request_id = r.id"""


def read_values(connection: sqlite3.Connection, selection: Selection, after: int, upto: int) -> list[Row]:
    """Return the selected rows with ids above after up to upto, in the order of their ids."""
    condition, values = selected(selection, after, upto)
    columns = ", ".join(COLUMNS_SQL[name] for name in selection.columns)
    query = f"SELECT {columns} FROM requests r {LATE_JOIN} WHERE {condition} ORDER BY r.id"  # noqa: S608 - constants
    return connection.execute(query, values).fetchall()


def selected(selection: Selection, after: int, upto: int) -> tuple[str, dict[str, Any]]:
    """Return what rows with ids above after up to upto must fulfil, in SQL over r, with its values."""
    conditions, values = ["r.id > :after", "r.id <= :upto"], dict[str, Any](after=after, upto=upto)
    for name, sign in (("since_ms", ">="), ("until_ms", "<")):
        value = getattr(selection, name)
        if value is not None:
            conditions.append(f"r.started_ms {sign} :{name}")
            values[name] = value
    if selection.users:
        conditions.append("r.user IN (SELECT value FROM json_each(:users))")
        values["users"] = orjson.dumps(selection.users).decode()
    if selection.models:
        conditions.append(of_models("r.model", "r.requested_model"))
        values["models"] = models_value(selection)
    return " AND ".join(conditions), values


def of_models(*columns: str) -> str:
    """Return the condition that one of the columns is a model of the selection, whose models_value() is :models."""
    names = " OR ".join(f"{column} GLOB value" for column in columns)
    return f"EXISTS (SELECT 1 FROM json_each(:models) WHERE {names})"  # noqa: S608 - columns


def models_value(selection: Selection) -> str:
    """Return the models of a selection for of_models()."""
    return orjson.dumps([sql_glob(pattern) for pattern in selection.models]).decode()
