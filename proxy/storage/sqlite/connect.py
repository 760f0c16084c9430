"""Connect to the ledger's file: its one owner with a check of the whole file first, readers beside it.

A file that is broken, foreign, newer or cannot be written raises LedgerError.
"""

import os
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from proxy.core.errors import LedgerError
from proxy.core.pacer import Pacer
from proxy.storage.performance import add_counts
from proxy.storage.sqlite import statements
from proxy.storage.sqlite.ledger_changes import LedgerChanges
from proxy.storage.sqlite.migrations.migrate import SCHEMA_VERSION, known_version, migrate

# Of each None that is bound, Python asks for adapters by names that it lacks, and dresses up the errors, unless one is
# registered: a tenth of the writer's CPU. {}.get is one that runs no Python: None for None.
_SAME: dict[None, None] = {}

_MARK_FILE = "PRAGMA application_id = 0x746F6C6C"  # "toll": lets file(1) and others tell whose file it is
_BUSY_TIMEOUT_S = 5.0
_STEPS = 10_000  # of SQLite's machine: about half a millisecond
_PAUSE_AFTER_S = 0.001  # of computing: what takes less stands still where it has no transaction


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
    pacer = Pacer.of_this_process()
    if pacer is not None:  # a command where no proxy runs: there is none to give way to
        pacer.rest()
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
    _refuse_folder(path)
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
    connection.create_function("add_counts", 2, add_counts, deterministic=True)
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


def _refuse_folder(path: Path) -> None:
    if path.is_dir():
        raise LedgerError(f"{path} is a folder. Name a file in it, such as database: {path / 'tollkeeper.db'}.")


def open_reader(path: Path) -> sqlite3.Connection:
    """Connect read-only; raises LedgerError where there is no ledger, or one of another version."""
    _refuse_folder(path)
    if not path.is_file():
        raise LedgerError(f"{path}: there is no ledger yet. tollkeeper serve (or: users add) makes it.")
    try:
        connection = sqlite3.connect(
            path.absolute().as_uri() + "?mode=ro", uri=True, isolation_level=None, timeout=_BUSY_TIMEOUT_S
        )
    except sqlite3.DatabaseError as error:
        raise LedgerError(f"{path}: {error}. Check its owner and mode, and those of its folder.") from None
    try:
        connection.execute("PRAGMA query_only = ON")
        version = connection.execute("PRAGMA user_version").fetchone()[0]
    except sqlite3.DatabaseError as error:
        connection.close()
        raise LedgerError(f"{path} cannot be read: {error}. Is it the ledger, and is its folder writable?") from None
    if version != SCHEMA_VERSION:
        connection.close()
        raise LedgerError(_other_version(path, version))
    _give_way(connection, path)
    return connection


def _give_way(connection: sqlite3.Connection, path: Path) -> None:
    """Let a process that gives way to others do so while SQLite computes: nobody but its owner writes the ledger."""
    pacer = Pacer.of_this_process()
    if pacer is not None:
        with suppress(sqlite3.DatabaseError):  # it was opened a moment ago: whoever reads it finds out
            pacer.watch(LedgerChanges(path))
        connection.set_progress_handler(lambda: pacer.pause(_PAUSE_AFTER_S), _STEPS)


def _other_version(path: Path, version: int) -> str:
    if version > SCHEMA_VERSION:
        return f"{path} was written by a newer tollkeeper (schema {version}; this one knows {SCHEMA_VERSION}). Upgrade."
    if version:
        return (
            f"{path} was written by an older tollkeeper (schema {version}). Start tollkeeper serve once: it migrates."
        )
    return f"{path} holds no ledger (yet). tollkeeper serve (or: users add) makes it."
