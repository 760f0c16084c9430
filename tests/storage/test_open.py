"""Opening a ledger: its files are private, and one that is damaged is refused, kept and named, never begun anew."""

import asyncio
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import pytest

from proxy.core.errors import LedgerError
from proxy.storage.sqlite.connect import connect_owner, make_private_file
from proxy.storage.sqlite.ledger import open_ledger
from tests.storage.made_requests import ROLLUP, ROLLUP_OF_ROWS, opened, read, request_end, running

POSIX_ONLY = pytest.mark.skipif(os.name != "posix", reason="modes of files are a thing of POSIX")
FLIPS = 150


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


def _wal(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


async def _fill(path: Path, requests: int) -> None:
    async with running(path) as ledger:
        for _ in range(requests):
            row = await opened(ledger, session_id="s" * 200)
            await ledger.end(request_end(row))


async def _crashed(path: Path, requests: int, folder: str = "crashed") -> Path:
    """Give a copy of a ledger as a kill leaves it: its newest rows are in the WAL alone."""
    copy = path.parent / folder / path.name
    copy.parent.mkdir()
    async with running(path) as ledger:
        for _ in range(requests):
            row = await opened(ledger, session_id="s" * 200)
            await ledger.end(request_end(row))
        for file in (path, _wal(path)):
            shutil.copy(file, copy.parent / file.name)
    return copy


def _bytes(path: Path) -> bytes:
    return path.read_bytes()


def _count(path: Path) -> int:
    with closing(connect_owner(path, 1.0)) as connection:
        return int(connection.execute("SELECT count(*) FROM requests").fetchone()[0])


@POSIX_ONLY
async def test_all_files_are_private_from_the_first_moment(tmp_path: Path) -> None:
    path = tmp_path / "new" / "deep" / "ledger.db"
    old = os.umask(0)
    try:
        async with running(path) as ledger:
            await opened(ledger)
            modes = {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()}
            assert modes == {f"ledger.db{end}": 0o600 for end in ("", "-wal", "-shm", ".lock")}
            assert path.parent.stat().st_mode & 0o777 == 0o700
    finally:
        os.umask(old)


async def test_the_pragmas_that_the_promises_rest_on(path: Path) -> None:
    with closing(connect_owner(path, 1.0)) as connection:
        found = {
            name: connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("journal_mode", "synchronous", "fullfsync", "foreign_keys")
        }
    assert found == {"journal_mode": "wal", "synchronous": 2, "fullfsync": 1, "foreign_keys": 1}


async def test_a_kill_leaves_nothing_to_repair(path: Path) -> None:
    copy = await _crashed(path, 20)
    assert _count(copy) == 20
    assert read(copy, ROLLUP) == read(copy, ROLLUP_OF_ROWS) != []


def test_a_name_full_of_signs(tmp_path: Path) -> None:
    path = tmp_path / "a ledger?mode=memory&x=%41#ü.db"
    for _ in range(2):
        with closing(connect_owner(path, 1.0)) as connection:
            connection.execute("INSERT OR IGNORE INTO meta VALUES ('a', 'b')")
    assert path.stat().st_size > 0
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def _cut_off(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2 // 4096 * 4096)


def _overwrite(path: Path) -> None:
    path.write_bytes(b"This is a text, and was never a database. " * 500)


def _spoil_head(path: Path) -> None:
    path.write_bytes(b"SQLITE FORMAT 3\0" + path.read_bytes()[16:])


def _spoil_schema(path: Path) -> None:
    data = path.read_bytes()
    at = data.index(b"CREATE TABLE requests")
    path.write_bytes(data[:at] + b"\xf1\xf2\xf3\xf4" + data[at + 4 :])


def _zero_a_page(path: Path, page: int = 2) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: (page - 1) * 4096] + bytes(4096) + data[page * 4096 :])


def _below_the_wal(path: Path) -> int:
    """Return the first page of the file that the WAL holds no newer state of: damage of another one is not seen."""
    wal = _bytes(_wal(path))
    newer = {int.from_bytes(wal[at : at + 4]) for at in range(32, len(wal), 24 + 4096)}
    return next(page for page in range(2, path.stat().st_size // 4096 + 1) if page not in newer)


@pytest.mark.parametrize("spoil", [_cut_off, _overwrite, _spoil_head, _spoil_schema, _zero_a_page])
async def test_a_damaged_file_is_refused_and_kept(path: Path, spoil: Callable[[Path], None]) -> None:
    await _fill(path, 40)
    spoil(path)
    before = _bytes(path)
    with pytest.raises(LedgerError, match=r"damaged") as refused:
        open_ledger(path, asyncio.get_running_loop(), purpose="a test", busy_timeout_s=1.0, queue_max=9)
    assert str(path) in str(refused.value)
    assert "back-up" in str(refused.value)
    assert _bytes(path) == before


async def test_a_damaged_file_keeps_its_wal(path: Path) -> None:
    """A connection that may write folds the WAL into the file as it closes: none may be made before the check."""
    copy = await _crashed(path, 40)
    with closing(connect_owner(copy, 1.0)):
        pass  # folds it in: the pages are in the file now
    wal = (await _crashed(path, 5, "again")).with_name("ledger.db-wal")
    shutil.copy(wal, _wal(copy))
    _zero_a_page(copy, _below_the_wal(copy))
    before = _bytes(copy), _bytes(_wal(copy))
    with pytest.raises(LedgerError):
        connect_owner(copy, 1.0)
    assert (_bytes(copy), _bytes(_wal(copy))) == before


@pytest.mark.parametrize("left", ["empty", "gone"])
async def test_an_empty_file_beside_a_wal_is_a_loss_and_no_beginning(path: Path, left: str) -> None:
    copy = await _crashed(path, 5)
    if left == "empty":
        os.truncate(copy, 0)
    else:
        copy.unlink()
    before = _bytes(_wal(copy))
    with pytest.raises(LedgerError, match=r"is empty, but ledger\.db-wal is not: the ledger has been lost"):
        open_ledger(copy, asyncio.get_running_loop(), purpose="a test", busy_timeout_s=1.0, queue_max=9)
    assert _bytes(_wal(copy)) == before


async def test_an_empty_file_alone_is_a_new_ledger(path: Path) -> None:
    make_private_file(path)
    assert _bytes(path) == b""
    assert _count(path) == 0


@pytest.mark.parametrize(("ours", "theirs"), [(40, 3), (3, 40), (5, 5)])
async def test_the_wal_of_another_ledger_is_refused(path: Path, ours: int, theirs: int) -> None:
    """SQLite takes any WAL that is whole for the file's own, and would put the other ledger over this one."""
    await _fill(path, ours)
    other = await _crashed(path.with_name("other.db"), theirs)
    shutil.copy(_wal(other), _wal(path))
    before = _bytes(path)
    with pytest.raises(LedgerError, match=r"belongs to another ledger than ledger\.db"):
        connect_owner(path, 1.0)
    assert _bytes(path) == before
    for end in ("-wal", "-shm"):
        path.with_name(path.name + end).unlink()  # what the text says
    assert _count(path) == ours


async def test_without_its_wal_a_ledger_is_an_older_one(path: Path) -> None:
    """Nothing can tell that a WAL was deleted; what is left is whole, and stops where the last checkpoint did."""
    await _fill(path, 10)
    copy = await _crashed(path, 5)
    _wal(copy).unlink()
    assert _count(copy) == 10
    assert read(copy, ROLLUP) == read(copy, ROLLUP_OF_ROWS)


@pytest.mark.parametrize("part", ["db", "wal"])
async def test_flipped_bytes_are_found_or_harmless(path: Path, part: str) -> None:
    """After random flips it is refused, or opens with sums that rows and roll-up can show; it is never begun anew.

    No checksum protects a value within a row: SQLite has none. That such a row is found is the audit's work.
    """
    copy = await _crashed(path, 30)
    if part == "db":
        assert _count(copy) == 30
        assert not _wal(copy).exists()
    whole = {file.name: file.read_bytes() for file in copy.parent.iterdir() if not file.name.endswith("-shm")}
    target = copy if part == "db" else _wal(copy)
    rng = Random(7)
    refused = 0
    for _ in range(FLIPS):
        for file in copy.parent.iterdir():
            file.unlink()
        for name, data in whole.items():
            (copy.parent / name).write_bytes(data)
        flipped = bytearray(whole[target.name])
        for _ in range(rng.choice((1, 1, 8, 64))):
            flipped[rng.randrange(len(flipped))] ^= 1 << rng.randrange(8)
        target.write_bytes(flipped)
        try:
            count = _readable(copy)
        except LedgerError:
            refused += 1
            assert target.read_bytes() == flipped
        else:
            assert 0 <= count <= 30
            assert part == "wal" or count == 30
    print(f"{part}: {refused} of {FLIPS} refused")
    assert part == "wal" or refused > FLIPS // 5


def _readable(path: Path) -> int:
    """Open it, and read every row of every table, as the start does with what it needs."""
    with closing(connect_owner(path, 1.0)) as connection:
        connection.text_factory = bytes
        for (table,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall():
            _read_all(connection, table.decode(errors="replace"))
        return int(connection.execute("SELECT count(*) FROM requests NOT INDEXED").fetchone()[0])


def _read_all(connection: sqlite3.Connection, table: str) -> list[tuple[Any, ...]]:
    try:
        return connection.execute(f'SELECT * FROM "{table}"').fetchall()  # noqa: S608 - a name that SQLite gave
    except (sqlite3.DatabaseError, UnicodeDecodeError):  # quick_check does not look for it; reading says so
        return []


@pytest.mark.parametrize("times", [1, 2])
async def test_a_file_locked_by_another_program_is_named_as_such(path: Path, times: int) -> None:
    await _fill(path, 3)
    with closing(sqlite3.connect(path, isolation_level=None)) as browser:
        browser.execute("PRAGMA locking_mode = EXCLUSIVE")
        browser.execute("BEGIN EXCLUSIVE")
        for _ in range(times):
            with pytest.raises(LedgerError, match="is locked by another program"):
                connect_owner(path, 0.05)
        browser.execute("ROLLBACK")
    assert _count(path) == 3


async def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LedgerError, match=r"the ledger cannot be created \(File exists\)"):
        make_private_file(tmp_path / "file" / "ledger.db")
