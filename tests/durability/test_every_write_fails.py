"""The disk fails at every single operation of the ledger, in every way, and gets well again."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import apsw
import pytest

from proxy.storage.ledger import LedgerUnavailableError
from proxy.storage.master_keys import keys_beside
from proxy.storage.rows import OpenRow
from proxy.storage.sqlite import writer as writing
from proxy.storage.sqlite.connect import _prepare, connect_owner
from proxy.storage.sqlite.ledger import SqliteLedger
from proxy.storage.sqlite.lock import OwnerLock
from proxy.storage.sqlite.writer import Writer
from tests.storage.made_requests import (
    ROLLUP,
    ROLLUP_OF_ROWS,
    START_MS,
    open_row,
    opened,
    read,
    request_end,
)
from tests.support.patience import eventually

from .faulty import FaultyDisk, Surface

ERRORS = {
    "full": apsw.SQLITE_FULL,
    "write": apsw.SQLITE_IOERR_WRITE,
    "fsync": apsw.SQLITE_IOERR_FSYNC,
    "read-only": apsw.SQLITE_READONLY,
    "busy": apsw.SQLITE_BUSY,
    "no memory": apsw.SQLITE_NOMEM,
}
ROUNDS = 4


@pytest.fixture(autouse=True)
def _retry_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "_RETRY_S", 0.002)


@asynccontextmanager
async def _running(path: Path, disk: FaultyDisk, queue_max: int = 100) -> AsyncIterator[SqliteLedger]:
    """As open_ledger() does it, on a disk that can fail."""
    lock = OwnerLock(path)
    lock.acquire("a test")
    connection = Surface(path, disk)
    _prepare(connection, path)  # type: ignore[arg-type]  # it has as much of sqlite3's surface as is used
    loop = asyncio.get_running_loop()
    writer = Writer(connection, loop, queue_max)  # type: ignore[arg-type]  # as above
    ledger = SqliteLedger(connection, lock, writer, loop, keys_beside(path))  # type: ignore[arg-type]  # as above
    writer.start()
    try:
        yield ledger
    finally:
        disk.heal()
        await ledger.close()


async def _is_well(ledger: SqliteLedger) -> None:
    async def look() -> bool:
        return ledger.problem is None

    await eventually(look)


async def _break_once(path: Path, number: int, code: int) -> bool:
    """Let the disk fail from one operation on, check what is told and left; give whether it came to that."""
    acknowledged: set[int] = set()
    refused: set[int] = set()
    with FaultyDisk() as disk:
        async with _running(path, disk) as ledger:
            before = await opened(ledger)
            ends = []
            disk.break_at(number, code)
            for at in range(ROUNDS):
                row = open_row(ledger.ids.next(START_MS))
                try:
                    await ledger.open(row)
                except LedgerUnavailableError:
                    refused.add(row.id)
                    assert ledger.problem is not None
                else:
                    acknowledged.add(row.id)
                    ledger.note_generation(row.id, 1, f"gen-{row.id}")
                    ends.append(ledger.end(request_end(row)))
                if at == 0:
                    ends.append(ledger.end(request_end(before)))
                await asyncio.sleep(0)
            failed = disk.failed > 0
            disk.heal()
            await asyncio.gather(*ends)  # every end lands
            await _is_well(ledger)  # also where nothing was kept and nobody asks
            after = await opened(ledger)
            await ledger.end(request_end(after))
    settled = {row[0] for row in read(path, "SELECT id FROM requests WHERE state = 'settled'")}
    assert settled == {row[0] for row in read(path, "SELECT id FROM requests")}
    assert settled == acknowledged | {before.id, after.id}
    assert not settled & refused
    assert read(path, ROLLUP) == read(path, ROLLUP_OF_ROWS)
    with closing(connect_owner(path, 1.0)):  # its quick_check
        return failed


@pytest.mark.sampled(0.3)
@pytest.mark.parametrize("code", list(ERRORS.values()), ids=list(ERRORS))
async def test_a_fault_at_every_operation(tmp_path: Path, code: int) -> None:
    """Until the fault would come after the last one. Each on a ledger of its own."""
    number = 0
    while await _break_once(tmp_path / f"ledger-{number}.db", number, code):
        number += 1
    assert number > ROUNDS * 6  # what is submitted together goes into one transaction
    print(f"{number} operations")


async def test_what_waits_for_a_broken_disk_is_bounded(tmp_path: Path) -> None:
    """New requests are refused; no more is kept than the ends of those that were let in."""
    with FaultyDisk() as disk:
        async with _running(tmp_path / "ledger.db", disk, queue_max=8) as ledger:
            rows = [await opened(ledger) for _ in range(5)]
            disk.break_at(0, apsw.SQLITE_FULL)
            ends = [ledger.end(request_end(row)) for row in rows]
            for _ in range(200):
                row = open_row(ledger.ids.next(START_MS))
                with pytest.raises(LedgerUnavailableError):
                    await ledger.open(row)
            assert ledger._writer._waiting == len(ends)
            assert not any(end.done() for end in ends)
            disk.heal()
            await asyncio.gather(*ends)
            assert ledger._writer._waiting == 0


async def _open(ledger: SqliteLedger, row: OpenRow) -> None:
    await ledger.open(row)


async def test_a_slow_disk_holds_up_what_waits_for_it_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with FaultyDisk() as disk:
        async with _running(path, disk, queue_max=4) as ledger:
            disk.sync_s = 0.3
            rows = [open_row(ledger.ids.next(START_MS)) for _ in range(20)]
            tasks = [asyncio.ensure_future(_open(ledger, row)) for row in rows]
            ticks = 0
            while not tasks[0].done():
                await asyncio.sleep(0.01)
                ticks += 1
            disk.sync_s = 0.0
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
            assert ticks > 2  # the loop, and with it every stream, went on
            assert [type(outcome) for outcome in outcomes] == [type(None)] * 4 + [LedgerUnavailableError] * 16
            assert ledger.problem is None  # slow is no fault
    assert len(read(path, "SELECT id FROM requests")) == 4


async def test_the_problem_stands_while_the_disk_is_broken_and_then_goes_by_itself(tmp_path: Path) -> None:
    """Nobody else may come and try, for /readyz is red: the writer tries, and only a write that got through counts."""
    with FaultyDisk() as disk:
        async with _running(tmp_path / "ledger.db", disk) as ledger:
            row = open_row(ledger.ids.next(START_MS))
            disk.break_at(0, apsw.SQLITE_FULL)
            with pytest.raises(LedgerUnavailableError):
                await ledger.open(row)

            async def tried_often() -> bool:
                assert ledger.problem is not None
                return disk.failed > 10

            await eventually(tried_often)
            disk.heal()
            await _is_well(ledger)
            assert read(tmp_path / "ledger.db", "SELECT count(*) FROM meta WHERE name = 'probe'") == [(0,)]


async def test_a_group_with_a_bad_row_on_a_broken_disk_keeps_every_end(tmp_path: Path) -> None:
    """The bad row makes the writer try each one alone, and then the disk refuses each one alone."""
    path = tmp_path / "ledger.db"
    with FaultyDisk() as disk:
        async with _running(path, disk) as ledger:
            rows = [await opened(ledger) for _ in range(3)]
            bad = open_row(ledger.ids.next(START_MS), streamed=7)
            disk.break_at(0, apsw.SQLITE_FULL)
            opening = asyncio.ensure_future(ledger.open(bad))
            ends = [ledger.end(request_end(row)) for row in rows]  # in the same turn, and so in the same group
            with pytest.raises(sqlite3.IntegrityError):
                await opening
            disk.heal()
            await asyncio.wait_for(asyncio.gather(*ends), 30)
    assert read(path, "SELECT state FROM requests") == [("settled",)] * 3


@pytest.mark.parametrize("times", [1, 2])
async def test_an_end_that_was_kept_lands_without_a_further_request(tmp_path: Path, times: int) -> None:
    """The disk refuses some of a group that is written one by one, and takes the rest: then nothing says it is ill."""
    path = tmp_path / "ledger.db"
    with FaultyDisk() as disk:
        async with _running(path, disk) as ledger:
            rows = [await opened(ledger) for _ in range(3)]
            bad = open_row(ledger.ids.next(START_MS), streamed=7)
            disk.break_at(0, apsw.SQLITE_FULL, times)
            opening = asyncio.ensure_future(ledger.open(bad))
            ends = [ledger.end(request_end(row)) for row in rows]
            with pytest.raises(sqlite3.IntegrityError):
                await opening
            await asyncio.wait_for(asyncio.gather(*ends), 30)
            assert disk.failed == times
    assert read(path, "SELECT state FROM requests") == [("settled",)] * 3


async def test_an_end_that_never_lands_is_counted_at_the_close(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    lock, loop = OwnerLock(path), asyncio.get_running_loop()
    lock.acquire("a test")
    with FaultyDisk() as disk:
        connection = Surface(path, disk)
        _prepare(connection, path)  # type: ignore[arg-type]  # as above
        writer = Writer(connection, loop, 9)  # type: ignore[arg-type]  # as above
        ledger = SqliteLedger(connection, lock, writer, loop, keys_beside(path))  # type: ignore[arg-type]  # as above
        writer.start()
        row = await opened(ledger)
        disk.break_at(0, apsw.SQLITE_FULL)
        end = ledger.end(request_end(row))
        assert await ledger.close() == 1
    assert not end.done()
    with closing(connect_owner(path, 1.0)) as connection_after:  # the reservation stands, for the next start to settle
        assert connection_after.execute("SELECT id, state, reserved_pusd FROM requests").fetchall() == [
            (row.id, "open", 1000)
        ]
