"""Rebuild quota totals from the ledger: at start, and for a scope whose first limit comes with a reload."""

from collections.abc import Collection
from zoneinfo import ZoneInfo

from proxy.policy.quota import QuotaBook, SettledRow, fine_rows, scopes_of, use_case_scope
from proxy.storage.reports import Reports


def rebuilt_book(reports: Reports, zone: ZoneInfo, now_ms: int, use_cases: Collection[str] = ()) -> QuotaBook:
    """Return the quota totals of a ledger's rows and roll-up; use_cases: those that have limits. Blocks."""
    start = reports.quota_start(fine_rows(now_ms, zone), use_cases)
    book = QuotaBook(zone)
    book.load_hours(start.totals.hours)
    book.load_rows(start.totals.rows)
    for use_case, totals in start.use_cases.items():
        book.load_scope(use_case_scope(use_case), totals.hours, totals.rows)
    for row in start.unfinished:
        scopes = scopes_of(row.user, row.group_name, row.use_case if row.use_case in use_cases else None)
        book.load_open(row.id, scopes, row.started_ms, row.held_pusd, row.reserved_tokens or 0, row.held_pieces)
    return book


def past_of(
    reports: Reports, use_case: str, zone: ZoneInfo, now_ms: int, counted: set[int]
) -> tuple[list[SettledRow], list[SettledRow]]:
    """Return what was booked under a use case, by hours and by rows; counted: requests to be left out. Blocks.

    Open requests count at what they hold, for good: on the safe side.
    """
    totals, unfinished = reports.quota_past(fine_rows(now_ms, zone), use_case, counted)
    held = [
        SettledRow(
            row.started_ms, row.user, row.group_name, row.held_pusd, row.reserved_tokens or 0, 1, row.held_pieces
        )
        for row in unfinished
    ]
    return totals.hours, [*totals.rows, *held]
