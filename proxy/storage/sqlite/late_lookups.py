"""The attempts whose cost may be told later, in their table: written with the end of a request, in its transaction."""

import sqlite3
from collections.abc import Sequence

from proxy.storage.late_lookup import LateLookup, LookupNote, may_be_told
from proxy.storage.rows import RequestEnd

_ADD = "INSERT OR IGNORE INTO late_lookups (request_id, attempt, next_ms) VALUES (?, ?, ?)"

# a single attempt stands in its request's row
_READ = """
SELECT l.request_id, l.attempt, l.tries, r.started_ms, r.user, r.group_name, ifnull(a.provider, r.target_provider),
    ifnull(a.key, r.key), ifnull(a.model, r.target_model), ifnull(a.generation_id, r.generation_id),
    ifnull((SELECT sum(cost_pusd) FROM attempt_rows WHERE request_id = l.request_id AND n <> l.attempt), 0)
        + ifnull((SELECT sum(amount_pusd) FROM adjustments WHERE request_id = l.request_id
            AND attempt IS NOT l.attempt), 0)
FROM late_lookups l JOIN requests r ON r.id = l.request_id
    LEFT JOIN attempt_rows a ON a.request_id = l.request_id AND a.n = l.attempt
WHERE (l.request_id, l.attempt) > (?1, ?2) AND (?3 IS NULL OR l.next_ms <= ?3)
ORDER BY l.request_id, l.attempt LIMIT ?4
"""
_AGAIN = "UPDATE late_lookups SET tries = tries + 1, next_ms = ?3 WHERE request_id = ?1 AND attempt = ?2"
_DONE = "DELETE FROM late_lookups WHERE request_id = ?1 AND attempt = ?2"


def add_lookups(connection: sqlite3.Connection, ends: Sequence[RequestEnd]) -> None:
    """Write down the attempts of requests that have ended whose cost may be told later."""
    for end in ends:
        for one in end.attempt_ends:
            if may_be_told(end, one):
                connection.execute(_ADD, (end.id, one.n, end.started_ms))


def note_lookups(connection: sqlite3.Connection, notes: Sequence[LookupNote]) -> None:
    """Write what became of some."""
    for note in notes:
        if note.next_ms is None:
            connection.execute(_DONE, note[:2])
        else:
            connection.execute(_AGAIN, note)


def read_lookups(
    connection: sqlite3.Connection, due_ms: int | None, after: tuple[int, int], count: int
) -> list[LateLookup]:
    """Return those that are due, or all where due_ms is None, in order from after (request, attempt) on."""
    return list(map(LateLookup._make, connection.execute(_READ, (*after, due_ms, count))))
