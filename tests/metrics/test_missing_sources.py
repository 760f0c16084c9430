"""What cannot be read is left out and said to be: the rest is shown all the same."""

from pathlib import Path
from typing import Any, NoReturn

import pytest

from proxy.core.errors import LedgerError
from tests.metrics.page import read_metrics
from tests.support.stand import stand

RULES: dict[str, Any] = {"alerts": {"rules": {"disk": {"watch": "disk_free", "at": "1B"}}}, "metrics": {"users": True}}


async def test_a_ledger_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreadable(*_: object) -> NoReturn:
        raise LedgerError("the file is gone")

    def no_disk(*_: object) -> NoReturn:
        raise OSError("no such device")

    async with stand(tmp_path, RULES) as at:
        assert (await at.chat()).status == 200
        for name in ("alerts", "compared_days", "list_users"):
            monkeypatch.setattr(at.app.reports, name, unreadable)
        monkeypatch.setattr("proxy.web.metrics.machine.shutil.disk_usage", no_disk)
        page = await read_metrics(at)
        sources = {labels["source"]: value for labels, value in page.series("tollkeeper_metrics_source_ok")}
        assert sources == {"disk": 0, "alerts": 0, "drift": 0, "limits": 0}
        for name in ("tollkeeper_disk_free_bytes", "tollkeeper_alerts_firing", "tollkeeper_limit_used_ratio"):
            assert page.series(name) == []
            assert name in page.families
        assert page.sum("tollkeeper_requests_total") == 1
        monkeypatch.undo()
        page = await read_metrics(at)
        assert {value for _, value in page.series("tollkeeper_metrics_source_ok")} == {1}
