"""Which request came with which Idempotency-Key: hashes only, kept for a while.

Runs in the writer's transactions. The row of a key is on disk before that of its request, and so before anything is
sent: after a crash a key without a request's row means that nothing was sent.
"""

import sqlite3

from proxy.policy.idempotency import EarlierRequest
from proxy.storage.rows import KeyHashes, StoredKey
from proxy.storage.sqlite.adjustments import with_late

_REMOVED_AT_ONCE = 100  # more than are ever added in between: the table empties itself

_FIND = f"""
SELECT k.body_hash, k.request_id, r.state, r.status, r.error,
    {with_late("r.cost_pusd", "(SELECT sum(amount_pusd) FROM adjustments WHERE request_id = r.id)")}
FROM idempotency_keys k LEFT JOIN requests r ON r.id = k.request_id
WHERE k.key_hash = ? AND k.request_id >= ?
"""  # noqa: S608 - constants
_NOTE = """
INSERT INTO idempotency_keys (request_id, key_hash, body_hash) VALUES (?, ?, ?)
ON CONFLICT (key_hash) DO UPDATE SET request_id = excluded.request_id, body_hash = excluded.body_hash
"""
_REMOVE = """
DELETE FROM idempotency_keys WHERE request_id IN
    (SELECT request_id FROM idempotency_keys WHERE request_id < ? ORDER BY request_id LIMIT ?)
"""


def find_key(connection: sqlite3.Connection, key_hash: bytes, since_id: int) -> StoredKey | None:
    """Return the last request that had the key; None if none has had it since since_id."""
    row = connection.execute(_FIND, (key_hash, since_id)).fetchone()
    return None if row is None else StoredKey(row[0], EarlierRequest(*row[1:]))


def note_key(connection: sqlite3.Connection, hashes: KeyHashes, request_id: int, since_id: int) -> None:
    """Assign the key to a request, and delete some keys older than since_id."""
    connection.execute(_REMOVE, (since_id, _REMOVED_AT_ONCE))
    connection.execute(_NOTE, (request_id, *hashes))
