"""Change a ledger that no proxy runs on: as its one owner, each operation in a transaction of its own."""

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from proxy.core.errors import LedgerError
from proxy.storage.admin_operations import CHANGES, READS
from proxy.storage.audit import Actor
from proxy.storage.labels import Labels
from proxy.storage.master_keys import MasterKeys
from proxy.storage.sqlite.connect import connect_owner, make_private_file
from proxy.storage.sqlite.labels import set_labels
from proxy.storage.sqlite.lock import OwnerLock
from proxy.storage.sqlite.stores import SqliteStores


def lock_ledger(path: Path, purpose: str) -> OwnerLock:
    """Acquire the right to write a ledger, made where there is none; raises LedgerError that names the owner."""
    try:
        make_private_file(path)
        lock = OwnerLock(path)
        lock.acquire(purpose)
    except OSError as error:
        raise LedgerError(f"{path} cannot be written: {error.strerror}. Nothing was changed.") from None
    return lock


class OwnedLedger:
    """The operations on users and tokens, by name."""

    def __init__(self, connection: sqlite3.Connection, master: MasterKeys) -> None:
        self._connection = connection
        self._master = master

    def operate(self, operation: str, *, now_ms: int, actor: Actor, fields: Mapping[str, Any]) -> Any:
        """Run one of admin_operations.OPERATIONS, all of it or nothing; raises UserError."""
        stores = SqliteStores(self._connection, self._master)
        if operation in READS:
            return READS[operation](stores.users, fields)
        return self._in_transaction(lambda: CHANGES[operation](stores, now_ms, actor, fields))

    def set_labels(self, labels: Labels, now_ms: int) -> None:
        """Store what reports show."""
        self._in_transaction(lambda: set_labels(self._connection, labels, now_ms))

    def _in_transaction(self, change: Callable[[], Any]) -> Any:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            result = change()
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
        return result


@contextmanager
def own_ledger(path: Path, busy_timeout_s: float, master: MasterKeys) -> Iterator[OwnedLedger]:
    """Open a ledger as its owner; the caller holds the lock. Raises LedgerError where it cannot be read or written."""
    try:
        with closing(connect_owner(path, busy_timeout_s)) as connection:
            yield OwnedLedger(connection, master)
    except sqlite3.DatabaseError as error:
        raise LedgerError(f"{path}: {error}. Nothing was changed.") from None
