"""A disk that fails when it is told to, under a connection with the surface of sqlite3.

apsw lets Python stand between SQLite and the system; the ledger's writer sees sqlite3's exceptions as ever.
"""

from __future__ import annotations

import itertools
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import apsw

_numbers = itertools.count()  # apsw registers a VFS by name for the whole process


class FaultyDisk(apsw.VFS):
    """Counts what changes files: writes, syncs, cuts. From the one that break_at() names, all fail until heal()."""

    def __init__(self) -> None:
        self.name = f"faulty-{next(_numbers)}"
        self.done = 0
        self.failed = 0
        self.sync_s = 0.0  # how long each sync takes on top
        self._fails_from: int | None = None
        self._code = 0
        self._times = 0
        super().__init__(self.name, base="")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.unregister()

    def break_at(self, number: int, code: int, times: int = 1 << 30) -> None:
        """Fail from the operation on that comes after so many others, so many times, with one of SQLite's codes."""
        self._fails_from, self._code, self._times = self.done + number, code, times

    def heal(self) -> None:
        self._fails_from = None

    def touch(self) -> None:
        if self._fails_from is not None and self.done >= self._fails_from:
            self.failed += 1
            self._times -= 1
            if not self._times:
                self.heal()
            raise apsw.exception_for(self._code)
        self.done += 1

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> _File:  # noqa: N802 - SQLite's name
        return _File(self, name, flags)


class _File(apsw.VFSFile):
    def __init__(self, disk: FaultyDisk, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        self._disk = disk
        super().__init__("", name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 - SQLite's name
        self._disk.touch()
        super().xWrite(data, offset)

    def xTruncate(self, newsize: int) -> None:  # noqa: N802 - SQLite's name
        self._disk.touch()
        super().xTruncate(newsize)

    def xSync(self, flags: int) -> None:  # noqa: N802 - SQLite's name
        self._disk.touch()
        time.sleep(self._disk.sync_s)
        super().xSync(flags)


class Surface:
    """As much of sqlite3.Connection as the ledger's writer uses.

    apsw raises what a VFS raised also where SQLite itself lets it pass: a checkpoint that fails after its commit. So
    the checkpoints of SQLite are switched off, and made here as SQLite makes them: behind a commit, which that of a
    single statement is as well.
    """

    def __init__(self, path: Path, disk: FaultyDisk, checkpoint_every: int = 2) -> None:
        self._connection = apsw.Connection(str(path), vfs=disk.name)
        self._connection.wal_autocheckpoint(0)
        self._checkpoint_every = checkpoint_every
        self._commits = 0

    def cursor(self) -> Surface:
        return self

    def execute(self, sql: str, parameters: tuple[Any, ...] = ()) -> _Rows:
        with _as_sqlite3():
            rows = _Rows(self._connection.execute(sql, parameters))
        if sql == "COMMIT" or (sql.startswith("INSERT") and not self._connection.in_transaction):
            self._commits += 1
            if self._commits % self._checkpoint_every == 0:
                with suppress(apsw.Error):
                    self._connection.wal_checkpoint()
        return rows

    def create_function(
        self, name: str, arguments: int, function: Callable[..., Any], *, deterministic: bool = False
    ) -> None:
        self._connection.create_scalar_function(name, function, arguments, deterministic=deterministic)

    @property
    def in_transaction(self) -> bool:
        return self._connection.in_transaction

    def close(self) -> None:
        with suppress(apsw.Error):  # sqlite3 does not tell either that the checkpoint of a close failed
            self._connection.close()


class _Rows:
    def __init__(self, cursor: apsw.Cursor) -> None:
        self._cursor = cursor

    @property
    def rowcount(self) -> int:
        return self._cursor.connection.changes()

    def fetchone(self) -> Any:
        with _as_sqlite3():
            return self._cursor.fetchone()

    def fetchall(self) -> list[Any]:
        with _as_sqlite3():
            return self._cursor.fetchall()


@contextmanager
def _as_sqlite3() -> Iterator[None]:
    """Turn errors; their text is left out by apsw where a VFS raised them."""
    try:
        yield
    except (apsw.ConstraintError, apsw.MismatchError) as error:
        raise _same(error, sqlite3.IntegrityError) from error
    except (apsw.CorruptError, apsw.NotADBError) as error:
        raise _same(error, sqlite3.DatabaseError) from error
    except apsw.Error as error:
        raise _same(error, sqlite3.OperationalError) from error


def _same(error: apsw.Error, kind: type[sqlite3.Error]) -> sqlite3.Error:
    """Return the error as sqlite3 raises it, with the result code of SQLite."""
    found = kind(str(error) or type(error).__name__)
    found.sqlite_errorcode = getattr(error, "extendedresult", sqlite3.SQLITE_MISUSE)  # apsw's own ones have none
    return found
