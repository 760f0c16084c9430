"""The copy: one moment of a ledger that goes on being written, whole or not there, readable by its owner only."""

import asyncio
import random
import sqlite3
import stat
from contextlib import closing
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from proxy.core.errors import LedgerError
from proxy.storage.reports import BackupError
from proxy.storage.sqlite.backup import copy_ledger
from proxy.storage.sqlite.connect import open_reader
from proxy.storage.sqlite.verify import ExpectedTotals, verify
from tests.storage.booked_rows import START_MS, USERS, book, book_many, booked

EXPECTED = ExpectedTotals((), ZoneInfo("UTC"), None, 1e9, 1e9)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ledger") / "t.db"

    async def fill() -> None:
        async with booked(path) as ledger:
            await book_many(ledger, 60)

    asyncio.run(fill())
    return path


def content(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return list(connection.iterdump())


def test_a_copy_is_the_ledger(filled: Path, tmp_path: Path) -> None:
    told: list[float] = []
    copied = copy_ledger(filled, tmp_path / "copy.db", progress=told.append)
    assert content(tmp_path / "copy.db") == content(filled)
    assert copied.requests == 60
    assert copied.size_bytes == (tmp_path / "copy.db").stat().st_size
    assert told[-1] == 1
    assert stat.S_IMODE((tmp_path / "copy.db").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["copy.db"]


def test_a_copy_can_be_read_where_nothing_can_be_written(filled: Path, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    copy_ledger(filled, folder / "copy.db")
    folder.chmod(0o500)
    try:
        with closing(open_reader(folder / "copy.db")) as connection:
            assert verify(connection, EXPECTED, START_MS).count == 0
        assert [path.name for path in folder.iterdir()] == ["copy.db"]
    finally:
        folder.chmod(0o700)


async def test_copies_under_load_are_one_moment_each(tmp_path: Path) -> None:
    """While requests begin and end, each copy adds up by itself, and has all that was acknowledged before it."""
    path = tmp_path / "t.db"
    acknowledged: list[int] = []
    async with booked(path) as ledger:
        stop = asyncio.Event()

        async def write(seed: int) -> None:
            chance = random.Random(seed)
            moment = START_MS
            while not stop.is_set():
                moment += 1000
                await book(ledger, moment, chance, user=USERS[seed % 3])
                acknowledged.append(moment)

        writers = [asyncio.create_task(write(seed)) for seed in range(6)]
        try:
            for n in range(12):
                await asyncio.sleep(0.05)
                least = len(acknowledged)
                copied = await asyncio.to_thread(copy_ledger, path, tmp_path / f"copy{n}.db")
                assert copied.requests >= least
                with closing(open_reader(tmp_path / f"copy{n}.db")) as connection:
                    found = verify(connection, EXPECTED, START_MS)
                assert found.count == 0, found.differences
                assert found.cost_pusd == copied.cost_pusd
        finally:
            stop.set()
            await asyncio.gather(*writers)
        assert ledger.problem is None
    assert len(acknowledged) > 100


async def test_a_copy_can_take_the_ledgers_place(filled: Path, tmp_path: Path) -> None:
    copy_ledger(filled, tmp_path / "t.db")
    async with booked(tmp_path / "t.db") as ledger:
        await book(ledger, START_MS + 10**9, random.Random(1))
    with closing(open_reader(tmp_path / "t.db")) as connection:
        assert verify(connection, EXPECTED, START_MS).count == 0
        assert connection.execute("SELECT count(*) FROM requests").fetchone() == (61,)


# --- where it may not be written


def test_nothing_is_replaced_unasked(filled: Path, tmp_path: Path) -> None:
    target = tmp_path / "copy.db"
    target.write_text("precious")
    with pytest.raises(BackupError, match="exists already"):
        copy_ledger(filled, target)
    assert target.read_text() == "precious"
    copy_ledger(filled, target, force=True)
    assert content(target) == content(filled)
    assert stat.S_IMODE(target.stat().st_mode) == 0o600


@pytest.mark.parametrize("ending", ["-wal", "-journal"])
def test_what_another_database_left_is_never_taken_for_the_copys(filled: Path, tmp_path: Path, ending: str) -> None:
    left = tmp_path / f"copy.db{ending}"
    left.write_bytes(b"left")
    with pytest.raises(BackupError, match="exists already"):
        copy_ledger(filled, tmp_path / "copy.db")
    copy_ledger(filled, tmp_path / "copy.db", force=True)
    assert not left.exists()


@pytest.mark.parametrize("ending", ["", "-wal", "-shm", "-journal", ".lock", ".sock"])
def test_the_ledger_itself_is_safe(filled: Path, ending: str) -> None:
    before = content(filled)
    with pytest.raises(BackupError, match="belongs to the ledger"):
        copy_ledger(filled, Path(f"{filled}{ending}"), force=True)
    assert content(filled) == before


def test_the_ledger_by_another_name_is_safe(filled: Path, tmp_path: Path) -> None:
    (tmp_path / "soft").symlink_to(filled)
    (tmp_path / "hard").hardlink_to(filled)
    for name in ("soft", "hard"):
        with pytest.raises(BackupError, match="belongs to the ledger"):
            copy_ledger(filled, tmp_path / name, force=True)
    with pytest.raises(BackupError, match="belongs to the ledger"):
        copy_ledger(tmp_path / "soft", filled, force=True)


def test_other_places(filled: Path, tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="is a folder"):
        copy_ledger(filled, tmp_path, force=True)
    with pytest.raises(BackupError, match="cannot be written"):
        copy_ledger(filled, tmp_path / "missing" / "copy.db")
    with pytest.raises(LedgerError, match="there is no ledger"):
        copy_ledger(tmp_path / "missing.db", tmp_path / "copy.db")
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_ledger_is_not_copied(filled: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.db"
    copy_ledger(filled, damaged)
    size = damaged.stat().st_size
    with closing(sqlite3.connect(damaged)) as connection:
        (page,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'requests'").fetchone()
        (page_size,) = connection.execute("PRAGMA page_size").fetchone()
    with damaged.open("r+b") as file:
        file.seek((page - 1) * page_size)
        file.write(b"\xff" * 64)
    assert damaged.stat().st_size == size
    with pytest.raises(LedgerError, match="damaged"):
        copy_ledger(damaged, tmp_path / "copy.db")
    assert [path.name for path in tmp_path.iterdir()] == ["damaged.db"]
