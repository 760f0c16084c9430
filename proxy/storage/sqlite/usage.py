"""Read what was spent, beside the running proxy or without one: read-only, in one short transaction.

The roll-up answers for whole hours, by the day where the days of the range are summed; where a range, or a window of
the configured zone, begins or ends within an hour, that hour is summed from its rows, so that every sum is exact. What
the roll-up does not know (token, key, tag ...) is summed from rows; what it counts beyond them, because retention has
removed rows, stands under an empty text, and at the beginning of its hour where that is cut: totals are the same by any
word, in any zone. Requests that are open or pending are in no
sum: unsettled() counts them. An adjustment changes the roll-up in the transaction that writes it, and has the key that
it counts under beside it.
"""

import sqlite3
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from math import gcd
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from proxy.policy.exchange_rates import local_amount, rate_spans
from proxy.policy.quota.window import HOUR_MS
from proxy.policy.time_segments import TIME_WORDS, label_order, time_segments
from proxy.storage.reports import LedgerCheck
from proxy.storage.rows import DOUBTLESS, id_floor
from proxy.storage.spending import LateSum, SpendingRow, SpendingSums, UnsettledSum, UsageSelection, sum_local
from proxy.storage.sqlite.exact_sum import exact_sum, join_sums
from proxy.storage.sqlite.retention import removed_before_ms
from proxy.storage.sqlite.usage_daily import FIRST_AND_LAST, TIMES, SummedHours, facet_of, rolled_sources
from proxy.storage.sqlite.usage_queries import COST, FIGURES, UsageQueries

Step = Callable[[float], None]  # gets how far a long look is, from 0 to 1
Figures = tuple[tuple[str, ...], tuple[int, ...]]  # a key, then the figures of SpendingRow in order
# Ids never fall behind the clock, but after a clock was set back they run ahead of it until it has caught up.
_AHEAD_MS = 2 * 86_400_000
_STEPS = 100  # slices that many rows are read in, so that it can be said how far that is


def id_range(connection: sqlite3.Connection, since_ms: int | None, until_ms: int | None) -> tuple[int, int]:
    """Return (first, last) ids between which every request of [since_ms, until_ms) lies, others among them.

    The caller filters started_ms too: ids follow the time at which a request began, but not backwards.
    """
    newest = connection.execute("SELECT id, started_ms FROM requests ORDER BY id DESC LIMIT 1").fetchone()
    if newest is None:
        return 0, -1
    (first,) = connection.execute("SELECT min(id) FROM requests").fetchone()  # so that progress counts from there
    if since_ms is not None:
        first = max(first, id_floor(since_ms))
    last: int = newest[0]
    runs_ahead = last >= id_floor(newest[1] + _AHEAD_MS)
    if until_ms is not None and not runs_ahead:
        last = min(last, id_floor(until_ms + _AHEAD_MS))
    return first, last


def sum_usage(
    connection: sqlite3.Connection, wanted: UsageSelection, zone: ZoneInfo, step: Step | None = None
) -> SpendingSums:
    """Sum the requests of a selection: times in order, then the dearest first.

    connection is in a transaction, so that nothing is counted twice or missed between rows and roll-up.
    """
    queries = UsageQueries(wanted)
    sums = _Sums()
    bounds = _bounds(connection, wanted.since_ms, wanted.until_ms)
    pieces = list(_pieces(bounds, wanted, zone))
    rolled = _RolledHours(connection, queries)
    if wanted.needs_rows and pieces:
        _sum_rows(connection, rolled, pieces, sums, step)
    elif not wanted.needs_rows:
        for piece in pieces:
            _add_piece(connection, rolled, piece, sums)
    rows = sums.rows(wanted.by)
    times = [n for n, word in enumerate(wanted.by) if word in TIME_WORDS]
    rows.sort(key=lambda row: ([label_order(row.key[n]) for n in times], -row.cost_pusd, row.key))
    return SpendingSums(rows, sums.total() if queries.is_repeated else SpendingRow.total(rows))


class _Piece(NamedTuple):
    """A part of the range within one window of each word of time, with one rate."""

    labels: dict[str, str]
    start_ms: int
    end_ms: int
    usd_rate: str | None

    @property
    def whole_hours(self) -> tuple[int, int]:
        """Return the first whole hour of UTC in it, and the end of the last; turned around where there is none."""
        return -(-self.start_ms // HOUR_MS) * HOUR_MS, self.end_ms // HOUR_MS * HOUR_MS

    def local(self, figures: tuple[int, ...]) -> Decimal | None:
        return None if self.usd_rate is None else local_amount(figures[COST], self.usd_rate)


class _Sums:
    """Figures by the labels of times and the key of the statement, and those of all together."""

    def __init__(self) -> None:
        self._figures: dict[tuple[tuple[str, ...], tuple[str, ...]], list[int]] = {}
        self._local: dict[tuple[tuple[str, ...], tuple[str, ...]], Decimal | None] = {}
        self._total = [0] * FIGURES
        self._total_local: Decimal | None = Decimal(0)

    def add(self, piece: _Piece, key: tuple[str, ...], figures: tuple[int, ...]) -> None:
        place = tuple(piece.labels.values()), key
        known = self._figures.get(place)
        self._figures[place] = list(figures) if known is None else list(map(int.__add__, known, figures))
        local = piece.local(figures)
        self._local[place] = local if known is None else sum_local((self._local[place], local))

    def add_total(self, piece: _Piece, figures: tuple[int, ...]) -> None:
        self._total = list(map(int.__add__, self._total, figures))
        self._total_local = sum_local((self._total_local, piece.local(figures)))

    def rows(self, by: tuple[str, ...]) -> list[SpendingRow]:
        found = []
        for (labels, key), figures in self._figures.items():
            times, texts = iter(labels), iter(key)
            whole = tuple(next(times if word in TIME_WORDS else texts) for word in by)
            found.append(SpendingRow.of_figures(whole, figures, self._local[labels, key]))
        return found

    def total(self) -> SpendingRow:
        return SpendingRow.of_figures(("total",), self._total, self._total_local)


def _bounds(connection: sqlite3.Connection, since_ms: int | None, until_ms: int | None) -> tuple[int, int]:
    """Return the range, limited to what the roll-up covers."""
    first, last = connection.execute(FIRST_AND_LAST).fetchone()
    if first is None:
        return 0, 0
    start_ms = first if since_ms is None else max(since_ms, first)
    end_ms = last + HOUR_MS if until_ms is None else min(until_ms, last + HOUR_MS)
    return start_ms, end_ms


def _pieces(bounds: tuple[int, int], wanted: UsageSelection, zone: ZoneInfo) -> Iterator[_Piece]:
    words = [word for word in wanted.by if word in TIME_WORDS]
    for labels, start_ms, end_ms in time_segments(*bounds, zone, words):
        named = dict(zip(words, labels, strict=True))
        for first_ms, last_ms, usd_rate in rate_spans(wanted.rates, start_ms, end_ms):
            yield _Piece(named, first_ms, last_ms, usd_rate)


def _add_piece(connection: sqlite3.Connection, rolled: "_RolledHours", piece: _Piece, sums: _Sums) -> None:
    """Add whole hours from the roll-up, and what is left of the piece from rows."""
    first_ms, last_ms = piece.whole_hours
    queries = rolled.queries
    if first_ms > last_ms:  # all within one hour
        edges = [(piece.start_ms, piece.end_ms)]
    else:
        edges = [(piece.start_ms, first_ms), (last_ms, piece.end_ms)]
    for key, counted in rolled.read(piece).items():
        sums.add(piece, key, tuple(counted))
    for start_ms, end_ms in edges:
        if start_ms < end_ms:
            first, last = id_range(connection, start_ms, end_ms)
            values = {"since": start_ms, "until": end_ms, "first": first, "last": last}
            for query in queries.single:
                for key, figures in _read(connection, query, {**queries.values, **values}):
                    sums.add(piece, key, figures)
    for names, rest in rolled.beyond_rows(piece).items():
        sums.add(piece, names, rest)


class _RolledHours:
    """What the roll-up has of a selection."""

    def __init__(self, connection: sqlite3.Connection, queries: UsageQueries) -> None:
        self.queries = queries
        self._connection = connection
        self._summed = SummedHours(connection)
        self._removed_before_ms = removed_before_ms(connection)

    def read(self, piece: _Piece) -> dict[tuple[str, ...], list[int]]:
        """Return the sums of the whole hours of a piece."""
        parts, queries = self._summed.parts(*piece.whole_hours), self.queries
        found: dict[tuple[str, ...], list[int]] = {}
        for query, times in ((queries.days, parts.days), (queries.hours, parts.hours)):
            if times is not None:
                for key, figures in _read(self._connection, query, {**queries.values, "times": times}):
                    known = found.get(key)
                    found[key] = list(figures) if known is None else list(map(int.__add__, known, figures))
        return found

    def beyond_rows(self, piece: _Piece) -> dict[tuple[str, ...], tuple[int, ...]]:
        """Return what the roll-up counts in the hour that a piece ends within and rows no longer tell the time of.

        It goes to the piece that has the beginning of the hour, so that it is in one of them.
        """
        hour_ms = piece.end_ms // HOUR_MS * HOUR_MS
        if not _is_cut(piece.start_ms, piece.end_ms, self._removed_before_ms):
            return {}
        connection, queries = self._connection, self.queries
        values = {**queries.values, "times": f"[{hour_ms}]"}
        left = {key: list(figures) for key, figures in _read(connection, queries.hours, values)}
        first, last = id_range(connection, hour_ms, hour_ms + HOUR_MS)
        values |= {"since": hour_ms, "until": hour_ms + HOUR_MS, "first": first, "last": last, "quantum": HOUR_MS}
        for query in queries.plain:
            for key, figures in _read(connection, query, values):
                _subtract(left, key[1:] if queries.needs_rows else key, figures)
        return {key: tuple(rest) for key, rest in left.items() if any(rest)}


def _is_cut(start_ms: int, end_ms: int, removed_before_ms: int) -> bool:
    """Return whether a range has the beginning but not the end of an hour from which rows may have been removed."""
    hour_ms = end_ms // HOUR_MS * HOUR_MS
    return start_ms <= hour_ms < min(end_ms, removed_before_ms)


def _sum_rows(
    connection: sqlite3.Connection, rolled: _RolledHours, pieces: Sequence[_Piece], sums: _Sums, step: Step | None
) -> None:
    """Add all rows in one pass over their ids, each to the piece of its time, and what the roll-up has beyond them."""
    queries = rolled.queries
    starts = [piece.start_ms for piece in pieces]
    quantum_ms = gcd(HOUR_MS, *starts[1:])  # no piece and no whole hour begins within one
    left = [rolled.read(piece) for piece in pieces]
    if queries.is_repeated:
        for piece, hours in zip(pieces, left, strict=True):
            for counted in hours.values():
                sums.add_total(piece, tuple(counted))
    passes = [queries.single, *([queries.plain] if queries.is_repeated else [])]
    for number, both in enumerate(passes):
        is_last = number == len(passes) - 1  # it has each request once
        for done, (at, *key), figures in _timed(connection, queries, both, pieces, quantum_ms):
            at_ms = int(at) * quantum_ms
            place = max(bisect_right(starts, at_ms) - 1, 0)
            piece = pieces[place]
            first_ms, last_ms = piece.whole_hours
            if number == 0:
                sums.add(piece, tuple(key), figures)
            if is_last and first_ms <= at_ms < last_ms:
                _subtract(left[place], tuple(key) if number else queries.rolled_part(tuple(key)), figures)
            elif is_last and queries.is_repeated:
                sums.add_total(piece, figures)
            if step is not None:
                step((number + done) / len(passes))
    for piece, hours in zip(pieces, left, strict=True):
        for names, rest in hours.items():
            if any(rest):
                sums.add(piece, queries.whole_key(names), tuple(rest))
        for names, beyond in rolled.beyond_rows(piece).items():
            sums.add(piece, queries.whole_key(names), beyond)
            if queries.is_repeated:
                sums.add_total(piece, beyond)


def _timed(
    connection: sqlite3.Connection,
    queries: UsageQueries,
    both: tuple[str, str],
    pieces: Sequence[_Piece],
    quantum_ms: int,
) -> Iterator[tuple[float, tuple[str, ...], tuple[int, ...]]]:
    """Yield how far the pass is, a time with a key, and figures: of requests by slices of ids, then of adjustments."""
    start_ms, end_ms = pieces[0].start_ms, pieces[-1].end_ms
    first, last = id_range(connection, start_ms, end_ms)
    values = {**queries.values, **queries.tags, "since": start_ms, "until": end_ms, "quantum": quantum_ms}
    count = max(1, min(_STEPS, (last - first) // id_floor(HOUR_MS)))
    for n in range(count):
        bounds = [first + (last + 1 - first) * part // count for part in (n, n + 1)]
        slice_ = {**values, "first": bounds[0], "last": bounds[1] - 1}
        for key, figures in _read(connection, both[0], slice_):
            yield (n + 1) / count, key, figures
    for key, figures in _read(connection, both[1], values):
        yield 1.0, key, figures


def _subtract(left: dict[tuple[str, ...], list[int]], key: tuple[str, ...], figures: tuple[int, ...]) -> None:
    """Subtract what rows tell from what the roll-up counts."""
    known = left.setdefault(key, [0] * FIGURES)
    left[key] = list(map(int.__sub__, known, figures))


def _read(connection: sqlite3.Connection, query: str, values: Mapping[str, Any]) -> Iterator[Figures]:
    """Yield keys and figures of a statement."""
    for *row, low in connection.execute(query, values):
        if low is not None:  # without a key there is a row also where there is nothing
            figures = row[-FIGURES:]
            figures[COST] = join_sums(figures[COST], low)
            yield tuple(row[:-FIGURES]), tuple(figures)


def sum_late(connection: sqlite3.Connection, wanted: UsageSelection) -> list[LateSum]:
    """Sum the adjustments of the requests of a selection by reason and source, the largest amounts first."""
    sums: dict[tuple[str, str], LateSum] = {}
    start_ms, end_ms = _bounds(connection, wanted.since_ms, wanted.until_ms)
    for first_ms, last_ms, usd_rate in rate_spans(wanted.rates, start_ms, end_ms):
        values = {"since": first_ms, "until": last_ms, "user": wanted.user}
        for reason, source, count, *sums_pusd in connection.execute(_LATE, values):
            pusd = join_sums(*sums_pusd)
            local = None if usd_rate is None else local_amount(pusd, usd_rate)
            known = sums.get((reason, source), LateSum(reason, source, 0, 0, Decimal(0)))
            sums[reason, source] = LateSum(
                reason, source, known.number + count, known.pusd + pusd, sum_local((known.local, local))
            )
    return sorted(sums.values(), key=lambda each: (-abs(each.pusd), each.reason, each.source))


_LATE = (
    f"SELECT reason, source, count(*), {exact_sum('amount_pusd')} FROM adjustments"  # noqa: S608 - constants
    " WHERE at_ms >= :since AND at_ms < :until"
    " AND (:user IS NULL OR user = :user) GROUP BY 1, 2"
)


def unsettled(
    connection: sqlite3.Connection, *, since_ms: int | None = None, until_ms: int | None = None, user: str | None = None
) -> UnsettledSum:
    """Count what is open, pending, or settled with a flag, of the requests that began in [since_ms, until_ms)."""
    first, last = id_range(connection, since_ms, until_ms)
    (mark,) = connection.execute(_UNFINISHED_FROM).fetchone()
    values = {"first": max(first, mark), "last": last, "since": since_ms, "until": until_ms, "user": user}
    found = connection.execute(_UNFINISHED, values).fetchone()
    return UnsettledSum(found[0] or 0, found[1] or 0, _flagged(connection, since_ms, until_ms, user))


# no request with a smaller id is unfinished
_UNFINISHED_FROM = "SELECT ifnull((SELECT CAST(value AS INTEGER) FROM meta WHERE name = 'unfinished_from'), 0)"
_UNFINISHED = (
    "SELECT sum(state = 'open'), sum(state = 'pending') FROM requests WHERE id >= :first AND id <= :last"
    " AND (:since IS NULL OR started_ms >= :since) AND (:until IS NULL OR started_ms < :until)"
    " AND (:user IS NULL OR user = :user)"
)
_FLAGGED = "SELECT ifnull(sum(flagged), 0) FROM {0} IN (SELECT value FROM json_each(:times)){1}"
_FLAGGED_DAYS = "usage_daily WHERE facet = {0} AND day_ms"
_FLAGGED_HOURS = "usage_hourly WHERE hour_ms"
_FLAGGED_ROWS = (
    "SELECT count(*) FROM requests WHERE id >= :first AND id <= :last AND started_ms >= :since AND started_ms < :until"
    " AND (:user IS NULL OR user = :user) AND state IN ('settled', 'released') AND flags IS NOT NULL AND flags <> :but"
)


def _flagged(connection: sqlite3.Connection, since_ms: int | None, until_ms: int | None, user: str | None) -> int:
    """Count flagged requests: in whole hours by the roll-up, at the edges of the range row by row."""
    start_ms, end_ms = _bounds(connection, since_ms, until_ms)
    if start_ms >= end_ms:
        return 0
    first_ms, last_ms = -(-start_ms // HOUR_MS) * HOUR_MS, end_ms // HOUR_MS * HOUR_MS
    edges = [(start_ms, min(first_ms, end_ms)), (max(last_ms, start_ms), end_ms)]
    if first_ms > last_ms:  # all within one hour
        edges, first_ms = [(start_ms, end_ms)], last_ms
    found = 0
    parts, names = SummedHours(connection).parts(first_ms, last_ms), () if user is None else ("user",)
    days = _FLAGGED_DAYS.format(facet_of(names).number)
    for source, times in ((days, parts.days), (_FLAGGED_HOURS, parts.hours)):
        if times is not None:
            query = _FLAGGED.format(source, "" if user is None else " AND user = :user")
            found += connection.execute(query, {"times": times, "user": user}).fetchone()[0]
    found += sum(_flagged_rows(connection, *edge, user) for edge in edges if edge[0] < edge[1])
    if _is_cut(start_ms, end_ms, removed_before_ms(connection)):  # as the sums themselves, what rows no longer tell
        query = _FLAGGED.format(_FLAGGED_HOURS, "" if user is None else " AND user = :user")
        found += connection.execute(query, {"times": f"[{last_ms}]", "user": user}).fetchone()[0]
        found -= _flagged_rows(connection, last_ms, last_ms + HOUR_MS, user)
    return found


def _flagged_rows(connection: sqlite3.Connection, start_ms: int, end_ms: int, user: str | None) -> int:
    first, last = id_range(connection, start_ms, end_ms)
    values = {"since": start_ms, "until": end_ms, "first": first, "last": last, "user": user, "but": DOUBTLESS}
    found: int = connection.execute(_FLAGGED_ROWS, values).fetchone()[0]
    return found


_USERS = "SELECT name FROM users"
_USERS_UNFINISHED = f"SELECT user FROM requests WHERE state IN ('open', 'pending') AND id >= ({_UNFINISHED_FROM})"  # noqa: S608


def has_user(connection: sqlite3.Connection, name: str) -> bool:
    """Return whether a user is in the database, or anything was ever booked or reserved for one."""
    if connection.execute(f"{_USERS} WHERE name = ?", (name,)).fetchone():
        return True
    for source, times in rolled_sources(connection, ("user",)):
        query = f"SELECT 1 FROM {source} {TIMES} AND user = :user LIMIT 1"  # noqa: S608 - constants
        if connection.execute(query, {"times": times, "user": name}).fetchone():
            return True
    return connection.execute(f"{_USERS_UNFINISHED} AND user = ? LIMIT 1", (name,)).fetchone() is not None


def known_users(connection: sqlite3.Connection) -> list[str]:
    """Return all such names."""
    found = {row[0] for query in (_USERS, _USERS_UNFINISHED) for row in connection.execute(query)}
    for source, times in rolled_sources(connection, ("user",)):
        query = f"SELECT DISTINCT user FROM {source} {TIMES}"  # noqa: S608 - constants
        found.update(row[0] for row in connection.execute(query, {"times": times}))
    return sorted(found)


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
