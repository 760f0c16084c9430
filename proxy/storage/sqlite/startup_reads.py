"""Read what a start needs before a request is let in: quota totals, the use of keys, how targets did lately.

Reads the roll-up, and single rows only of the hours that a window may begin in the middle of: start-up does not grow
with the number of requests.
"""

import json
import sqlite3
from collections.abc import Collection

from proxy.policy.quota import FineRows, SettledRow
from proxy.policy.quota.window import HOUR_MS
from proxy.storage.reports import PastAttempt, QuotaTotals
from proxy.storage.rows import id_floor
from proxy.storage.sqlite import statements

_PART = 1_000_000_000  # as in statements.QUOTA_HOURS


def read_totals(
    connection: sqlite3.Connection,
    fine: FineRows,
    use_case: str | None = None,
    without: Collection[int] = (),
) -> QuotaTotals:
    """Return all that was settled, each amount once, as an hour or as a row; of one use case if given.

    without: requests of the last hours that are to be left out.
    """
    summed = connection.execute(statements.QUOTA_HOURS, (fine.since_ms, use_case))
    # a sum of 64 bits would end the start where it overflows; two of parts never do
    found = (
        SettledRow(hour_ms, user, group, high * _PART + low, tokens, count, tuple(pieces))
        for hour_ms, user, group, high, low, tokens, count, *pieces in summed
    )
    hours = [row for row in found if row.at_ms not in fine.hours] if fine.hours else list(found)
    rows: list[SettledRow] = []
    for begin_ms, end_ms in _spans(fine):
        known = json.dumps(list(without))
        begun = connection.execute(statements.QUOTA_ROWS, (id_floor(begin_ms), id_floor(end_ms), use_case, known))
        rows += [
            row for row in (SettledRow._make((*found[:6], found[6:])) for found in begun) if fine.covers(row.at_ms)
        ]
    return QuotaTotals(hours, rows)


def _spans(fine: FineRows) -> list[tuple[int, int]]:
    single = [(hour_ms, hour_ms + HOUR_MS) for hour_ms in sorted(fine.hours) if hour_ms < fine.since_ms]
    return [*single, (fine.since_ms, 1 << 41)]


# a single attempt stands in its request's row; of what has no figure yet the most that it may cost counts
_SINGLE = """
SELECT started_ms, ifnull(cost_pusd, ifnull(reserved_pusd, 0)) FROM requests
WHERE id >= ?1 AND target_provider = ?2 AND key = ?3
    AND NOT EXISTS (SELECT 1 FROM attempt_rows WHERE request_id = requests.id)
"""
_SEVERAL = """
SELECT started_ms, ifnull(cost_pusd, ifnull(reserved_pusd, 0)) FROM attempt_rows
WHERE request_id >= ?1 AND provider = ?2 AND key = ?3
"""


def read_key_use(connection: sqlite3.Connection, provider: str, key: str, since_ms: int) -> list[tuple[int, int]]:
    """Return start and cost (pico-USD) of each attempt with a key. It scans rows; only limits of keys need it."""
    arguments = (id_floor(since_ms), provider, key)
    return [*connection.execute(_SINGLE, arguments), *connection.execute(_SEVERAL, arguments)]


_REQUESTS_MAX = 1000  # what came before these says little about now, and a start must not wait
_FIRST = "SELECT min(id) FROM (SELECT id FROM requests WHERE id >= ? ORDER BY id DESC LIMIT ?)"
_RECENT = (
    "SELECT provider, model, outcome, status, ttft_ms FROM attempts WHERE request_id >= ? AND outcome <> 'open'"
    " ORDER BY request_id, n"
)


def recent_attempts(connection: sqlite3.Connection, since_ms: int) -> list[PastAttempt]:
    """Return attempts of the last requests since a time, oldest first; both queries read the table's end only."""
    first = connection.execute(_FIRST, (id_floor(since_ms), _REQUESTS_MAX)).fetchone()[0]
    if first is None:
        return []
    return [PastAttempt(*row) for row in connection.execute(_RECENT, (first,))]
