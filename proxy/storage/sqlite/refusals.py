"""The statements of the table refusals."""

import sqlite3
from collections.abc import Sequence

from proxy.storage.refusals import RefusalRow
from proxy.storage.rows import id_floor

_INSERT = (
    f"INSERT OR IGNORE INTO refusals ({', '.join(RefusalRow._fields)})"  # noqa: S608 - names of columns
    f" VALUES ({', '.join('?' * len(RefusalRow._fields))})"
)
_REMOVE = "DELETE FROM refusals WHERE id IN (SELECT id FROM refusals WHERE id <= ? ORDER BY id LIMIT ?)"
_BEYOND_COUNT = "SELECT id FROM refusals ORDER BY id DESC LIMIT 1 OFFSET ?"
_BEYOND_AGE = "SELECT max(id) FROM refusals WHERE id < ?"


def add_refusals(connection: sqlite3.Connection, rows: Sequence[RefusalRow]) -> None:
    """Write refusals, in the writer's transaction; one that is there already stays as it is."""
    connection.executemany(_INSERT, rows)


def remove_refusals(connection: sqlite3.Connection, upto_id: int, count: int) -> int:
    """Remove the oldest refusals, up to an id and count at most; return how many went."""
    return connection.execute(_REMOVE, (upto_id, count)).rowcount


def surplus_refusal(connection: sqlite3.Connection, before_ms: int, count_max: int) -> int | None:
    """Return the newest refusal that is older than before_ms or beyond count_max newer ones; None: there is none."""
    found = [
        row[0]
        for row in (
            connection.execute(_BEYOND_COUNT, (count_max,)).fetchone(),
            connection.execute(_BEYOND_AGE, (id_floor(max(0, before_ms)),)).fetchone(),
        )
        if row is not None and row[0] is not None
    ]
    return max(found, default=None)
