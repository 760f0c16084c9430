"""The statements of the table refusals."""

import sqlite3
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from typing import Any
from zoneinfo import ZoneInfo

from proxy.policy.time_segments import TIME_WORDS, TimeSegment, label_order, time_segments
from proxy.storage.refusals import RefusalRow, RefusalSelection, RefusalSum
from proxy.storage.rows import id_floor

_INSERT = (
    f"INSERT OR IGNORE INTO refusals ({', '.join(RefusalRow._fields)})"  # noqa: S608 - names of columns
    f" VALUES ({', '.join('?' * len(RefusalRow._fields))})"
)
_REMOVE = "DELETE FROM refusals WHERE id IN (SELECT id FROM refusals WHERE id <= ? ORDER BY id LIMIT ?)"
_BEYOND_COUNT = "SELECT id FROM refusals ORDER BY id DESC LIMIT 1 OFFSET ?"
_BEYOND_AGE = "SELECT max(id) FROM refusals WHERE id < ?"

_COLUMNS = {"group": "group_name", "token": "token_id", "session": "session_id"}  # of words that are named otherwise
_QUANTUM_MS = 900_000  # hours of every zone begin with one


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


def sum_refusals(connection: sqlite3.Connection, wanted: RefusalSelection, zone: ZoneInfo) -> list[RefusalSum]:
    """Count refused requests of a selection: times in order, then the most frequent first."""
    values: dict[str, Any] = {
        "since": wanted.since_ms,
        "until": wanted.until_ms,
        "first": 0 if wanted.since_ms is None else id_floor(max(0, wanted.since_ms)),
        "user": wanted.user,
        "error": wanted.error,
        "quantum": _QUANTUM_MS,
    }
    texts = [word for word in wanted.by if word not in TIME_WORDS]
    is_timed = len(texts) < len(wanted.by)
    keys = [f"ifnull(CAST({_COLUMNS.get(word, word)} AS TEXT), '')" for word in texts]
    keys += ["started_ms / :quantum"] if is_timed else []
    rows = connection.execute(_sum_query(keys), values).fetchall()
    segments = _segments(rows, wanted, zone) if is_timed else []
    counts: Counter[tuple[str, ...]] = Counter()
    for *key, number in rows:
        if number is not None:  # without a key there is a row also where there is nothing
            labels = _labels_at(segments, key.pop() * _QUANTUM_MS) if is_timed else ()
            counts[_whole(wanted.by, labels, key)] += number
    times = [n for n, word in enumerate(wanted.by) if word in TIME_WORDS]
    found = [RefusalSum(key, number) for key, number in counts.items()]
    return sorted(found, key=lambda one: ([label_order(one.key[n]) for n in times], -one.requests, one.key))


def _sum_query(keys: Sequence[str]) -> str:
    group = f" GROUP BY {', '.join(str(n + 1) for n in range(len(keys)))}" if keys else ""
    return (
        f"SELECT {''.join(f'{key}, ' for key in keys)} sum(1 + more) FROM refusals WHERE id >= :first"  # noqa: S608
        " AND (:since IS NULL OR started_ms >= :since) AND (:until IS NULL OR started_ms < :until)"
        f" AND (:user IS NULL OR user = :user) AND (:error IS NULL OR error = :error){group}"
    )


def _segments(rows: Sequence[tuple[Any, ...]], wanted: RefusalSelection, zone: ZoneInfo) -> list[TimeSegment]:
    """Return the windows that any refusal lies in."""
    places = [row[-2] for row in rows]
    if not places:
        return []
    words = [word for word in wanted.by if word in TIME_WORDS]
    start_ms, end_ms = min(places) * _QUANTUM_MS, (max(places) + 1) * _QUANTUM_MS
    return list(time_segments(start_ms, end_ms, zone, words))


def _labels_at(segments: Sequence[TimeSegment], at_ms: int) -> tuple[str, ...]:
    return segments[bisect_right(segments, at_ms, key=lambda one: one.start_ms) - 1].labels


def _whole(by: Sequence[str], labels: Sequence[str], key: Sequence[str]) -> tuple[str, ...]:
    """Return a key with its labels of time in their places."""
    times, texts = iter(labels), iter(key)
    return tuple(next(times if word in TIME_WORDS else texts) for word in by)
