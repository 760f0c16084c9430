"""Read what a start needs before a request is let in: quota totals, the use of keys, how targets did lately.

Reads the roll-up, and single rows only of the hours that a window may begin in the middle of: start-up does not grow
with the number of requests.
"""

import json
import sqlite3
from collections.abc import Collection
from itertools import chain

from proxy.policy.quota import FineRows, SettledRow
from proxy.policy.quota.window import HOUR_MS
from proxy.storage.reports import EVERYTHING, LimitPart, PastAttempt, QuotaTotals
from proxy.storage.rows import id_floor
from proxy.storage.sqlite import statements
from proxy.storage.sqlite.model_sets import know_models, patterns_text

_PART = 1_000_000_000  # as in statements.QUOTA_HOURS


def read_totals(
    connection: sqlite3.Connection,
    fine: FineRows,
    part: LimitPart = EVERYTHING,
    without: Collection[int] = (),
) -> QuotaTotals:
    """Return all that was settled in a part of the spending, each amount once, as an hour or as a row.

    without: requests of the last hours that are to be left out.
    """
    know_models(connection)
    patterns = patterns_text(part.models)
    summed = connection.execute(statements.QUOTA_HOURS, (fine.since_ms, part.use_case, patterns))
    # a sum of 64 bits would end the start where it overflows; two of parts never do
    by_hour = (
        SettledRow(hour_ms, user, group, high * _PART + low, tokens, count, tuple(pieces), above)
        for hour_ms, user, group, above, high, low, tokens, count, *pieces in summed
    )
    hours = [row for row in by_hour if row.at_ms not in fine.hours] if fine.hours else list(by_hour)
    rows: list[SettledRow] = []
    for begin_ms, end_ms in _spans(fine):
        known = json.dumps(list(without))
        of_part = (part.use_case, known, patterns)
        found = chain(
            connection.execute(statements.QUOTA_ROWS, (id_floor(begin_ms), id_floor(end_ms), *of_part)),
            connection.execute(statements.QUOTA_ADJUSTMENTS, (begin_ms, end_ms, *of_part)),
        )
        for at_ms, user, group, above, cost_pusd, tokens, count, *pieces in found:
            if fine.covers(at_ms):
                rows.append(SettledRow(at_ms, user, group, cost_pusd, tokens, count, tuple(pieces), above))
    return QuotaTotals(hours, rows)


def _spans(fine: FineRows) -> list[tuple[int, int]]:
    single = [(hour_ms, hour_ms + HOUR_MS) for hour_ms in sorted(fine.hours) if hour_ms < fine.since_ms]
    return [*single, (fine.since_ms, 1 << 41)]


# a single attempt stands in its request's row; of what has no figure yet the most that it may cost counts
_SINGLE = """
SELECT started_ms, ifnull(cost_pusd, ifnull(reserved_pusd, 0))
    + ifnull((SELECT sum(amount_pusd) FROM adjustments WHERE request_id = requests.id), 0) FROM requests
WHERE id >= ?1 AND target_provider = ?2 AND key = ?3
    AND NOT EXISTS (SELECT 1 FROM attempt_rows WHERE request_id = requests.id)
"""
_SEVERAL = """
SELECT started_ms, ifnull(cost_pusd, ifnull(reserved_pusd, 0))
    + ifnull((SELECT sum(amount_pusd) FROM adjustments WHERE request_id = attempt_rows.request_id
        AND attempt = attempt_rows.n), 0) FROM attempt_rows
WHERE request_id >= ?1 AND provider = ?2 AND key = ?3
"""
# what belongs to no request counts as one
_UNATTACHED = """
SELECT at_ms, sum(amount_pusd) FROM adjustments
WHERE at_ms >= ?1 AND charged_provider = ?2 AND charged_key = ?3 AND reference IS NOT NULL GROUP BY reference
"""


def read_key_use(connection: sqlite3.Connection, provider: str, key: str, since_ms: int) -> list[tuple[int, int]]:
    """Return start and cost (pico-USD) of each attempt with a key. It scans rows; only limits of keys need it."""
    arguments = (id_floor(since_ms), provider, key)
    unattached = connection.execute(_UNATTACHED, (since_ms, provider, key))
    return [*connection.execute(_SINGLE, arguments), *connection.execute(_SEVERAL, arguments), *unattached]


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
