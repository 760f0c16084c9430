"""Rebuild quota totals from the ledger: at start, and for a part of the spending that gets its first limit later."""

from collections.abc import Collection
from zoneinfo import ZoneInfo

from proxy.policy.quota import QuotaBook, SettledRow, fine_rows, scopes_of, set_scope, use_case_scope
from proxy.storage.reports import LimitPart, Reports


def rebuilt_book(reports: Reports, zone: ZoneInfo, now_ms: int, parts: Collection[LimitPart] = ()) -> QuotaBook:
    """Return the quota totals of a ledger's rows and roll-up; parts: those of the spending that have limits. Blocks."""
    start = reports.quota_start(fine_rows(now_ms, zone), parts)
    book = QuotaBook(zone)
    book.load_hours(start.totals.hours)
    book.load_rows(start.totals.rows)
    for part, totals in start.parts.items():
        if part.use_case is None:
            book.open_models(part.models)
            book.load_models(part.models, totals.hours, totals.rows)
        else:
            book.load_scope(set_scope(use_case_scope(part.use_case), part.models), totals.hours, totals.rows)
    kept = {part.use_case for part in parts if not part.models}
    for row in start.unfinished:
        scopes = scopes_of(row.user, row.group_name, row.use_case if row.use_case in kept else None, row.groups_above)
        scopes = book.with_answer(scopes, row.answer)
        book.load_open(row.id, scopes, row.started_ms, row.held_pusd, row.reserved_tokens or 0, row.held_pieces)
    return book


def past_of(
    reports: Reports, part: LimitPart, zone: ZoneInfo, now_ms: int, counted: set[int]
) -> tuple[list[SettledRow], list[SettledRow]]:
    """Return what was booked in a part of the spending, by hours and by rows; counted: requests to be left out. Blocks.

    Open requests count at what they hold, for good: on the safe side.
    """
    totals, unfinished = reports.quota_past(fine_rows(now_ms, zone), part, counted)
    held = [
        SettledRow(
            row.started_ms,
            row.user,
            row.group_name,
            row.held_pusd,
            row.reserved_tokens or 0,
            1,
            row.held_pieces,
            row.groups_above,
        )
        for row in unfinished
    ]
    return totals.hours, [*totals.rows, *held]
