"""SQLite's result codes by name: what the file or its disk refuses is waited for, all else is a fault of its own."""

import asyncio
import sqlite3
from pathlib import Path

from proxy.storage.ledger import LedgerUnavailableError
from proxy.storage.sqlite.ledger import SqliteLedger
from tests.storage.made_requests import START_MS, open_row, opened, read, request_end, running

DISK = [
    "PERM",
    "BUSY",
    "LOCKED",
    "NOMEM",
    "READONLY",
    "INTERRUPT",
    "IOERR",
    "CORRUPT",
    "FULL",
    "CANTOPEN",
    "PROTOCOL",
    "NOTADB",
]
OURS = [
    "ERROR",
    "INTERNAL",
    "ABORT",
    "NOTFOUND",
    "EMPTY",
    "SCHEMA",
    "TOOBIG",
    "CONSTRAINT",
    "MISMATCH",
    "MISUSE",
    "NOLFS",
    "AUTH",
    "FORMAT",
    "RANGE",
]
CODES = {  # by name, with all finer ones of the same kind
    name: getattr(sqlite3, name)
    for name in dir(sqlite3)
    if name.startswith("SQLITE_") and name.split("_")[1] in (*DISK, *OURS) and not name.startswith("SQLITE_ALTER")
}


async def outcome(ledger: SqliteLedger, name: str) -> Exception | None:
    """Return what a change gets that SQLite refuses with a code, beside a request that is opened."""
    error = sqlite3.OperationalError(f"refused: {name}")
    error.sqlite_errorcode = CODES[name]

    def refused(_connection: sqlite3.Connection) -> None:
        raise error

    row = open_row(ledger.ids.next(START_MS))
    change, opening = asyncio.ensure_future(ledger.change(refused)), asyncio.ensure_future(ledger.open(row))
    told, beside = await asyncio.gather(change, opening, return_exceptions=True)
    assert isinstance(told, Exception)
    assert (beside is None) is (ledger.problem is None), name
    return told


async def test_only_what_the_disk_refuses_stops_others(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    assert len(CODES) > 90
    async with running(path) as ledger:
        waited = set()
        for name in CODES:
            told = await outcome(ledger, name)
            if isinstance(told, LedgerUnavailableError):
                assert ledger.problem == f"refused: {name}"
                waited.add(name)
                await opened(ledger)  # it takes the next one, and the problem is over
            else:
                assert str(told) == f"refused: {name}"
            assert ledger.problem is None
        assert {name.split("_")[1] for name in waited} == {*DISK}
        assert {name.split("_")[1] for name in CODES.keys() - waited} == {*OURS}


async def test_a_statement_that_cannot_run_fails_alone_and_at_once(tmp_path: Path) -> None:
    """What SQLite cannot run for one row is no full disk: nothing waits, and neighbours land."""
    path = tmp_path / "ledger.db"
    async with running(path) as ledger:
        rows = [await opened(ledger, user=user) for user in ("anna", "bob", "cleo")]
        await ledger.change(
            lambda db: db.execute(
                "CREATE TRIGGER spoiled BEFORE UPDATE OF state ON requests WHEN old.user = 'bob'"
                " BEGIN SELECT json('{'); END"
            )
        )
        ends = [ledger.end(request_end(row)) for row in rows]
        outcomes = await asyncio.gather(*map(asyncio.ensure_future, ends), return_exceptions=True)
        assert [type(one) for one in outcomes] == [type(None), sqlite3.OperationalError, type(None)]
        assert "malformed JSON" in str(outcomes[1])
        assert ledger.problem is None
        states = dict(read(path, "SELECT user, state FROM requests"))
        assert states == {"anna": "settled", "bob": "open", "cleo": "settled"}  # an open row counts in full
        await opened(ledger)
        await ledger.change(lambda db: db.execute("DROP TRIGGER spoiled"))
        await ledger.end(request_end(rows[1]))
        assert read(path, "SELECT count(*) FROM requests WHERE state = 'settled'") == [(3,)]
