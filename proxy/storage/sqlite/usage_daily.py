"""The roll-up by the day: days that are over, summed from the roll-up by the hour, so that reports read fewer rows.

A day is filled in slices between the commits of requests; nobody reads it before it is whole. Whatever changes an hour
that a day has already taken changes the day in the same transaction. What is not in a whole day is read from the hours,
so that sums are the same with days and without them.
"""

import sqlite3
from bisect import bisect_right
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

import orjson

from proxy.core.counts import Counts
from proxy.policy.day_span import DaySpan, day_span
from proxy.policy.quota.window import HOUR_MS
from proxy.storage.performance import SHORT_BYTES, AnswerSums

NAMES: Final = ("user", "group_name", "model", "provider", "use_case")
SUMS: Final = (
    *("requests", "errors", "input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens", "cost_pusd"),
    *Counts._fields,
    "flagged",
)
ANSWERS: Final = (*AnswerSums._fields, "counts")


class Facet(NamedTuple):
    """One way to sum a day: by some of NAMES. figures: which columns it has."""

    number: int
    names: tuple[str, ...]
    figures: tuple[str, ...]


BY_MODEL: Final = Facet(2, ("model", "provider"), (*SUMS, *ANSWERS))
FACETS: Final = (  # those with fewer rows first
    Facet(1, ("group_name", "use_case"), SUMS),
    BY_MODEL,
    Facet(3, ("user", "group_name"), SUMS),
    Facet(4, NAMES, SUMS),
)
_KEY = (*("hour_ms", *NAMES), "groups_above", "other_models")  # of usage_hourly
_KEYS = ", ".join(_KEY)
_BINDS = ", ".join("?" * len(_KEY))


def facet_of(names: Collection[str]) -> Facet:
    """Return the smallest facet that knows all these names."""
    return next(facet for facet in FACETS if set(names) <= set(facet.names))


def _sum(name: str) -> str:
    """Return how a figure is added to the one that is there, in SQL."""
    if name == "counts":
        return (
            f"counts = CASE WHEN length(counts) + length(excluded.counts) < {SHORT_BYTES}"
            " THEN CAST(counts || excluded.counts AS BLOB) ELSE add_counts(counts, excluded.counts) END"
        )
    return f"{name} = CAST({name} + excluded.{name} AS INTEGER)"  # beyond 64 bits it stays at the most, as in the hour


def _adding(facet: Facet, figures: Sequence[str], source: str) -> str:
    """Return the statement that adds figures of a source to the days of a facet."""
    columns = ", ".join(("facet", "day_ms", *facet.names, *figures))
    return f"INSERT INTO usage_daily ({columns}) {source} ON CONFLICT DO UPDATE SET {', '.join(map(_sum, figures))}"


_STATES = "SELECT start_ms, end_ms, state, done FROM daily_spans ORDER BY start_ms DESC"
_SPOIL = "UPDATE daily_spans SET state = 'spoilt' WHERE start_ms = ?"
_BEGIN = "INSERT INTO daily_spans (start_ms, end_ms, state) VALUES (?, ?, 'filling')"
_NOTE = "UPDATE daily_spans SET state = ?, done = ? WHERE start_ms = ?"
_FORGET = "DELETE FROM daily_spans WHERE start_ms = ?"
_DAY_KEY = f"facet, day_ms, {', '.join(NAMES)}"
_EMPTY = f"""
DELETE FROM usage_daily WHERE ({_DAY_KEY}) IN
    (SELECT {_DAY_KEY} FROM usage_daily WHERE facet = ? AND day_ms = ? LIMIT ?)
"""  # noqa: S608 - constants of this file
_SLICE_END = f"""
SELECT {_KEYS} FROM usage_hourly WHERE ({_KEYS}) > ({_BINDS}) AND hour_ms < ? ORDER BY {_KEYS} LIMIT 1 OFFSET ?
"""  # noqa: S608 - constants of this file
_FILL = {
    is_last: [
        _adding(
            facet,
            facet.figures,
            f"SELECT {facet.number}, ?, {', '.join((*facet.names, *facet.figures))} FROM usage_hourly"  # noqa: S608 - constants
            f" WHERE ({_KEYS}) > ({_BINDS}) AND {'hour_ms < ?' if is_last else f'({_KEYS}) <= ({_BINDS})'}",
        )
        for facet in FACETS
    ]
    for is_last in (False, True)
}


def past_days(connection: sqlite3.Connection, zone: ZoneInfo, until_ms: int) -> list[DaySpan]:
    """Return the days of a zone that were over at an instant and that have any usage, the last first."""
    found = []
    next_ms = 0
    while True:
        (hour_ms,) = connection.execute(
            "SELECT min(hour_ms) FROM usage_hourly WHERE hour_ms >= ?", (next_ms,)
        ).fetchone()
        if hour_ms is None:
            break
        day = day_span(zone, hour_ms)
        if day.end_ms > until_ms:
            break
        if day.covers(hour_ms):
            found.append(day)
        next_ms = max(day.end_ms, hour_ms + HOUR_MS)
    return found[::-1]


def sum_days(connection: sqlite3.Connection, wanted: Sequence[DaySpan], count: int) -> bool:
    """Add up the next rows, about so many, until these days are summed and no others; False: it is so."""
    held = {DaySpan(start_ms, end_ms): (state, done) for start_ms, end_ms, state, done in connection.execute(_STATES)}
    unwanted = held.keys() - set(wanted)
    connection.executemany(_SPOIL, [(day.start_ms,) for day in unwanted])
    spoilt = [*unwanted, *(day for day, (state, _) in held.items() if state == "spoilt" and day not in unwanted)]
    if spoilt:
        _empty(connection, spoilt[0], count)
        return True
    for day in wanted:
        if day not in held:
            connection.execute(_BEGIN, day)
            return True
        state, done = held[day]
        if state == "filling":
            _fill(connection, day, done, count)
            return True
    return False


def _empty(connection: sqlite3.Connection, day: DaySpan, count: int) -> None:
    """Remove some of the sums of a day, and the day with the last."""
    for facet in FACETS:
        gone = connection.execute(_EMPTY, (facet.number, day.start_ms, count)).rowcount
        if gone >= count:
            return
    connection.execute(_FORGET, (day.start_ms,))


def _fill(connection: sqlite3.Connection, day: DaySpan, done: str | None, count: int) -> None:
    """Add some more rows of the hours of a day to it, in the order of their key."""
    after = (day.start_ms - 1, *[""] * (len(_KEY) - 1)) if done is None else tuple(orjson.loads(done))
    upto = connection.execute(_SLICE_END, (*after, day.end_ms, count - 1)).fetchone()
    for statement in _FILL[upto is None]:
        connection.execute(statement, (day.start_ms, *after, *((day.end_ms,) if upto is None else upto)))
    state, noted = ("whole", None) if upto is None else ("filling", orjson.dumps(upto).decode())
    connection.execute(_NOTE, (state, noted, day.start_ms))


def add_to_days(connection: sqlite3.Connection, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Add to days what was added to hours that they have taken. columns: of usage_hourly, its key first."""
    for row in rows:
        found = connection.execute(
            "SELECT start_ms, done FROM daily_spans WHERE start_ms <= ?1 AND end_ms > ?1"
            " AND (state = 'whole' OR state = 'filling' AND done IS NOT NULL)",
            (row[0],),
        ).fetchone()
        if found is not None:
            day_ms, done = found
            key = row[: len(_KEY)]
            if done is None or tuple(key) <= tuple(orjson.loads(done)):  # else it is still to be taken
                _add_row(connection, day_ms, dict(zip(columns, row, strict=True)))


def _add_row(connection: sqlite3.Connection, day_ms: int, row: dict[str, Any]) -> None:
    for facet in FACETS:
        figures = [name for name in facet.figures if name in row]
        if figures:
            values = (facet.number, day_ms, *(row[name] for name in (*facet.names, *figures)))
            connection.execute(_adding(facet, figures, f"VALUES ({', '.join('?' * len(values))})"), values)


def days_until_ms(connection: sqlite3.Connection) -> int:
    """Return the end of the last day that is, or is being, summed; 0: there is none."""
    found: int = connection.execute("SELECT ifnull(max(end_ms), 0) FROM daily_spans").fetchone()[0]
    return found


class SummedHours:
    """Which hours are in days, as a transaction sees it."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        query = "SELECT start_ms, end_ms FROM daily_spans WHERE state = 'whole' ORDER BY start_ms"
        self._days = [DaySpan(*row) for row in connection.execute(query)]
        self._starts = [day.start_ms for day in self._days]

    def parts(self, start_ms: int, end_ms: int) -> "RangeParts":
        """Return what whole hours of UTC are read from: JSON lists for SQL, of days and of hours that are in none."""
        days, hours = [], list[int]()
        at_ms = start_ms
        while at_ms < end_ms:
            place = bisect_right(self._starts, at_ms) - 1
            day = self._days[place] if place >= 0 else None
            if day is not None and day.start_ms == at_ms and day.end_ms <= end_ms:
                days.append(day.start_ms)
                at_ms = day.end_ms
            else:
                following_ms = self._starts[place + 1] if place + 1 < len(self._starts) else end_ms
                until_ms = min(end_ms, following_ms)
                hours += range(at_ms, until_ms, HOUR_MS)
                at_ms = until_ms
        return RangeParts(
            orjson.dumps(days).decode() if days else None, orjson.dumps(hours).decode() if hours else None
        )


def rolled_sources(
    connection: sqlite3.Connection, names: Collection[str], start_ms: int = 0, end_ms: int | None = None
) -> list[tuple[str, str]]:
    """Return what holds the sums of whole hours of UTC: what follows FROM, up to the times, and these as a JSON list.

    names: the columns that are asked for. What is added is TIMES, and conditions; they are bound as times.
    """
    first_ms, last_ms = connection.execute(FIRST_AND_LAST).fetchone()
    if first_ms is None:
        return []
    end_ms = last_ms + HOUR_MS if end_ms is None else min(end_ms, last_ms + HOUR_MS)
    parts = SummedHours(connection).parts(max(-(-start_ms // HOUR_MS) * HOUR_MS, first_ms), end_ms)
    days = f"usage_daily WHERE facet = {facet_of(names).number} AND day_ms"
    found = ((days, parts.days), ("usage_hourly WHERE hour_ms", parts.hours))
    return [(source, times) for source, times in found if times is not None]


# each by itself is the end of an index; both in one SELECT would read all rows
FIRST_AND_LAST: Final = "SELECT (SELECT min(hour_ms) FROM usage_hourly), (SELECT max(hour_ms) FROM usage_hourly)"
TIMES: Final = "IN (SELECT value FROM json_each(:times))"


class RangeParts(NamedTuple):
    """Starts of days and of hours (epoch ms), each as a JSON list; None: there are none."""

    days: str | None
    hours: str | None
