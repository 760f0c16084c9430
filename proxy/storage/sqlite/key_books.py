"""What the ledger has of one provider's key, by day of UTC, and what comparisons with the bill have found of it."""

import sqlite3
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

import orjson

from proxy.policy.reconciliation.key_comparison import COUNTED_AFTER_MS, KeyBooks, KeyDay
from proxy.policy.reconciliation.key_reason import KeyDoubt
from proxy.policy.reconciliation.sync_schedule import day_of
from proxy.storage.reconciliation import KeyQuestion
from proxy.storage.rows import id_floor
from proxy.storage.sqlite.retention import removed_before_ms

_SKEW_MS: Final = 3_600_000  # ids go on where a clock steps back
_MARGIN_MS: Final = 2 * 3_600_000  # before the first day: nothing takes longer to answer
_DAY_MS: Final = 86_400_000
_NAMES: Final = "(SELECT value FROM json_each(:places))"
_ADJUSTMENT: Final = "EXISTS (SELECT 1 FROM adjustments WHERE request_id = t.request_id)"
# what somebody else bills for a key of ours at the provider behind the provider is none of this key's
_SPENT = f"""
SELECT day, sum(is_own * spent_pusd) AS booked_pusd, sum(is_own * upstream_pusd) AS upstream_pusd,
    sum(is_replaced * spent_pusd) AS replaced_pusd, sum(is_users * (spent_pusd + upstream_pusd)) AS users_pusd,
    sum(is_own AND spent_pusd <> 0) AS calls,
    sum(CASE WHEN is_own AND cost_source = 'reservation' AND NOT {_ADJUSTMENT} THEN spent_pusd ELSE 0 END)
        AS reservation_pusd,
    sum(CASE WHEN is_own AND cost_source IN ('estimate', 'price') AND NOT {_ADJUSTMENT} THEN spent_pusd ELSE 0 END)
        AS estimated_pusd,
    sum(CASE WHEN is_own AND state = 'pending' THEN ifnull(most_pusd, 0) ELSE 0 END) AS pending_pusd,
    sum(CASE WHEN is_own AND state = 'open' THEN ifnull(most_pusd, 0) ELSE 0 END) AS running_pusd,
    sum(CASE WHEN is_own AND ended_ms >= :until_ms - :late_ms THEN spent_pusd ELSE 0 END) AS recent_pusd,
    sum(CASE WHEN is_own AND ended_ms >= (started_ms / {_DAY_MS} + 1) * {_DAY_MS} - :late_ms
        THEN spent_pusd + ifnull(most_pusd, 0) ELSE 0 END) AS earlier_pusd,
    count(*) FILTER (WHERE is_own AND (state = 'settled' OR state IN ('open', 'pending') AND most_pusd IS NULL))
        AS unbounded
FROM (
    SELECT *, kind = 'own' AS is_own, kind = 'users' AS is_users, kind = 'replaced' AS is_replaced
    FROM (
        SELECT date(started_ms / 1000, 'unixepoch') AS day, request_id, started_ms,
            started_ms + ifnull(duration_ms, 0) AS ended_ms, cost_source,
            CASE WHEN key_hash = :key_hash THEN 'own' WHEN key = :users_key THEN 'users'
                WHEN key_hash IS NULL THEN 'own' ELSE 'replaced' END AS kind,
            ifnull(cost_pusd, 0) - CASE WHEN is_byok = 1 THEN ifnull(upstream_cost_pusd, 0) ELSE 0 END AS spent_pusd,
            CASE WHEN is_byok = 1 THEN ifnull(upstream_cost_pusd, 0) ELSE 0 END AS upstream_pusd,
            CASE WHEN cost_pusd IS NULL THEN (SELECT state FROM requests WHERE id = request_id) END AS state,
            CASE WHEN cost_pusd IS NULL
                THEN ifnull(reserved_pusd, (SELECT reserved_pusd FROM requests WHERE id = request_id)) END AS most_pusd
        FROM attempts
        WHERE request_id >= :from_id AND started_ms >= :from_ms AND started_ms < :until_ms
            AND (key_hash = :key_hash OR provider || '/' || key IN {_NAMES}
                OR key = :users_key AND provider IN (SELECT value FROM json_each(:providers)))
    )
) AS t
GROUP BY 1
"""  # noqa: S608 - constants of this file
_ADJUSTED = f"""
SELECT date(at_ms / 1000, 'unixepoch'), sum(amount_pusd) FROM adjustments a
WHERE at_ms >= :since_ms AND at_ms < :until_ms AND charged_provider || '/' || charged_key IN {_NAMES}
    AND (request_id IS NOT NULL OR at_ms >= :came_ms)
    AND NOT EXISTS (SELECT 1 FROM attempts WHERE request_id = a.request_id AND n = a.attempt AND key_hash <> :key_hash)
GROUP BY 1
"""  # noqa: S608 - constants of this file
# a day that was compared by what keys have counted has differences too, and they are of neither call nor request
_KNOWN = """
SELECT day, sum(amount_pusd) FROM drift_entries d
WHERE key_hash = :key_hash AND day >= date(:since_ms / 1000, 'unixepoch')
    AND (request_id IS NOT NULL OR generation_id IS NOT NULL)
    AND NOT (class = 'own_key' AND EXISTS (
        SELECT 1 FROM attempts WHERE request_id = d.request_id AND provider = d.provider AND is_byok = 1))
GROUP BY 1
"""
_CAME = "SELECT min(first_ms) FROM key_hashes WHERE hash = :key_hash"
_DOUBT: Final = KeyDoubt.__struct_fields__


def read_key_books(connection: sqlite3.Connection, question: KeyQuestion) -> KeyBooks:
    """Return the days of a key that have anything, the hours before them, and the last day of which rows were removed.

    It goes over the rows of the time.
    """
    first_ms = connection.execute(_CAME, {"key_hash": question.key_hash}).fetchone()[0]
    from_ms = question.since_ms - _MARGIN_MS
    values = {
        **question._asdict(),
        "places": orjson.dumps(question.places).decode(),
        "providers": orjson.dumps([place.partition("/")[0] for place in question.places]).decode(),
        "from_ms": from_ms,
        "from_id": id_floor(from_ms - _SKEW_MS),
        "late_ms": COUNTED_AFTER_MS,
        "came_ms": 0 if first_ms is None else first_ms - first_ms % _DAY_MS,
    }
    spent = _rows_by_day(connection, values)
    adjusted, known = (Counter[str](dict(connection.execute(each, values).fetchall())) for each in (_ADJUSTED, _KNOWN))
    mark_ms = removed_before_ms(connection)
    removed = day_of(mark_ms - 1).isoformat() if mark_ms > question.since_ms else ""
    days = [
        KeyDay(
            day,
            row.get("booked_pusd", 0) + adjusted[day],
            known[day],
            day > removed,
            KeyDoubt(**{name: row.get(name, 0) for name in _DOUBT}),
            row.get("upstream_pusd", 0),
            row.get("replaced_pusd", 0),
            row.get("users_pusd", 0),
        )
        for day in sorted({*spent, *adjusted, *known, removed} - {""})
        for row in [spent.get(day, {})]
    ]
    return KeyBooks(days, first_ms)


def _rows_by_day(connection: sqlite3.Connection, values: Mapping[str, Any]) -> dict[str, dict[str, int]]:
    found = connection.execute(_SPENT, values)
    names = [column[0] for column in found.description]
    rows = [dict(zip(names, row, strict=True)) for row in found]
    return {str(row["day"]): row for row in rows}
