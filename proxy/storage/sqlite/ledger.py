"""The ledger: requests, attempts, adjustments and the hourly roll-up in one SQLite file.

Fails closed: what is awaited here is on disk when the await ends, or it raises LedgerUnavailableError and nothing was
written. A file that is broken, foreign, newer or owned by another process raises LedgerError at open.
"""

import asyncio
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Protocol, TypeVar

from proxy.core.errors import LedgerError
from proxy.core.inline_future import InlineFuture
from proxy.storage.rows import (
    AttemptEnd,
    AttemptRow,
    GenerationNote,
    NewAttempt,
    OpenRow,
    RequestEnd,
    RequestIds,
    Reserved,
    RowState,
    UnfinishedAttempt,
    UnfinishedRequest,
)
from proxy.storage.sqlite import statements
from proxy.storage.sqlite.lock import OwnerLock
from proxy.storage.sqlite.migrations.migrate import known_version, make_views, migrate
from proxy.storage.sqlite.rates import note_rate
from proxy.storage.sqlite.writer import Done, Writer

T = TypeVar("T")

# Of each None that is bound, Python asks for adapters by names that it lacks, and dresses up the errors, unless one is
# registered: a tenth of the writer's CPU. {}.get is one that runs no Python: None for None.
_SAME: dict[None, None] = {}

_MARK_FILE = "PRAGMA application_id = 0x746F6C6C"  # "toll": lets file(1) and others tell whose file it is


class Ledger(Protocol):
    """What the pipeline needs of a ledger; every await ends after the commit."""

    ids: RequestIds

    @property
    def problem(self) -> str | None:
        """Return the disk's last error; None while commits succeed."""
        ...

    def open(self, row: OpenRow) -> InlineFuture[None]:
        """Write the request and its first attempt durably: only then may a byte go upstream."""
        ...

    def add_attempt(
        self, attempt: AttemptRow, before: AttemptEnd, reserved: Reserved | None = None
    ) -> InlineFuture[None]:
        """Write another attempt durably, with the end of the one before it.

        The request's reservation is raised to reserved where it is given.
        """
        ...

    def note_generation(self, request_id: int, n: int, generation_id: str) -> None:
        """Queue the provider's id of an attempt, so that a crash leaves something to look up."""
        ...

    def end(self, end: RequestEnd, done: Done | None = None) -> InlineFuture[None]:
        """Settle, release or set pending; raises EndedTwiceError if the request has ended already.

        done is called after the commit, also when the awaiting one has given up.
        """
        ...

    async def change(self, call: Callable[[sqlite3.Connection], T]) -> T:
        """Run a rarer change in the writer's transaction."""
        ...

    async def unfinished(self, request_id: int | None = None) -> list[UnfinishedRequest]:
        """List what is open or pending, oldest first; only one request where its id is given."""
        ...


class SqliteLedger:
    """The ledger on one SQLite file with one writer thread; opened by open_ledger()."""

    def __init__(
        self, connection: sqlite3.Connection, lock: OwnerLock, writer: Writer, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._connection = connection
        self._lock = lock
        self._writer = writer
        self._loop = loop
        last = connection.execute("SELECT ifnull(max(id), 0) FROM requests").fetchone()[0]
        self.ids = RequestIds(last)

    @property
    def problem(self) -> str | None:
        return self._writer.problem

    def is_alive(self) -> bool:
        """Return whether the writer is still running."""
        return self._writer.is_alive()

    def open(self, row: OpenRow) -> InlineFuture[None]:
        return self._writer.submit(row)

    def add_attempt(
        self, attempt: AttemptRow, before: AttemptEnd, reserved: Reserved | None = None
    ) -> InlineFuture[None]:
        return self._writer.submit(NewAttempt(attempt, before, reserved))

    def note_generation(self, request_id: int, n: int, generation_id: str) -> None:
        noted = self._writer.submit(GenerationNote(request_id, n, generation_id))
        noted.set_result(None)  # nobody waits for it: what refuses it goes to the log

    def end(self, end: RequestEnd, done: Done | None = None) -> InlineFuture[None]:
        return self._writer.submit(end, done)

    async def change(self, call: Callable[[sqlite3.Connection], T]) -> T:
        result: T = await self._writer.submit(call)
        return result

    async def unfinished(self, request_id: int | None = None) -> list[UnfinishedRequest]:
        return await self.change(lambda connection: read_unfinished(connection, request_id))

    async def close(self) -> int:
        """Write what is queued, fold the WAL into the file, free the lock; give how many ends could not be written."""
        self._writer.finish()
        unwritten = await asyncio.to_thread(self._writer.join)
        try:
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except (
            sqlite3.OperationalError
        ):  # a full disk or a reader: the WAL stays beside the file and is read at the next start
            pass
        finally:
            self._connection.close()
            self._lock.release()
        return unwritten


def open_ledger(
    path: Path, loop: asyncio.AbstractEventLoop, *, purpose: str, busy_timeout_s: float, queue_max: int
) -> SqliteLedger:
    """Open or make the ledger as its one owner. purpose says who we are to the next one who tries."""
    make_private_file(path)
    lock = OwnerLock(path)
    lock.acquire(purpose)
    try:
        connection = connect_owner(path, busy_timeout_s)
    except BaseException:
        lock.release()
        raise
    writer = Writer(connection, loop, queue_max)
    ledger = SqliteLedger(connection, lock, writer, loop)
    writer.start()
    return ledger


def make_private_file(path: Path) -> None:
    """Create an empty 0600 file if there is none: SQLite gives -wal and -shm the mode of the file."""
    if path.exists():
        return
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise LedgerError(
            f"{path}: the ledger cannot be created ({error.strerror}). Choose another place with database:."
        ) from None


def connect_owner(path: Path, busy_timeout_s: float) -> sqlite3.Connection:
    """Connect as the owner that holds the lock: a check of the whole file, pragmas, migrations."""
    sqlite3.register_adapter(type(None), _SAME.get)
    try:
        _check(path, busy_timeout_s)
        connection = sqlite3.connect(
            path,
            isolation_level=None,
            check_same_thread=False,
            timeout=busy_timeout_s,
            cached_statements=statements.STATEMENTS,
        )
        try:
            _prepare(connection, path)
        except BaseException:
            connection.close()
            raise
    except sqlite3.DatabaseError as error:
        raise LedgerError(_explain(path, str(error))) from None
    except OSError as error:  # the copy before a migration
        raise LedgerError(_explain(path, f"{error.strerror or error}")) from None
    except UnicodeDecodeError:  # SQLite's text quotes the damaged schema
        raise LedgerError(_explain(path, "malformed database schema")) from None
    return connection


def _check(path: Path, busy_timeout_s: float) -> None:
    """Read the whole file before anything may write to it.

    On a connection that cannot write: one that can folds the WAL into the file when it closes, also when the file has
    just been found damaged, or the WAL is that of another one.
    """
    wal = path.with_name(f"{path.name}-wal")
    if not path.exists() or path.stat().st_size == 0:
        if wal.exists() and wal.stat().st_size > 0:  # SQLite would delete the WAL and begin anew
            raise LedgerError(f"{path} is empty, but {wal.name} is not: the ledger has been lost. {_RESTORE}")
        return
    # a journal is left only where the making of the file broke off; it takes a writer to roll that back
    uri = path.absolute().as_uri()
    mode = "rw" if path.with_name(f"{path.name}-journal").exists() else "ro"
    with closing(sqlite3.connect(f"{uri}?mode={mode}", uri=True, timeout=busy_timeout_s)) as connection:
        found = connection.execute("PRAGMA quick_check(1)").fetchone()[
            0
        ]  # reads the whole file: about half a second for a million rows
        if found != "ok":
            raise LedgerError(f"{path} is damaged: {found}. {_RESTORE}")
        known_version(connection, path)
        seen = _identity(connection)
    if wal.exists() and seen is not None:
        with closing(sqlite3.connect(f"{uri}?immutable=1", uri=True)) as connection:  # the file without its WAL
            own = _identity(connection)
        if own is not None and own != seen:
            raise LedgerError(
                f"{wal} belongs to another ledger than {path.name}, and would overwrite it. Move it away, together with"
                f" {path.name}-shm, then start again."
            )


def _identity(connection: sqlite3.Connection) -> str | None:
    """Return the ledger's random name; None if there is none yet or this part of the file cannot be read."""
    try:
        row = connection.execute("SELECT value FROM meta WHERE name = 'ledger_id'").fetchone()
    except (sqlite3.DatabaseError, UnicodeDecodeError):
        return None
    return None if row is None else str(row[0])


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    execute = connection.execute
    mode = execute("PRAGMA journal_mode = WAL").fetchone()[0]
    if mode != "wal":
        raise LedgerError(
            f"{path}: this file system cannot hold a WAL (a network drive?). Put the ledger on a local disk."
        )
    execute("PRAGMA synchronous = FULL")  # NORMAL loses acknowledged rows in a power cut
    execute("PRAGMA fullfsync = ON")  # macOS: its plain fsync leaves the data in the drive's cache
    execute("PRAGMA foreign_keys = ON")
    migrate(connection, path)
    execute("INSERT OR IGNORE INTO meta VALUES ('ledger_id', lower(hex(randomblob(16))))")
    execute(_MARK_FILE)


_RESTORE = "Keep the file, restore the newest back-up beside it, and see docs/concepts/ledger.md, 'A damaged file'."


def _explain(path: Path, text: str) -> str:
    if "locked" in text or "busy" in text:
        return (
            f"{path} is locked by another program (a database browser with an open transaction?)."
            " Close it there, then start again."
        )
    if "full" in text or "I/O error" in text or "space" in text or "too large" in text:
        return f"{path} cannot be read or written: {text}. Free space on its disk, or check it for errors."
    if "readonly" in text or "unable to open" in text:
        return f"{path} cannot be opened for writing: {text}. Check its owner and mode, and those of its folder."
    if "not a database" in text or "malformed" in text:
        return f"{path} is damaged or not an SQLite file: {text}. {_RESTORE}"
    return f"{path}: {text}."


def read_unfinished(connection: sqlite3.Connection, request_id: int | None = None) -> list[UnfinishedRequest]:
    """Return open and pending requests with all their attempts, oldest first; only one if its id is given."""
    rows = connection.execute(statements.UNFINISHED, (request_id,)).fetchall()
    return [UnfinishedRequest.of_row(row, _attempts_of(connection, row[0])) for row in rows]


def _attempts_of(connection: sqlite3.Connection, request_id: int) -> tuple[UnfinishedAttempt, ...]:
    return tuple(map(UnfinishedAttempt.of_row, connection.execute(statements.ATTEMPTS, (request_id,))))


def read_state(connection: sqlite3.Connection, request_id: int) -> RowState | None:
    """Return how far a request is; None where it has no row."""
    row = connection.execute(statements.STATE, (request_id,)).fetchone()
    return None if row is None else RowState._make((*row[:3], row[3:]))


def set_labels(
    connection: sqlite3.Connection, *, currency_code: str, currency_usd_rate: str, timezone: str, now_ms: int
) -> None:
    """Store the settings that the views show, and rebuild the views if the currency's name changed."""
    for name, value in (
        ("currency_code", currency_code),
        ("currency_usd_rate", currency_usd_rate),
        ("timezone", timezone),
    ):
        connection.execute(
            "INSERT INTO meta VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value", (name, value)
        )
    note_rate(connection, currency_code, currency_usd_rate, now_ms)
    make_views(connection, currency_code)
