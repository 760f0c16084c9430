"""The keys that rows remember by a number: what each hash is, and where it was configured last."""

import sqlite3
from collections.abc import Sequence

from proxy.storage.rows import KeyHash

_NOTE = """
INSERT INTO key_hashes (id, hash, provider, name, first_ms) VALUES (?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET provider = excluded.provider, name = excluded.name WHERE hash = excluded.hash
"""


def note_keys(connection: sqlite3.Connection, keys: Sequence[KeyHash], now_ms: int) -> None:
    """Write keys that are new, and where known ones are now."""
    connection.executemany(_NOTE, [(*key, now_ms) for key in keys])
