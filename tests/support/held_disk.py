"""A disk that takes no commit for a while, as a slow one does: what is under way waits in the middle of it."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path


@contextmanager
def held_disk(database: Path) -> Iterator[None]:
    """Hold the write lock of a ledger that is in use; what another connection has committed can be read."""
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")
