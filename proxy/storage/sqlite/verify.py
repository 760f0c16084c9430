"""Recompute the ledger from its rows and report what does not add up.

Read-only, in one read transaction, beside a running proxy or without one. What retention has removed is known by its
mark: older hours are compared with the remaining rows. A limit that was passed is a difference unless the rows say why
(flag over_reservation, adjustments) or the limit was changed after the requests were admitted.
"""

import sqlite3
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from msgspec import Struct, field

from proxy.core.clock import iso_utc
from proxy.core.counts import Counts
from proxy.core.errors import LedgerError
from proxy.core.limit_kinds import BY_NAME, COST, COUNTED, INDEX, NOTHING
from proxy.core.money import pusd_to_usd
from proxy.policy.quota import Quota, refusal_order
from proxy.policy.quota.window import window_at
from proxy.storage.limit_sums import (
    RESERVED_BY_ROW,
    SETTLED_BY_ROW,
    UNCOUNTED_PIECES,
    UNCOUNTED_TOKENS,
)
from proxy.storage.reports import Reports
from proxy.storage.rows import HOUR_MS, id_floor, id_text
from proxy.storage.spending_source import SpendingSource
from proxy.storage.sqlite.connect import open_reader
from proxy.storage.sqlite.exact_sum import exact_sum, join_sums
from proxy.storage.sqlite.reports import SqliteReports
from proxy.storage.sqlite.retention import removed_before_ms
from proxy.storage.sqlite.spending_source import ENDED_SOURCE, HELD_SOURCE
from proxy.storage.sqlite.verify_daily import compare_days
from proxy.storage.sqlite.verify_faults import (
    ADJUSTMENT_FAULTS,
    ATTEMPT_FAULTS,
    ENDED,
    ROW_FAULTS,
    SUMMED_ATTEMPTS,
    cases,
    flagged,
)
from proxy.storage.sqlite.verify_limits import EndedRequest, RequestedAmounts, explain_excess
from proxy.storage.sqlite.verify_performance import compare_answers
from proxy.storage.sqlite.wal_check import look_at_wal, odd_wal

LISTED = 50
_FOREVER_MS = (1 << 41) // HOUR_MS * HOUR_MS  # in the year 2039, as in sqlite/startup_reads.py


class LedgerDifference(Struct, frozen=True):
    """One thing that does not add up. check: see docs/concepts/ledger.md; where is a request, an hour, a limit."""

    check: str
    where: str
    text: str


class ExpectedTotals(Struct, frozen=True):
    """Limits of the configuration. limits_changed_ms: the last change of a limit; None: no change is known."""

    quotas: Collection[Quota]
    zone: ZoneInfo
    limits_changed_ms: int | None
    longest_request_s: float
    longest_look_up_s: float


class LedgerFindings(Struct):
    """counts says how many differences each check found; differences holds LISTED of them, some of each check.

    notes are worth reading but are no differences.
    """

    requests: int = 0
    attempts: int = 0
    adjustments: int = 0
    open: int = 0
    pending: int = 0
    cost_pusd: int = 0
    removed_before_ms: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    differences: list[LedgerDifference] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def count(self) -> int:
        return sum(self.counts.values())

    def add(self, difference: LedgerDifference) -> None:
        count = self.counts[difference.check] = self.counts.get(difference.check, 0) + 1
        if count <= LISTED:
            self.differences.append(difference)

    def trim(self) -> None:
        """Keep LISTED differences, shared evenly among the checks that found any."""
        places: dict[str, int] = {}
        ranked = []
        for number, difference in enumerate(self.differences):
            place = places[difference.check] = places.get(difference.check, 0) + 1
            ranked.append((place, number))
        kept = sorted(number for _, number in sorted(ranked)[:LISTED])
        self.differences = [self.differences[number] for number in kept]


def verify(
    connection: sqlite3.Connection,
    expected: ExpectedTotals,
    now_ms: int,
    step: Callable[[float, str], None] = lambda _done, _what: None,
) -> LedgerFindings:
    """Check everything. connection is read-only and in autocommit mode; raises sqlite3.DatabaseError.

    step gets the progress, from 0 to 1, and what is checked next.
    """
    findings = LedgerFindings()
    connection.execute("BEGIN")  # one snapshot: a settlement meanwhile is in all sums or in none
    try:
        ledger = _Ledger(connection, removed_before_ms(connection))
        findings.removed_before_ms = ledger.removed_before_ms
        checks = (_integrity, _rows, _attempts, _generations, _adjustments, _rollup, _performance, _daily, _users)
        for n, check in enumerate(checks):
            step(n / (len(checks) + 1), check.__name__.strip("_"))
            for difference in _guarded(check, ledger):
                findings.add(difference)
        step(len(checks) / (len(checks) + 1), "limits")
        _unfinished(ledger, expected, now_ms, findings)
        _limits(ledger, expected, now_ms, findings)
        _count(ledger, findings)
        findings.trim()
    finally:
        connection.execute("ROLLBACK")
    return findings


def verify_file(
    path: Path,
    expected: Callable[[Reports], ExpectedTotals],
    now_ms: int,
    step: Callable[[float, str], None],
    *,
    is_owned: bool,
) -> LedgerFindings:
    """Check a file, and what lies beside it; raises LedgerError where it cannot be read.

    expected reads from the ledger what the configuration does not say. is_owned: a process has it open for writing.
    """
    head, has_lock_file = look_at_wal(path)  # before it is opened
    try:
        with closing(open_reader(path)) as connection:
            odd = odd_wal(connection, head, has_lock_file=has_lock_file, is_owned=is_owned)
            findings = verify(connection, expected(SqliteReports(path)), now_ms, step)
    except sqlite3.DatabaseError as error:
        raise LedgerError(f"{path} cannot be read: {error}. See docs/concepts/ledger.md, 'A damaged file'.") from None
    if odd is not None:
        findings.notes.insert(0, odd)
    return findings


class _Ledger:
    """The snapshot, and the sums that several checks need."""

    def __init__(self, connection: sqlite3.Connection, removed_ms: int) -> None:
        self.connection = connection
        self.execute = connection.execute
        self.removed_before_ms = removed_ms
        self.rows: dict[_Key, _Figures] = {}  # sums of what has ended, by key of the roll-up
        self.rollup: dict[_Key, _Figures] = {}
        self.is_summed = False


_Key = tuple[int, str, str, str, str, str, str, str]  # hour_ms, then SpendingSource
_Figures = tuple[int, ...]  # in the order of _FIGURES
_FIGURES = (
    "requests",
    "errors",
    "input_tokens",
    "output_tokens",
    "cached_tokens",
    "reasoning_tokens",
    "uncounted_tokens",
    *Counts._fields,
    *UNCOUNTED_PIECES,
    "flagged",
    "cost_pusd",
)
# of each kind of limit, the places of the figures whose sum it counts
_COUNTED_FIGURES = [
    [_FIGURES.index(name) for name in (*kind.settled, kind.uncounted) if name is not None]
    or [_FIGURES.index(kind.name)]
    for kind in COUNTED
]
_Check = Callable[[_Ledger], Iterator[LedgerDifference]]


def _guarded(check: _Check, ledger: _Ledger) -> Iterator[LedgerDifference]:
    """Run a check; sums that no INTEGER can hold are a finding and not a failure."""
    try:
        yield from check(ledger)
    except sqlite3.OperationalError as error:
        if "overflow" not in str(error):
            raise
        yield LedgerDifference(check.__name__.strip("_"), "-", "amounts that are too large to be added up")


def _integrity(ledger: _Ledger) -> Iterator[LedgerDifference]:
    for (text,) in ledger.execute(f"PRAGMA integrity_check({LISTED})"):
        if text != "ok":
            yield LedgerDifference("integrity", "file", text)


# --- each request by itself


def _rows(ledger: _Ledger) -> Iterator[LedgerDifference]:
    sql = f"SELECT id, {cases(ROW_FAULTS)} AS fault FROM requests WHERE fault IS NOT NULL"  # noqa: S608 - constants
    for id_, text in ledger.execute(sql):
        yield LedgerDifference("request", id_text(id_), text)


# --- requests and their attempts


def _attempts(ledger: _Ledger) -> Iterator[LedgerDifference]:
    sql = (
        f"SELECT a.request_id, {cases(ATTEMPT_FAULTS)} AS fault"  # noqa: S608 - constants of this file
        f" FROM ({SUMMED_ATTEMPTS}) a LEFT JOIN requests r ON r.id = a.request_id WHERE fault IS NOT NULL"
    )
    for id_, text in ledger.execute(sql):
        yield LedgerDifference("attempt", id_text(id_), text)
    for (id_,) in ledger.execute(
        "SELECT id FROM requests WHERE NOT EXISTS (SELECT 1 FROM attempts WHERE request_id = requests.id)"
    ):
        yield LedgerDifference("attempt", id_text(id_), "a request without any attempt")


def _generations(ledger: _Ledger) -> Iterator[LedgerDifference]:
    """Yield generations charged twice. Servers that only count tokens may reuse an id for many answers."""
    for provider, generation_id, count, first in ledger.execute(
        "SELECT provider, generation_id, count(*), min(request_id) FROM attempts"
        " WHERE generation_id IS NOT NULL AND cost_source IN ('provider', 'generation', 'reservation')"
        " GROUP BY generation_id, provider HAVING count(*) > 1"
    ):
        text = f"generation {generation_id} of {provider} stands on {count} attempts"
        yield LedgerDifference("generation", id_text(first), text)


def _adjustments(ledger: _Ledger) -> Iterator[LedgerDifference]:
    sql = (
        f"SELECT a.id, a.request_id, {cases(ADJUSTMENT_FAULTS)} AS fault FROM (SELECT *,"  # noqa: S608 - constants
        " lag(booked_pusd + amount_pusd) OVER (PARTITION BY request_id, reference ORDER BY id) AS before_pusd"
        " FROM adjustments) a LEFT JOIN requests r ON r.id = a.request_id WHERE fault IS NOT NULL"
    )
    for id_, request_id, text in ledger.execute(sql, (ledger.removed_before_ms,)):
        where = "-" if request_id is None else id_text(request_id)
        yield LedgerDifference("adjustment", where, f"adjustment {id_}: {text}")


# --- the roll-up

_KEY = (
    f"started_ms - started_ms % {HOUR_MS}, user, ifnull(group_name, ''), ifnull(model, ''), ifnull(provider, ''),"
    " ifnull(use_case, ''), ifnull(groups_above, ''), ifnull(other_models, '')"
)
_SUM_ROWS = (
    f"SELECT {_KEY}, count(*), sum(error IS NOT NULL), sum(ifnull(input_tokens, 0)), sum(ifnull(output_tokens, 0)),"  # noqa: S608 - constants
    f" sum(ifnull(cached_tokens, 0)), sum(ifnull(reasoning_tokens, 0)), sum({UNCOUNTED_TOKENS}),"
    f" {', '.join(f'sum(ifnull({name}, 0))' for name in (*Counts._fields, *UNCOUNTED_PIECES))},"
    f" sum(flags IS NOT NULL AND flags <> 'downgraded'), sum(ifnull(cost_pusd, 0))"
    f" FROM requests WHERE {ENDED} GROUP BY 1, 2, 3, 4, 5, 6, 7, 8"
)
_SUM_ADJUSTMENTS = (
    f"SELECT at_ms - at_ms % {HOUR_MS}, user, group_name, model, provider, use_case, groups_above, other_models,"  # noqa: S608 - constants
    " sum(amount_pusd) FROM adjustments GROUP BY 1, 2, 3, 4, 5, 6, 7, 8"
)
_NO_FIGURES = (0,) * len(_FIGURES)
_ROLLUP = (
    "SELECT hour_ms, user, group_name, model, provider, use_case, groups_above, other_models,"  # noqa: S608 - constants
    f" {', '.join(_FIGURES)} FROM usage_hourly"
)


def _rollup(ledger: _Ledger) -> Iterator[LedgerDifference]:
    """Yield the hours that differ from the sum of their requests and adjustments."""
    rows = {row[:8]: row[8:] for row in ledger.execute(_SUM_ROWS)}
    for row in ledger.execute(_SUM_ADJUSTMENTS):
        figures = rows.get(row[:8], _NO_FIGURES)
        rows[row[:8]] = (*figures[:-1], figures[-1] + row[8])
    ledger.rows, ledger.rollup = rows, {row[:8]: row[8:] for row in ledger.execute(_ROLLUP)}
    ledger.is_summed = True
    unequal = {key for key, _ in ledger.rows.items() ^ ledger.rollup.items()}
    for key in sorted(unequal):
        kept, summed = ledger.rollup.get(key), ledger.rows.get(key)
        if not _removed(key[0], kept, summed, ledger.removed_before_ms):
            yield LedgerDifference("rollup", _key_text(key), _told(kept, summed))
    for key, kept in ledger.rollup.items():
        if key[0] % HOUR_MS or min(kept) < 0:
            yield LedgerDifference("rollup", _key_text(key), "it begins within an hour, or an amount is below 0")


def _removed(hour_ms: int, kept: _Figures | None, summed: _Figures | None, removed_ms: int) -> bool:
    """Return whether retention explains that an hour has fewer rows than the roll-up counts."""
    if hour_ms >= removed_ms or kept is None:
        return False
    if summed is None:
        return True
    return summed[0] < kept[0] and all(part <= whole for part, whole in zip(summed, kept, strict=True))


def _key_text(key: tuple[Any, ...]) -> str:
    return f"{iso_utc(key[0]) if 0 <= key[0] < _FOREVER_MS else key[0]} {' '.join(repr(text) for text in key[1:])}"


def _told(kept: _Figures | None, summed: _Figures | None) -> str:
    if kept is None:
        return "requests that are missing from the roll-up"
    if summed is None:
        return "the roll-up counts requests that do not exist"
    named = zip(_FIGURES, kept, summed, strict=True)
    return ", ".join(f"{name} is {has}, rows say {wants}" for name, has, wants in named if has != wants)


def _performance(ledger: _Ledger) -> Iterator[LedgerDifference]:
    """Yield the hours whose requests were answered in another way than the roll-up counts."""
    for key, text in compare_answers(ledger.connection):
        yield LedgerDifference("performance", _key_text(key), text)


def _daily(ledger: _Ledger) -> Iterator[LedgerDifference]:
    """Yield the days whose sums are not those of their hours."""
    for key, text in compare_days(ledger.connection):
        yield LedgerDifference("daily", _key_text(key), text)


def _users(ledger: _Ledger) -> Iterator[LedgerDifference]:
    """Yield the hours whose users do not add up to the total."""
    if not ledger.is_summed:
        return
    requests, *costs = ledger.execute(
        f"SELECT count(*), {exact_sum('cost_pusd')} FROM requests WHERE {ENDED}"  # noqa: S608 - constants
    ).fetchone()
    adjusted = ledger.execute(f"SELECT {exact_sum('amount_pusd')} FROM adjustments").fetchone()  # noqa: S608 - as above
    cost_pusd = join_sums(*costs) + join_sums(*adjusted)
    by_user: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for key, figures in ledger.rows.items():
        by_user[key[1]][0] += figures[0]
        by_user[key[1]][1] += figures[-1]
    found = [sum(sums) for sums in zip(*by_user.values(), strict=True)] or [0, 0]
    if found != [requests, cost_pusd]:
        text = f"users sum to {found[0]} requests and {found[1]} pico-USD, all rows to {requests} and {cost_pusd}"
        yield LedgerDifference("total", "all users", text)


# --- what has not ended


def _unfinished(ledger: _Ledger, expected: ExpectedTotals, now_ms: int, findings: LedgerFindings) -> None:
    """Report requests that have been open for longer than any request can take."""
    open_ms = now_ms - int(expected.longest_request_s * 1000)
    pending_ms = open_ms - int(expected.longest_look_up_s * 1000)
    for id_, state, started_ms in ledger.execute(
        "SELECT id, state, started_ms FROM requests WHERE state IN ('open', 'pending') ORDER BY id"
    ):
        if state == "open":
            findings.open += 1
            if started_ms < open_ms:
                text = f"open since {iso_utc(started_ms)}: no request takes so long. The next start settles it"
                findings.add(LedgerDifference("open", id_text(id_), text))
        else:
            findings.pending += 1
            if started_ms < pending_ms:
                findings.notes.append(f"{id_text(id_)} has been waiting for its cost since {iso_utc(started_ms)}.")


def _count(ledger: _Ledger, findings: LedgerFindings) -> None:
    findings.requests = ledger.execute("SELECT count(*) FROM requests").fetchone()[0]
    findings.attempts = ledger.execute("SELECT count(*) FROM attempts").fetchone()[0]
    findings.adjustments = ledger.execute("SELECT count(*) FROM adjustments").fetchone()[0]
    findings.cost_pusd = sum(figures[-1] for figures in ledger.rollup.values())


# --- limits


def _limits(ledger: _Ledger, expected: ExpectedTotals, now_ms: int, findings: LedgerFindings) -> None:
    """Report open windows in which more is settled and reserved than the limit allows, unless that is explained."""
    if not ledger.is_summed:
        return
    sums = _WindowSums(ledger)
    for quota in sorted(set(expected.quotas), key=refusal_order):
        if quota.kind not in INDEX or (quota.mode == "soft" and not BY_NAME[quota.kind].is_exact):
            continue  # soft limits may be passed by what was under way; concurrency is not in the rows
        window = window_at(quota.window, expected.zone, now_ms)
        span = (window.start_ms, _FOREVER_MS if window.end_ms is None else window.end_ms)
        settled, reserved = sums.amounts(quota, span)
        excess = settled + reserved - quota.amount
        if excess <= 0:
            continue
        changed_ms = expected.limits_changed_ms
        is_explained, why = explain_excess(quota, excess, changed_ms, _asked(ledger, quota, span))
        text = (
            f"{_amount(quota, settled)} settled and {_amount(quota, reserved)} reserved"
            f" are {_amount(quota, excess)} over the limit of {_amount(quota, quota.amount)}: {why}"
        )
        where = " ".join((f"{quota.scope} {quota.kind}/{quota.window}", *quota.models))
        if is_explained:
            findings.notes.append(f"{where}: {text}.")
        else:
            findings.add(LedgerDifference("limit", where, text))


def _amount(quota: Quota, amount: int) -> str:
    return f"${pusd_to_usd(amount)}" if BY_NAME[quota.kind].unit == "money" else f"{amount} {quota.kind}"


class _WindowSums:
    """What windows hold: whole hours from the sums by hour, the hours at their edges from single rows."""

    def __init__(self, ledger: _Ledger) -> None:
        self._ledger = ledger
        self._hours: dict[SpendingSource, dict[int, list[int]]] = defaultdict(dict)
        for key in ledger.rows.keys() | ledger.rollup.keys():
            figures = ledger.rows.get(key)
            if key[0] < ledger.removed_before_ms:  # its rows may be gone
                figures = ledger.rollup.get(key, figures)
            if figures is not None:
                total = self._hours[SpendingSource._make(key[1:])].setdefault(key[0], [*NOTHING])
                total[:] = [
                    before + sum(figures[column] for column in columns)
                    for before, columns in zip(total, _COUNTED_FIGURES, strict=True)
                ]
        self._edges: dict[tuple[int, int], list[tuple[Any, ...]]] = {}
        self._held = ledger.execute(
            f"SELECT started_ms, {HELD_SOURCE},"  # noqa: S608 - constants
            f" {', '.join(f'ifnull({sql}, 0)' for sql in RESERVED_BY_ROW)}"
            " FROM requests WHERE state IN ('open', 'pending')"
        ).fetchall()

    def amounts(self, quota: Quota, span: tuple[int, int]) -> tuple[int, int]:
        """Return what is settled and what is reserved of a quota's kind in a window, in its scope."""
        start_ms, end_ms = span
        index = INDEX[quota.kind]
        first_ms, last_ms = -(-start_ms // HOUR_MS) * HOUR_MS, end_ms // HOUR_MS * HOUR_MS
        edges = [span] if first_ms > last_ms else [(start_ms, first_ms), (last_ms, end_ms)]
        settled = 0
        for source, hours in self._hours.items():
            if source.is_in(quota):
                settled += sum(figures[index] for at_ms, figures in hours.items() if first_ms <= at_ms < last_ms)
        found = chain.from_iterable(self._edge(*edge) for edge in edges if edge[0] < edge[1])
        for row in found:
            if SpendingSource._make(row[:7]).is_in(quota):
                settled += row[7 + index]
        reserved = sum(
            row[8 + index]
            for row in self._held
            if start_ms <= row[0] < end_ms and SpendingSource._make(row[1:8]).is_in(quota)
        )
        return settled, reserved

    def _edge(self, start_ms: int, end_ms: int) -> list[tuple[Any, ...]]:
        found = self._edges.get((start_ms, end_ms))
        if found is None:
            found = self._edges[start_ms, end_ms] = self._ledger.execute(
                f"SELECT {ENDED_SOURCE}, sum(ifnull(cost_pusd, 0)),"  # noqa: S608 - constants
                f" {', '.join(f'sum({sql})' for sql in SETTLED_BY_ROW[COST + 1 :])} FROM requests"
                f" WHERE id >= ?1 AND started_ms >= ?2 AND started_ms < ?3 AND {ENDED} GROUP BY 1, 2, 3, 4, 5, 6, 7"
                " UNION ALL SELECT user, group_name, model, provider, use_case, groups_above, other_models,"
                f" amount_pusd, {', '.join(['0'] * len(SETTLED_BY_ROW[COST + 1 :]))}"
                " FROM adjustments WHERE at_ms >= ?2 AND at_ms < ?3",
                (id_floor(start_ms), start_ms, end_ms),
            ).fetchall()
        return found


def _asked(ledger: _Ledger, quota: Quota, span: tuple[int, int]) -> Iterator[RequestedAmounts]:
    """Yield every request of a window and scope in the order in which they were admitted."""
    held, used = RESERVED_BY_ROW[INDEX[quota.kind]], SETTLED_BY_ROW[INDEX[quota.kind]]
    found = ledger.execute(
        f"SELECT {HELD_SOURCE}, {ENDED_SOURCE}, id, started_ms, finished_ms, state, {held}, {used},"  # noqa: S608 - constants
        f" {flagged('over_reservation')},"
        " (SELECT sum(amount_pusd) FROM adjustments WHERE request_id = requests.id)"
        " FROM requests WHERE id >= ?1 AND started_ms >= ?2 AND started_ms < ?3 ORDER BY id",
        (id_floor(span[0]), span[0], span[1]),
    )
    for row in found:
        id_, started_ms, finished_ms, state, reserved, amount, is_flagged, adjusted = row[14:]
        has_ended = state in ("settled", "released")
        if not SpendingSource._make(row[7:14] if has_ended else row[:7]).is_in(quota):
            continue
        ended = None
        if has_ended:
            corrected = (adjusted or 0) if INDEX[quota.kind] == COST else 0
            ended = EndedRequest(finished_ms or started_ms, amount or 0, corrected, bool(is_flagged))
        yield RequestedAmounts(id_, started_ms, reserved, ended)
    if INDEX[quota.kind] == COST:
        yield from _rowless(ledger, quota, span)


def _rowless(ledger: _Ledger, quota: Quota, span: tuple[int, int]) -> Iterator[RequestedAmounts]:
    """Yield what was booked late in a window and belongs to no row, as requests that held nothing."""
    found = ledger.execute(
        "SELECT user, group_name, model, provider, use_case, groups_above, other_models, at_ms, amount_pusd"
        " FROM adjustments WHERE at_ms >= ?1 AND at_ms < ?2"
        " AND (request_id IS NULL OR request_id NOT IN (SELECT id FROM requests)) ORDER BY id",
        span,
    )
    for *source, at_ms, amount_pusd in found:
        if SpendingSource._make(source).is_in(quota):
            yield RequestedAmounts(0, at_ms, 0, EndedRequest(at_ms, 0, amount_pusd, flagged=False))
