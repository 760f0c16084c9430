"""Read what quota totals are rebuilt from, at start, before a request is let in.

Reads the roll-up, and single rows only of the hours that a window may begin in the middle of: start-up does not grow
with the number of requests.
"""

import json
import sqlite3
from collections.abc import Collection
from dataclasses import dataclass

from proxy.policy.quota import FineRows, SettledRow
from proxy.policy.quota.window import HOUR_MS
from proxy.storage.rows import id_floor
from proxy.storage.sqlite import statements

_PART = 1_000_000_000  # as in statements.QUOTA_HOURS


@dataclass(frozen=True, slots=True)
class QuotaTotals:
    hours: list[SettledRow]
    rows: list[SettledRow]


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
