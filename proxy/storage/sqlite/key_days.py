"""What the ledger has of one provider's key, by day of UTC, and what comparisons with the bill have found of it."""

import sqlite3
from collections import Counter

from proxy.policy.reconciliation.key_comparison import KeyDay
from proxy.policy.reconciliation.sync_schedule import day_of
from proxy.storage.reconciliation import KeyQuestion
from proxy.storage.rows import id_floor
from proxy.storage.sqlite.retention import removed_before_ms

_SKEW_MS = 3_600_000  # ids go on where a clock steps back
# what somebody else bills for a key of ours at the provider behind the provider is none of this key's
_SPENT = """
SELECT date(started_ms / 1000, 'unixepoch'),
    sum(ifnull(cost_pusd, 0) - CASE WHEN is_byok = 1 THEN ifnull(upstream_cost_pusd, 0) ELSE 0 END)
FROM attempts
WHERE request_id >= :from_id AND started_ms >= :since_ms AND started_ms < :until_ms AND provider = :provider
    AND key = :key AND (key_hash IS NULL OR key_hash = :key_hash)
GROUP BY 1
"""
_ADJUSTED = """
SELECT date(at_ms / 1000, 'unixepoch'), sum(amount_pusd) FROM adjustments a
WHERE at_ms >= :since_ms AND at_ms < :until_ms AND charged_provider = :provider AND charged_key = :key
    AND NOT EXISTS (SELECT 1 FROM attempts WHERE request_id = a.request_id AND n = a.attempt AND key_hash <> :key_hash)
GROUP BY 1
"""
_KNOWN = """
SELECT day, sum(amount_pusd) FROM drift_entries d
WHERE provider = :provider AND key_hash = :key_hash AND day >= date(:since_ms / 1000, 'unixepoch')
    AND NOT (class = 'own_key' AND EXISTS (
        SELECT 1 FROM attempts WHERE request_id = d.request_id AND provider = d.provider AND is_byok = 1))
GROUP BY 1
"""


def read_key_days(connection: sqlite3.Connection, question: KeyQuestion) -> list[KeyDay]:
    """Return the days of a key that have anything, and the last one of which rows were removed.

    It goes over the rows of the time.
    """
    values = {**question._asdict(), "from_id": id_floor(question.since_ms - _SKEW_MS)}
    booked, known = Counter[str](), Counter[str]()
    for statement, sums in ((_SPENT, booked), (_ADJUSTED, booked), (_KNOWN, known)):
        for day, pusd in connection.execute(statement, values):
            sums[day] += pusd
    mark_ms = removed_before_ms(connection)
    removed = day_of(mark_ms - 1).isoformat() if mark_ms > question.since_ms else ""
    days = {*booked, *known, removed} - {""}
    return [KeyDay(day, booked[day], known[day], day > removed) for day in sorted(days)]
