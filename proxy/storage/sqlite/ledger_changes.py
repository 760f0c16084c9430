"""Whether somebody writes the ledger, as SQLite tells: a look at it changes nothing for who writes.

A look at the times of its WAL would: since Linux 6.13 a file whose times were read gets finer ones with its next write,
which on some file systems costs that commit another write to the disk.
"""

import sqlite3
from pathlib import Path


class LedgerChanges:
    """Counts what others write, on a connection of its own: a reader's may be in the midst of a statement."""

    def __init__(self, path: Path) -> None:
        """Begin; raises sqlite3.DatabaseError."""
        uri = path.absolute().as_uri() + "?mode=ro"
        self._connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=0, check_same_thread=False)

    def count(self) -> int | None:
        """Return a number that is another one after each transaction of others; None: it cannot be told now.

        From any thread, one at a time.
        """
        try:
            return int(self._connection.execute("PRAGMA data_version").fetchone()[0])
        except sqlite3.Error:
            return None

    def close(self) -> None:
        self._connection.close()
