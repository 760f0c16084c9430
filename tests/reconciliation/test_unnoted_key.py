"""A key of which the ledger has noted nothing for a provider: what it cannot know is not looked for again and again."""

import sqlite3
from pathlib import Path

import pytest

from tests.reconciliation.month import month_before
from tests.reconciliation.test_month import played, today


@pytest.mark.parametrize("is_noted", [True, False])
async def test_when_a_key_came_is_looked_up_once_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_noted: bool
) -> None:
    """Where two entries of providers have the key, it is noted for one of them alone."""
    async with played(tmp_path, month_before(today(), days=2), "report") as play:
        if not is_noted:
            with sqlite3.connect(tmp_path / "ledger.db") as connection:
                connection.execute("UPDATE key_hashes SET provider = 'twin'")
            connection.close()
        reports = play.app.services.reports
        looked_up, look = list[str](), reports.keys_begun_ms

        def keys_begun_ms(provider: str) -> dict[str, int]:
            looked_up.append(provider)
            return look(provider)

        monkeypatch.setattr(reports, "keys_begun_ms", keys_begun_ms)
        for _ in range(2):
            await play.sync()
        assert looked_up == (["openrouter"] if is_noted else [])
