"""What a dollar cost in the local currency at each time: a new rate does not change what was before it."""

import sqlite3
from decimal import Decimal

from proxy.storage.rows import HOUR_MS

RATE_OF_ROW = """(SELECT usd_rate FROM rates
    WHERE code = (SELECT value FROM meta WHERE name = 'currency_code') AND from_ms <= r.started_ms
    ORDER BY from_ms DESC LIMIT 1)"""


def note_rate(connection: sqlite3.Connection, code: str, usd_rate: str, now_ms: int) -> None:
    """Store the rate of a currency: from the next full hour on or, if it is the first, for all time."""
    last = connection.execute(
        "SELECT from_ms, usd_rate FROM rates WHERE code = ? ORDER BY from_ms DESC LIMIT 1", (code,)
    ).fetchone()
    if last is not None and Decimal(last[1]) == Decimal(usd_rate):
        return
    from_ms = 0 if last is None else max(last[0], (now_ms // HOUR_MS + 1) * HOUR_MS)
    connection.execute(
        "INSERT INTO rates VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET usd_rate = excluded.usd_rate",
        (code, from_ms, usd_rate),
    )
