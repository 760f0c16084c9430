"""What the ledger has of one key: not of the key that had its name before, and not where rows are gone."""

import random
import sqlite3
from contextlib import closing
from datetime import date
from pathlib import Path

from proxy.policy.reconciliation.key_comparison import KeyDay, KeyWindow, compare_key, window_start
from proxy.policy.reconciliation.sync_schedule import day_of, start_ms
from proxy.storage.adjustment import Correction
from proxy.storage.reconciliation import KeyQuestion
from proxy.storage.sqlite.reports import SqliteReports
from proxy.storage.sqlite.retention import remove_rows
from tests.storage.booked_rows import DAY_MS, book, booked

TODAY = date(2026, 9, 29)  # a Tuesday
WINDOWS: tuple[KeyWindow, ...] = ("day", "week", "month")
COST_PUSD = 1_000_000
OLD, NEW = "0" * 64, "1" * 64


async def test_a_key_has_its_own_days_as_far_as_there_are_rows(tmp_path: Path) -> None:
    path, chance, since_ms = tmp_path / "ledger.db", random.Random(1), start_ms(date(2026, 9, 1))
    question = KeyQuestion("openrouter", "main", NEW, since_ms, start_ms(TODAY) + DAY_MS)
    async with booked(path) as ledger:
        ids = [await book(ledger, since_ms + n * DAY_MS, chance, cost_pusd=COST_PUSD) for n in range(29)]
        with closing(sqlite3.connect(path)) as db:  # the key was changed for another on the fifth, by the same name
            for id_, hash_ in enumerate((OLD, NEW)):
                db.execute("INSERT INTO key_hashes VALUES (?, ?, 'openrouter', 'main', 0)", (id_, hash_))
            db.executemany("UPDATE requests SET key_id = ? WHERE id = ?", [(n >= 4, id_) for n, id_ in enumerate(ids)])
            db.commit()
        for place in (2, 10):
            late = Correction(ids[place], COST_PUSD + 7, "late", "generation", attempt=1)
            await ledger.correct([late], question.until_ms)
        days = SqliteReports(path).key_days(question)
        wanted = {day_of(since_ms + n * DAY_MS).isoformat(): COST_PUSD + 7 * (n == 10) for n in range(4, 29)}
        assert {one.day: one.booked_pusd for one in days} == wanted
        assert [one.window for one in compare_key(dict.fromkeys(WINDOWS, 0), days, TODAY)] == [*WINDOWS]
        assert await ledger.change(lambda db: remove_rows(db, ids[:20])) == 20
        days = SqliteReports(path).key_days(question)
        assert KeyDay("2026-09-20", 0, 0, is_whole=False) in days
        assert [one.window for one in compare_key(dict.fromkeys(WINDOWS, 0), days, TODAY)] == ["day", "week"]
        assert window_start("week", TODAY) == date(2026, 9, 28)
