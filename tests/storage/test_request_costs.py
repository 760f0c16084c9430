"""What a request cost is shown with the corrections that came late, in a list and alone."""

from pathlib import Path
from typing import Any

from proxy.storage.adjustment import Correction
from proxy.storage.request_reports import RequestFilter
from proxy.storage.rows import OpenRow, RequestEnd, id_text
from proxy.storage.sqlite.reports import SqliteReports
from tests.storage.made_requests import START_MS, attempt_end, attempt_row, opened, request_end, running


async def test_late_corrections_count(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    async with running(path) as owner:
        rows = [await opened(owner) for _ in range(2)]
        for row in rows:
            await owner.end(request_end(row, cost_pusd=700))
        for actual in (750, 730):
            await owner.correct([Correction(rows[0].id, actual, "late", "generation")], START_MS)
    reports = SqliteReports(path)
    assert [entry.cost_pusd for entry in reports.requests(RequestFilter(), None, 10).entries] == [700, 730]
    assert [entry.id for entry in reports.requests(RequestFilter(cost_min_pusd=701), None, 10).entries] == [rows[0].id]
    found = reports.request(id_text(rows[0].id), START_MS)
    assert found is not None
    assert found[0].cost_pusd == 730


async def test_what_is_charged_in_full_without_an_id_can_be_listed(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    async with running(path) as ledger:

        def in_full(row: OpenRow, **changes: Any) -> RequestEnd:
            return request_end(row, cost_source="reservation", cost_pusd=100, **changes)

        rows = [await opened(ledger) for _ in range(6)]
        unnamed, named, told, corrected, unsent, several = rows
        await ledger.end(in_full(unnamed))
        await ledger.end(in_full(named, generation_id="gen-1"))
        await ledger.end(request_end(told))
        await ledger.end(in_full(corrected))
        await ledger.end(request_end(unsent, cost_source="reservation", cost_pusd=0))
        first = attempt_end(several.id, 1, cost_source="reservation", cost_pusd=60)
        await ledger.add_attempt(attempt_row(several.id), first)
        last = attempt_end(several.id, 2, generation_id="gen-2")
        await ledger.end(in_full(several, n=2, generation_id="gen-2", attempt_ends=(last,)))
        await ledger.correct([Correction(corrected.id, 7, "x: y", "test")], 1)
        reports = SqliteReports(path)

        def ids(wanted: RequestFilter) -> list[int]:
            return [entry.id for entry in reports.requests(wanted, None, 10).entries]

        assert ids(RequestFilter(charged_in_full=True)) == [several.id, unnamed.id]
        others = [unsent.id, corrected.id, told.id, named.id]
        assert ids(RequestFilter(charged_in_full=False)) == others
