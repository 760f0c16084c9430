"""Read what was spent, beside the running proxy or without one: read-only, in short transactions.

The roll-up by the hour answers for whole hours; where a range, or a day of the configured zone, begins or ends within
an hour, that hour is summed from its rows, so that every sum is exact. Requests that are open or pending are in
neither: unsettled() counts them. An adjustment changes the roll-up in the transaction that writes it.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from proxy.core.counts import Counts
from proxy.policy.exchange_rates import EXACT, RateStep, local_amount, rate_spans
from proxy.policy.quota.window import HOUR_MS, window_bounds
from proxy.storage.reports import LedgerCheck, SpendingRow, UnsettledSum
from proxy.storage.rows import id_floor

_COLUMNS = {"user": "user", "group": "group_name", "model": "model", "provider": "provider", "use_case": "use_case"}
# Ids never fall behind the clock, but after a clock was set back they run ahead of it until it has caught up.
_AHEAD_MS = 2 * 86_400_000


def id_range(connection: sqlite3.Connection, since_ms: int | None, until_ms: int | None) -> tuple[int, int]:
    """Return (first, last) ids between which every request of [since_ms, until_ms) lies, others among them.

    The caller filters started_ms too: ids follow the time at which a request began, but not backwards.
    """
    newest = connection.execute("SELECT id, started_ms FROM requests ORDER BY id DESC LIMIT 1").fetchone()
    if newest is None:
        return 0, -1
    first = 0 if since_ms is None else id_floor(since_ms)
    last: int = newest[0]
    runs_ahead = last >= id_floor(newest[1] + _AHEAD_MS)
    if until_ms is not None and not runs_ahead:
        last = min(last, id_floor(until_ms + _AHEAD_MS))
    return first, last


def usage_by(
    connection: sqlite3.Connection,
    by: tuple[str, ...],
    zone: ZoneInfo,
    *,
    since_ms: int | None = None,
    until_ms: int | None = None,
    user: str | None = None,
    rates: Sequence[RateStep] = (),
) -> list[SpendingRow]:
    """Sum the requests that began in [since_ms, until_ms), by words of _COLUMNS or day, the dearest first.

    rates: what the local currency costs over time; each part of the sums is turned into it by the rate of its time.
    """
    connection.execute("BEGIN")  # one snapshot, so that nothing is counted twice or missed between rows and roll-up
    try:
        bounds = _bounds(connection, since_ms, until_ms)
        sums: dict[tuple[str, ...], list[int]] = {}
        local: dict[tuple[str, ...], Decimal] = {}
        for day, start_ms, end_ms in _segments(bounds, zone, by_day="day" in by):
            for from_ms, upto_ms, rate in rate_spans(rates, start_ms, end_ms):
                for key, figures in _segment(connection, by, day, from_ms, upto_ms, user):
                    found = sums.setdefault(key, [0] * len(figures))
                    for n, figure in enumerate(figures):
                        found[n] += figure
                    if rate is not None:
                        amount = local_amount(figures[_COST], rate)
                        local[key] = EXACT.add(local.get(key, _NOTHING), amount)
    finally:
        connection.execute("COMMIT")
    rows = [SpendingRow.of_figures(key, figures, local.get(key)) for key, figures in sums.items()]
    days = by.index("day") if "day" in by else None
    return sorted(rows, key=lambda row: ("" if days is None else row.key[days], -row.cost_pusd, row.key))


def _bounds(connection: sqlite3.Connection, since_ms: int | None, until_ms: int | None) -> tuple[int, int]:
    """Return the range, limited to what the roll-up covers."""
    first, last = connection.execute("SELECT min(hour_ms), max(hour_ms) FROM usage_hourly").fetchone()
    if first is None:
        return 0, 0
    start_ms = first if since_ms is None else max(since_ms, first)
    end_ms = last + HOUR_MS if until_ms is None else min(until_ms, last + HOUR_MS)
    return start_ms, end_ms


def _segments(bounds: tuple[int, int], zone: ZoneInfo, *, by_day: bool) -> Iterator[tuple[str, int, int]]:
    """Yield the days of a range in the zone, each with its date; without by_day it is one segment."""
    start_ms, end_ms = bounds
    while start_ms < end_ms:
        if not by_day:
            yield "", start_ms, end_ms
            return
        first_ms, next_ms = window_bounds("day", zone, start_ms)
        assert next_ms is not None
        yield _date(zone, first_ms, next_ms), start_ms, min(next_ms, end_ms)
        start_ms = next_ms


def _date(zone: ZoneInfo, first_ms: int, next_ms: int) -> str:
    """Return the date of a day by its middle: where clocks change at midnight, its first instant may mislead."""
    return datetime.fromtimestamp((first_ms + next_ms) / 2000, zone).date().isoformat()


Figures = tuple[tuple[str, ...], tuple[int, ...]]  # the key, then the figures of Spent in order
_PARTS = ("cached_tokens", "reasoning_tokens", *Counts._fields)
_FIGURES = 5 + len(_PARTS)
_COST = 4  # which of the figures is the cost in pico-USD
_NOTHING = Decimal(0)


def _sums(term: str) -> str:
    return ", ".join(f"sum({term.format(name)})" for name in _PARTS)


def _segment(
    connection: sqlite3.Connection, by: tuple[str, ...], day: str, start_ms: int, end_ms: int, user: str | None
) -> Iterator[Figures]:
    first_ms = -(-start_ms // HOUR_MS) * HOUR_MS
    last_ms = end_ms // HOUR_MS * HOUR_MS
    if first_ms > last_ms:  # all within one hour
        yield from _from_rows(connection, by, day, start_ms, end_ms, user)
        return
    if start_ms < first_ms:
        yield from _from_rows(connection, by, day, start_ms, first_ms, user)
    if first_ms < last_ms:
        yield from _from_hours(connection, by, day, first_ms, last_ms, user)
    if last_ms < end_ms:
        yield from _from_rows(connection, by, day, last_ms, end_ms, user)


def _from_hours(
    connection: sqlite3.Connection, by: tuple[str, ...], day: str, start_ms: int, end_ms: int, user: str | None
) -> Iterator[Figures]:
    keys = [_COLUMNS[word] for word in by if word != "day"]
    found = connection.execute(
        f"SELECT {''.join(f'{key}, ' for key in keys)}"  # noqa: S608 - words of _COLUMNS
        f" sum(requests), sum(errors), sum(input_tokens), sum(output_tokens), sum(cost_pusd), {_sums('{}')}"
        " FROM usage_hourly WHERE hour_ms >= ?1 AND hour_ms < ?2 AND (?3 IS NULL OR user = ?3)"
        f"{_group(keys)}",
        (start_ms, end_ms, user),
    )
    return (_figures(by, day, row) for row in found if row[-1] is not None)


def _from_rows(
    connection: sqlite3.Connection, by: tuple[str, ...], day: str, start_ms: int, end_ms: int, user: str | None
) -> Iterator[Figures]:
    keys = [f"ifnull({_COLUMNS[word]}, '')" for word in by if word != "day"]
    first, last = id_range(connection, start_ms, end_ms)
    found = connection.execute(
        f"SELECT {''.join(f'{key}, ' for key in keys)}"  # noqa: S608 - words of _COLUMNS
        " count(*), sum(error IS NOT NULL), sum(ifnull(input_tokens, 0)), sum(ifnull(output_tokens, 0)),"
        f" sum(ifnull(cost_pusd, 0)), {_sums('ifnull({}, 0)')}"
        " FROM requests WHERE id >= ?4 AND id <= ?5 AND started_ms >= ?1 AND started_ms < ?2"
        " AND (?3 IS NULL OR user = ?3) AND state IN ('settled', 'released')"
        f"{_group(keys)}",
        (start_ms, end_ms, user, first, last),
    )
    yield from (_figures(by, day, row) for row in found if row[-1] is not None)
    keys = [_COLUMNS[word] for word in by if word != "day"]
    found = connection.execute(
        f"SELECT {''.join(f'{key}, ' for key in keys)}"  # noqa: S608 - words of _COLUMNS
        f" 0, 0, 0, 0, sum(amount_pusd), {', '.join(['sum(0)'] * len(_PARTS))}"
        " FROM adjustments WHERE at_ms >= ?1 AND at_ms < ?2 AND (?3 IS NULL OR user = ?3)"
        f"{_group(keys)}",
        (start_ms, end_ms, user),
    )
    yield from (_figures(by, day, row) for row in found if row[-1] is not None)


def _group(keys: list[str]) -> str:
    return f" GROUP BY {', '.join(keys)}" if keys else ""


def _figures(by: tuple[str, ...], day: str, row: tuple[Any, ...]) -> Figures:
    """Split a row of the two queries above: the words of `by` without the day, then figures."""
    texts = iter(row[:-_FIGURES])
    return tuple(day if word == "day" else next(texts) for word in by), row[-_FIGURES:]


def unsettled(
    connection: sqlite3.Connection, *, since_ms: int | None = None, until_ms: int | None = None, user: str | None = None
) -> UnsettledSum:
    """Count what is open, pending, or settled with a flag, of the requests that began in [since_ms, until_ms)."""
    first, last = id_range(connection, since_ms, until_ms)
    row = connection.execute(
        "SELECT sum(state = 'open'), sum(state = 'pending'),"
        " sum(state IN ('settled', 'released') AND flags IS NOT NULL AND flags <> 'downgraded')"
        " FROM requests WHERE id >= ?1 AND id <= ?2 AND (?3 IS NULL OR started_ms >= ?3)"
        " AND (?4 IS NULL OR started_ms < ?4) AND (?5 IS NULL OR user = ?5)",
        (first, last, since_ms, until_ms, user),
    ).fetchone()
    return UnsettledSum(*(figure or 0 for figure in row))


_KNOWN = {
    "users": "SELECT 1 FROM users WHERE name = ? LIMIT 1",
    "hours": "SELECT 1 FROM usage_hourly WHERE user = ? LIMIT 1",
    "requests": "SELECT 1 FROM requests WHERE state IN ('open', 'pending') AND user = ? LIMIT 1",
}


def has_user(connection: sqlite3.Connection, name: str) -> bool:
    """Return whether a user is in the database, or anything was ever booked or reserved for one."""
    return any(connection.execute(query, (name,)).fetchone() for query in _KNOWN.values())


def known_users(connection: sqlite3.Connection) -> list[str]:
    """Return all such names."""
    query = "SELECT name FROM users UNION SELECT user FROM usage_hourly UNION SELECT user FROM requests"
    return [row[0] for row in connection.execute(query)]


def users_changed_ms(connection: sqlite3.Connection) -> int | None:
    """Return when a user, a group or a limit was last changed; None: never."""
    query = (
        "SELECT max(ts_ms) FROM audit WHERE action GLOB 'users.*' OR action GLOB 'groups.*' OR action GLOB 'limits.*'"
    )
    changed_ms: int | None = connection.execute(query).fetchone()[0]
    return changed_ms


def check(connection: sqlite3.Connection) -> LedgerCheck:
    """Look over the whole file for damage; a file that cannot be read is damaged too."""
    try:
        found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        unsettled = connection.execute("SELECT count(*) FROM requests WHERE state IN ('open', 'pending')").fetchone()[0]
        requests = connection.execute("SELECT count(*) FROM requests").fetchone()[0]
    except sqlite3.DatabaseError as error:
        return LedgerCheck(str(error), 0, 0)
    return LedgerCheck(None if found == "ok" else found, requests, unsettled)
