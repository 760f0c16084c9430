"""Remove old rows; the roll-up keeps their sums.

A row goes with its attempts, or not at all; its adjustments stay, so that what it turned out to have cost is not booked
again. Never removed: open and pending rows, all rows of an hour
with one of these, rows that a quota total may be rebuilt from, the newest row (new ids follow it). How far rows were
removed is stored in ``meta``, in the same transaction.
"""

import sqlite3
from collections.abc import Collection, Sequence
from zoneinfo import ZoneInfo

import orjson
from msgspec.structs import replace

from proxy.policy.quota import FineRows, Quota
from proxy.policy.quota.window import HOUR_MS
from proxy.storage.removal import RemovalPlan, removable
from proxy.storage.rows import id_floor

_MARK = "rows_removed_before_ms"
_DAY_MS = 24 * HOUR_MS


_FIND = f"""
SELECT id FROM requests
WHERE id > ?1 AND id < ?2 AND id < (SELECT max(id) FROM requests) AND state IN ('settled', 'released')
    AND started_ms - started_ms % {HOUR_MS} NOT IN (SELECT value FROM json_each(?3))
    AND user NOT IN (SELECT value FROM json_each(?4))
    AND ifnull(group_name, '') NOT IN (SELECT value FROM json_each(?5))
    AND (groups_above IS NULL OR NOT EXISTS (
        SELECT 1 FROM json_each(?5) WHERE instr(' ' || groups_above || ' ', ' ' || value || ' ')))
ORDER BY id LIMIT ?6
"""  # noqa: S608 - a constant


def plan_removal(
    connection: sqlite3.Connection, age_ms: int, now_ms: int, zone: ZoneInfo, quotas: Collection[Quota]
) -> RemovalPlan:
    """Return what may be removed from this ledger.

    Age counts back from a day after the newest request at most: a clock that starts years ahead empties nothing. Hours
    in which a request is open or pending are kept, for their sums still change; older hours gain no new ones.
    """
    newest = connection.execute("SELECT started_ms FROM requests ORDER BY id DESC LIMIT 1").fetchone()
    if newest is not None:
        now_ms = min(now_ms, newest[0] + _DAY_MS)
    unfinished = connection.execute("SELECT started_ms FROM requests WHERE state IN ('open', 'pending')")
    hours = {started_ms - started_ms % HOUR_MS for (started_ms,) in unfinished}
    what = removable(age_ms, now_ms, zone, quotas)
    return replace(what, hours=what.hours | hours)


def find_removable(connection: sqlite3.Connection, what: RemovalPlan, after_id: int, count: int) -> list[int]:
    """List ids of up to count rows that may go, from after_id on. Reads only; any connection will do."""
    limits = (orjson.dumps(list(texts)).decode() for texts in (what.hours, what.users, what.groups))
    return [row[0] for row in connection.execute(_FIND, (after_id, id_floor(what.before_ms), *limits, count))]


def remove_rows(connection: sqlite3.Connection, ids: Sequence[int]) -> int:
    """Remove rows that have ended, in the writer's transaction; give how many went."""
    wanted = orjson.dumps(list(ids)).decode()
    gone = connection.execute(
        "DELETE FROM requests WHERE id IN (SELECT value FROM json_each(?)) AND state IN ('settled', 'released')"
        " RETURNING id, started_ms",
        (wanted,),
    ).fetchall()
    if not gone:
        return 0
    listed = orjson.dumps([id_ for id_, _ in gone]).decode()
    for table in ("attempt_rows", "late_lookups"):
        connection.execute(
            f"DELETE FROM {table} WHERE request_id IN (SELECT value FROM json_each(?))",  # noqa: S608 - see above
            (listed,),
        )
    last_ms = max(started_ms for _, started_ms in gone)
    mark_ms = max(removed_before_ms(connection), last_ms - last_ms % HOUR_MS + HOUR_MS)
    connection.execute(
        "INSERT INTO meta VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value", (_MARK, str(mark_ms))
    )
    return len(gone)


def removed_before_ms(connection: sqlite3.Connection) -> int:
    """Return the time before which rows may have been removed; 0 if none ever were."""
    found = connection.execute("SELECT value FROM meta WHERE name = ?", (_MARK,)).fetchone()
    return 0 if found is None else int(found[0])


def readable_rows(connection: sqlite3.Connection, fine: FineRows) -> FineRows:
    """Return the hours whose rows remain: totals take others from the roll-up, in full, on the limit's side.

    Such hours are wanted after the time zone was changed to one that is off UTC by parts of an hour.
    """
    mark_ms = removed_before_ms(connection)
    gone = {hour_ms for hour_ms in fine.hours if hour_ms < mark_ms and _is_thinned(connection, hour_ms)}
    return fine._replace(hours=fine.hours - gone)


def _is_thinned(connection: sqlite3.Connection, hour_ms: int) -> bool:
    rows, counted = connection.execute(
        "SELECT (SELECT count(*) FROM requests WHERE id >= ?1 AND id < ?2 AND state IN ('settled', 'released')"
        " AND started_ms >= ?3 AND started_ms < ?4),"
        " (SELECT ifnull(sum(requests), 0) FROM usage_hourly WHERE hour_ms = ?3)",
        (id_floor(hour_ms), id_floor(hour_ms + HOUR_MS), hour_ms, hour_ms + HOUR_MS),
    ).fetchone()
    return bool(rows < counted)
