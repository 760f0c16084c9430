"""What a request cost is shown with the corrections that came late, in a list and alone."""

from pathlib import Path

from proxy.storage.adjustment import Correction
from proxy.storage.request_reports import RequestFilter
from proxy.storage.rows import id_text
from proxy.storage.sqlite.reports import SqliteReports
from tests.storage.made_requests import START_MS, opened, request_end, running


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
