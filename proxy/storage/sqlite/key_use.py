"""What the ledger tells of one key of a provider: its attempts since a time, for the limits of keys."""

import sqlite3

from proxy.storage.rows import id_floor

# a single attempt stands in its request's row; of what has no figure yet the most that it may cost counts
_SINGLE = """
SELECT started_ms, ifnull(cost_pusd, ifnull(reserved_pusd, 0)) FROM requests
WHERE id >= ?1 AND target_provider = ?2 AND key = ?3
    AND NOT EXISTS (SELECT 1 FROM attempt_rows WHERE request_id = requests.id)
"""
_SEVERAL = """
SELECT started_ms, ifnull(cost_pusd, ifnull(reserved_pusd, 0)) FROM attempt_rows
WHERE request_id >= ?1 AND provider = ?2 AND key = ?3
"""


def read_key_use(connection: sqlite3.Connection, provider: str, key: str, since_ms: int) -> list[tuple[int, int]]:
    """Return start and cost (pico-USD) of each attempt with a key. It scans rows; only limits of keys need it."""
    arguments = (id_floor(since_ms), provider, key)
    return [*connection.execute(_SINGLE, arguments), *connection.execute(_SEVERAL, arguments)]
