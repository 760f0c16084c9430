"""Look at the -wal beside a ledger: is it there when it should be, and is it one of this ledger."""

import sqlite3
import struct
from pathlib import Path

_WAL_MAGIC = (0x377F0682, 0x377F0683)  # https://www.sqlite.org/fileformat2.html#walformat
_WAL_HEADER = struct.Struct(">III")  # magic, version, size of a page


def look_at_wal(database: Path) -> tuple[bytes | None, bool]:
    """Return the head of the file ``-wal`` (None: no such file) and whether the owner's lock file exists.

    Call it before the ledger is opened: opening makes an empty ``-wal``.
    """
    wal = database.with_name(database.name + "-wal")
    has_lock_file = database.with_name(database.name + ".lock").exists()
    try:
        with wal.open("rb") as file:
            return file.read(_WAL_HEADER.size), has_lock_file
    except FileNotFoundError:
        return None, has_lock_file


def odd_wal(connection: sqlite3.Connection, head: bytes | None, *, has_lock_file: bool, is_owned: bool) -> str | None:
    """Return what is odd about the ``-wal``; is_owned: a process has the ledger open for writing."""
    if connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        return None  # a copy made by tollkeeper backup: one file holds everything
    if head is None and is_owned:
        return (
            "A proxy runs, but its -wal is missing: somebody deleted it. Stop the proxy, keep all files, and"
            " compare this ledger with the newest back-up."
        )
    if head is None and not has_lock_file:
        return (
            "There is no -wal and no .lock beside this file: it looks like a copy of the .db alone. What the -wal"
            " held is not in it. Use tollkeeper backup for copies."
        )
    if not head:
        return None
    if len(head) < _WAL_HEADER.size:
        return "The -wal is cut off within its head; SQLite leaves it out. Compare with the newest back-up."
    magic, _, page_size = _WAL_HEADER.unpack(head)
    if magic not in _WAL_MAGIC or page_size != connection.execute("PRAGMA page_size").fetchone()[0]:
        return "The -wal is not one of this ledger; SQLite leaves it out. Compare with the newest back-up."
    if not is_owned:
        return "No proxy runs, and its -wal holds rows: it was killed. The next start recovers them; keep both files."
    return None
