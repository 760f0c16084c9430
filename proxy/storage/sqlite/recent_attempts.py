"""The last attempts of the ledger, for those who want to know how targets did lately."""

import sqlite3
from typing import NamedTuple

from proxy.storage.rows import id_floor

_REQUESTS_MAX = 1000  # what came before these says little about now, and a start must not wait
_FIRST = "SELECT min(id) FROM (SELECT id FROM requests WHERE id >= ? ORDER BY id DESC LIMIT ?)"
_ATTEMPTS = (
    "SELECT provider, model, outcome, status, ttft_ms FROM attempts WHERE request_id >= ? AND outcome <> 'open'"
    " ORDER BY request_id, n"
)


class PastAttempt(NamedTuple):
    """One attempt that has ended. outcome is ``ok`` or a code of docs/reference/errors.md.

    status is the provider's, None where none came; ttft_ms None: no content came.
    """

    provider: str
    model: str
    outcome: str
    status: int | None
    ttft_ms: int | None


def recent_attempts(connection: sqlite3.Connection, since_ms: int) -> list[PastAttempt]:
    """Return attempts of the last requests since a time, oldest first; both queries read the table's end only."""
    first = connection.execute(_FIRST, (id_floor(since_ms), _REQUESTS_MAX)).fetchone()[0]
    if first is None:
        return []
    return [PastAttempt(*row) for row in connection.execute(_ATTEMPTS, (first,))]
