"""Comparisons with the provider's bill in their tables: written in the owner's transaction, read beside it."""

import sqlite3
from collections.abc import Iterable, Mapping

from proxy.policy.reconciliation.day_comparison import DriftEntry
from proxy.storage.reconciliation import (
    ENTRIES_KEPT_DAYS,
    ENTRIES_MAX,
    SOURCE,
    WHOLE_ACCOUNT,
    ActivitySum,
    ClassSum,
    ComparedDay,
    DayResult,
    HistorySum,
    StoredEntry,
    class_sums,
)
from proxy.storage.rows import id_floor
from proxy.storage.sqlite.exact_sum import exact_sum, join_sums

_DAY_MS = 86_400_000
_HOUR_MS = 3_600_000
_ACTIVITY = ", ".join(ActivitySum._fields)
_ADD_ACTIVITY = f"""
INSERT INTO provider_activity (provider, day, key_hash, fetched_ms, {_ACTIVITY})
VALUES (?, ?, ?, ?{", ?" * len(ActivitySum._fields)})
ON CONFLICT DO UPDATE SET {", ".join(f"{name} = {name} + excluded.{name}" for name in ActivitySum._fields[4:])}
"""  # noqa: S608 - constants of this file
_ENTRY = (
    "class, amount_pusd, request_id, generation_id, key_hash, model, hour_ms, booked_pusd, billed_pusd, actual_pusd"
)
_ADD_ENTRY = f"INSERT INTO drift_entries (provider, day, n, {_ENTRY}) VALUES (?, ?, ?{', ?' * 10})"  # noqa: S608
_ADD_DAY = """
INSERT OR REPLACE INTO reconciled_days (provider, day, level, booked_pusd, billed_pusd, calls, is_final, problem,
    compared_ms)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_ADD_CLASS = "INSERT INTO reconciliations (provider, day, class, amount_pusd, number) VALUES (?, ?, ?, ?, ?)"
_ADD_PAIR = "INSERT OR REPLACE INTO matched_calls (provider, generation_id, request_id) VALUES (?, ?, ?)"
# what a key had counted of a day: no bill names neither model nor key
_COUNTED = "key_hash <> '' AND model = '' AND permaslug = '' AND endpoint_id = '' AND provider_name = ''"
_FORGET_COUNTS = f"DELETE FROM provider_activity WHERE provider = ? AND day = ? AND {_COUNTED}"  # noqa: S608 - as above
_DAYS = f"""
SELECT provider, day, CASE WHEN level = 'models' AND EXISTS (SELECT 1 FROM provider_activity a
    WHERE a.provider = d.provider AND a.day = d.day AND {_COUNTED}) THEN 'keys' ELSE level END,
    booked_pusd, billed_pusd, calls, is_final, problem, compared_ms
FROM reconciled_days d WHERE day BETWEEN ?1 AND ?2 AND (?3 IS NULL OR provider = ?3) ORDER BY day, provider
"""  # noqa: S608 - constants of this file
_CLASSES = """
SELECT provider, day, class, amount_pusd, number FROM reconciliations
WHERE day BETWEEN ?1 AND ?2 AND (?3 IS NULL OR provider = ?3)
"""
# what was booked of each class: the reason of an adjustment begins with its name
_ADJUSTED = """
SELECT source, date(at_ms / 1000, 'unixepoch'), substr(reason, 1, instr(reason, ':') - 1), sum(amount_pusd), count(*)
FROM adjustments
WHERE at_ms >= ?1 AND at_ms < ?2 AND source LIKE 'bill of %' AND instr(reason, ':') > 0
GROUP BY 1, 2, 3
"""
_ENTRIES = f"""
SELECT provider, day, n, {_ENTRY} FROM drift_entries
WHERE day BETWEEN ?1 AND ?2 AND (?3 IS NULL OR class = ?3) AND (day, provider, n) > (?4, ?5, ?6)
ORDER BY day, provider, n LIMIT ?7
"""  # noqa: S608 - constants of this file


_KEYS = "SELECT id, hash, name, first_ms FROM key_hashes WHERE provider = ?"
_EARLIER = """
SELECT started_ms FROM requests WHERE id < ?1 AND target_provider = ?2
    AND (key_id = ?3 OR (key_id IS NULL AND (key IS NULL OR key = ?4))) ORDER BY id LIMIT 1
"""


def write_day(connection: sqlite3.Connection, result: DayResult) -> None:
    """Write what a comparison found in place of what an earlier one has found of the day."""
    day = result.day
    place = day.provider, day.day
    execute = connection.execute
    execute(_FORGET_COUNTS, place)  # they give way to the bill, and to later ones
    for key_hash, sums in result.activity.items():
        execute("DELETE FROM provider_activity WHERE provider = ? AND day = ? AND key_hash = ?", (*place, key_hash))
        connection.executemany(_ADD_ACTIVITY, [(*place, key_hash, day.compared_ms, *each) for each in sums])
    for table in ("reconciliations", "drift_entries"):
        execute(f"DELETE FROM {table} WHERE provider = ? AND day = ?", place)  # noqa: S608 - names of this line
    execute("DELETE FROM drift_entries WHERE provider = ? AND day < date(?, ?)", (*place, f"-{ENTRIES_KEPT_DAYS} days"))
    level = "models" if day.level == "keys" else day.level  # the table knows sums alone; whose they are, its rows say
    figures = level, day.booked_pusd, day.billed_pusd, day.calls, int(day.is_final), day.problem, day.compared_ms
    execute(_ADD_DAY, (*place, *figures))
    connection.executemany(_ADD_CLASS, [(*place, *each[:3]) for each in class_sums(result.entries)])
    kept = enumerate(_largest(result.entries))
    connection.executemany(_ADD_ENTRY, [(*place, n, *entry[:-2]) for n, entry in kept])
    write_pairs(connection, day.provider, result.pairs)


def write_pairs(connection: sqlite3.Connection, provider: str, pairs: Mapping[str, int]) -> None:
    """Remember which calls are requests that did not know it, so that each look takes them for the same."""
    connection.executemany(_ADD_PAIR, [(provider, *pair) for pair in pairs.items()])


def _largest(entries: Iterable[DriftEntry]) -> list[DriftEntry]:
    """Return the entries of each class that say most, the largest first."""
    found: dict[str, list[DriftEntry]] = {}
    for entry in sorted(entries, key=lambda one: -abs(one.amount_pusd)):
        of_class = found.setdefault(entry.drift_class, [])
        if len(of_class) < ENTRIES_MAX:
            of_class.append(entry)
    return [entry for of_class in found.values() for entry in of_class]


def compared_days(
    connection: sqlite3.Connection, since_day: str, until_day: str, provider: str | None
) -> list[ComparedDay]:
    """Return comparisons with their classes, and what was booked of each class."""
    span = since_day, until_day, provider
    classes: dict[tuple[str, str], dict[str, ClassSum]] = {}
    for one, day, *figures in connection.execute(_CLASSES, span):
        classes.setdefault((one, day), {})[figures[0]] = ClassSum(*figures)
    since_ms, until_ms = _start_ms(connection, since_day), _start_ms(connection, until_day) + _DAY_MS
    for source, day, name, amount_pusd, count in connection.execute(_ADJUSTED, (since_ms, until_ms)):
        of_day = classes.setdefault((source.removeprefix(SOURCE), day), {})
        known = of_day.get(name, ClassSum(name, 0, 0))
        of_day[name] = known._replace(adjusted_pusd=amount_pusd, adjusted=count)
    found = []
    for one, day, level, booked_pusd, billed_pusd, calls, is_final, problem, at_ms in connection.execute(_DAYS, span):
        own = tuple(classes.get((one, day), {}).values())
        found.append(ComparedDay(one, day, level, booked_pusd, billed_pusd, calls, bool(is_final), problem, at_ms, own))
    return found


def provider_history(connection: sqlite3.Connection, since_day: str | None, until_day: str | None) -> list[HistorySum]:
    """Return what providers charged before the first request, by model."""
    found = [
        HistorySum._make((*row, join_sums(high, low)))
        for *row, high, low in connection.execute(_HISTORY, (since_day, until_day))
    ]
    return sorted(found, key=lambda one: (-one.cost_pusd, one.provider, one.model))


_HISTORY = (
    f"SELECT provider, model, sum(requests), sum(input_tokens), sum(output_tokens), {exact_sum('cost_pusd')}"  # noqa: S608 - constants
    " FROM provider_history WHERE (?1 IS NULL OR day >= ?1) AND (?2 IS NULL OR day <= ?2) GROUP BY 1, 2"
)


def _start_ms(connection: sqlite3.Connection, day: str) -> int:
    found = connection.execute("SELECT CAST(strftime('%s', ?) AS INTEGER) * 1000", (day,)).fetchone()[0]
    return int(found or 0)


def drift_entries(
    connection: sqlite3.Connection,
    since_day: str,
    until_day: str,
    drift_class: str | None,
    after: tuple[str, str, int] | None,
    count: int,
) -> list[StoredEntry]:
    """Return differences, those after a place of (day, provider, number)."""
    place = after or ("", "", -1)
    rows = connection.execute(_ENTRIES, (since_day, until_day, drift_class, *place, count))
    return [StoredEntry(provider, day, n, DriftEntry(*entry)) for provider, day, n, *entry in rows]


def activity_sums(connection: sqlite3.Connection, provider: str, since_day: str) -> dict[str, int]:
    """Return what the provider told of the whole account, by day."""
    query = (
        "SELECT day, sum(usage_pusd) FROM provider_activity WHERE provider = ? AND day >= ? AND key_hash = ? GROUP BY 1"
    )
    return dict(connection.execute(query, (provider, since_day, WHOLE_ACCOUNT)).fetchall())


def key_names(connection: sqlite3.Connection, provider: str) -> dict[str, str]:
    """Return the names of all keys that a provider ever had here, by their hash."""
    return dict(connection.execute("SELECT hash, name FROM key_hashes WHERE provider = ?", (provider,)).fetchall())


def keys_begun_ms(connection: sqlite3.Connection, provider: str) -> dict[str, int]:
    """Return when each key of a provider came here, by its hash: its first request may be older than what tells of it.

    A request of which no key is known counts for all of them.
    """
    found = {}
    for id_, hash_, name, first_ms in connection.execute(_KEYS, (provider,)).fetchall():
        earlier = connection.execute(_EARLIER, (id_floor(first_ms), provider, id_, name)).fetchone()
        found[hash_] = first_ms if earlier is None else min(first_ms, earlier[0])
    return found


def first_request_ms(connection: sqlite3.Connection) -> int | None:
    """Return when the first request began: by its row, or by its hour where rows have been removed since."""
    hour_ms = connection.execute("SELECT min(hour_ms) FROM usage_hourly WHERE requests > 0").fetchone()[0]
    row = connection.execute("SELECT started_ms FROM requests ORDER BY id LIMIT 1").fetchone()
    row_ms = None if row is None else row[0]
    if hour_ms is None or row_ms is None:
        found: int | None = hour_ms if row_ms is None else row_ms
        return found
    return int(row_ms if row_ms - row_ms % _HOUR_MS <= hour_ms else hour_ms)
