"""What the ledger has of one key: not of the key that had its name before, and not where rows are gone."""

import random
import sqlite3
from contextlib import closing
from datetime import date
from pathlib import Path

from proxy.policy.reconciliation.key_comparison import KeyDay, KeyWindow, compare_key, window_start
from proxy.policy.reconciliation.key_reason import KeyDoubt
from proxy.policy.reconciliation.sync_schedule import day_of, start_ms
from proxy.providers.key import OWN
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
    question = KeyQuestion(("openrouter/main",), NEW, since_ms, start_ms(TODAY) + DAY_MS, OWN)
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
        days = SqliteReports(path).key_books(question).days
        wanted = {day_of(since_ms + n * DAY_MS).isoformat(): COST_PUSD + 7 * (n == 10) for n in range(4, 29)}
        assert {one.day: one.booked_pusd for one in days if one.booked_pusd} == wanted
        assert [one.replaced_pusd for one in days[:5]] == [COST_PUSD] * 4 + [0]  # of the key before
        assert [one.window for one in compare_key(dict.fromkeys(WINDOWS, 0), days, TODAY)] == [*WINDOWS]
        assert await ledger.change(lambda db: remove_rows(db, ids[:20])) == 20
        days = SqliteReports(path).key_books(question).days
        assert KeyDay("2026-09-20", 0, 0, is_whole=False) in days
        assert [one.window for one in compare_key(dict.fromkeys(WINDOWS, 0), days, TODAY)] == ["day", "week"]
        assert window_start("week", TODAY) == date(2026, 9, 28)


async def test_what_of_a_key_is_not_certain_is_told_apart(tmp_path: Path) -> None:
    path, chance, day_ms = tmp_path / "ledger.db", random.Random(1), start_ms(TODAY)
    until_ms = day_ms + DAY_MS // 2
    question = KeyQuestion(("openrouter/main",), NEW, day_ms, until_ms, OWN)
    noon: dict[str, int] = {"provider": 11, "reservation": 13, "price": 17, "pending": 19, "open": 23, "unknown": 29}
    async with booked(path) as ledger:
        for n, (way, pusd) in enumerate(noon.items()):
            await book(ledger, day_ms + n * 1000, chance, way=way, cost_pusd=pusd, reserved_pusd=pusd)
        told = await book(ledger, day_ms + 9000, chance, way="reservation", reserved_pusd=50)
        await ledger.correct([Correction(told, 40, "late", "generation", attempt=1)], until_ms)  # now it is certain
        for at_ms, pusd in ((-20 * 60_000, 100), (-60_000, 200)):  # before midnight, and just before the end
            await book(ledger, day_ms + at_ms, chance, cost_pusd=pusd)
            await book(ledger, until_ms + at_ms, chance, cost_pusd=3 * pusd)
        await book(ledger, day_ms - 50_000, chance, way="pending", reserved_pusd=7)
        await book(ledger, until_ms, chance, cost_pusd=10**9)  # begun when the provider had answered
        await book(ledger, day_ms - 3 * 3_600_000, chance, cost_pusd=10**9)
        with closing(sqlite3.connect(path)) as db:
            rows = [(1, NEW, "openrouter", "main", 5), (2, "2" * 64, "openrouter", OWN, 5), (3, OLD, "x", "y", 5)]
            db.executemany("INSERT INTO key_hashes VALUES (?, ?, ?, ?, ?)", rows)
            db.commit()
            users, other, byok = [await book(ledger, day_ms + 5000, chance, cost_pusd=pusd) for pusd in (31, 37, 41)]
            db.execute("UPDATE requests SET key_id = 2, key = ? WHERE id = ?", (OWN, users))
            db.execute("UPDATE requests SET key_id = 1, key = 'old name', target_provider = 'z' WHERE id = ?", (other,))
            db.execute("UPDATE requests SET is_byok = 1, upstream_cost_pusd = 40 WHERE id = ?", (byok,))
            db.commit()
        found = SqliteReports(path).key_books(question)
    assert found.first_ms == 5
    before, day = found.days
    booked_pusd = 11 + 13 + 17 + 40 + 300 + 600 + 37 + 1
    doubt = KeyDoubt(8, 13, 17, 19, 23, recent_pusd=600, earlier_pusd=0, unbounded=1)
    assert day == KeyDay(TODAY.isoformat(), booked_pusd, 0, doubt=doubt, upstream_pusd=40, users_pusd=31)
    assert (before.day, before.booked_pusd, before.doubt.earlier_pusd) == ("2026-09-28", 300, 207)
