"""Rebuild quota totals from the ledger: at start, and for a scope whose first limit comes with a reload."""

import sqlite3
from collections.abc import Collection
from zoneinfo import ZoneInfo

from proxy.policy.quota import QuotaBook, SettledRow, fine_rows, scopes_of, use_case_scope
from proxy.storage.sqlite.ledger import read_unfinished
from proxy.storage.sqlite.quota_totals import read_totals
from proxy.storage.sqlite.retention import readable_rows


def rebuilt_book(
    connection: sqlite3.Connection, zone: ZoneInfo, now_ms: int, use_cases: Collection[str] = ()
) -> QuotaBook:
    """Return the quota totals of a ledger's rows and roll-up; use_cases: those that have limits."""
    totals = read_totals(connection, readable_rows(connection, fine_rows(now_ms, zone)))
    book = QuotaBook(zone)
    book.load_hours(totals.hours)
    book.load_rows(totals.rows)
    for use_case in use_cases:
        found = read_totals(connection, readable_rows(connection, fine_rows(now_ms, zone)), use_case)
        book.load_scope(use_case_scope(use_case), found.hours, found.rows)
    for row in read_unfinished(connection):
        scopes = scopes_of(row.user, row.group_name, row.use_case if row.use_case in use_cases else None)
        book.load_open(row.id, scopes, row.started_ms, row.held_pusd, row.reserved_tokens or 0, row.held_pieces)
    return book


def past_of(
    connection: sqlite3.Connection, *, use_case: str, zone: ZoneInfo, now_ms: int, counted: set[int]
) -> tuple[list[SettledRow], list[SettledRow]]:
    """Return what was booked under a use case, by hours and by rows; counted: requests to be left out.

    Open requests count at what they hold, for good: on the safe side.
    """
    known = frozenset(counted.copy())  # in one step, since the event loop goes on adding rows
    totals = read_totals(connection, readable_rows(connection, fine_rows(now_ms, zone)), use_case, known)
    held = [
        SettledRow(
            row.started_ms, row.user, row.group_name, row.held_pusd, row.reserved_tokens or 0, 1, row.held_pieces
        )
        for row in read_unfinished(connection)
        if row.use_case == use_case and row.id not in known
    ]
    return totals.hours, [*totals.rows, *held]
