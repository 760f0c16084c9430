"""What reports show days and amounts with: the zone, the currency, and what a dollar cost in it at each time.

A new rate does not change what was before it.
"""

import sqlite3
from decimal import Decimal

from proxy.storage.labels import Labels
from proxy.storage.rows import HOUR_MS
from proxy.storage.sqlite.migrations.migrate import make_views

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


def read_labels(connection: sqlite3.Connection) -> Labels:
    """Return what the last owner of the ledger had configured for reports."""
    found = dict(connection.execute("SELECT name, value FROM meta").fetchall())
    return Labels(found["timezone"], found["currency_code"], found["currency_usd_rate"])


def set_labels(connection: sqlite3.Connection, labels: Labels, now_ms: int) -> None:
    """Store the settings that the views show, and rebuild the views if the currency's name changed."""
    for name, value in (
        ("currency_code", labels.currency_code),
        ("currency_usd_rate", labels.usd_rate),
        ("timezone", labels.timezone),
    ):
        connection.execute(
            "INSERT INTO meta VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value", (name, value)
        )
    note_rate(connection, labels.currency_code, labels.usd_rate, now_ms)
    make_views(connection, labels.currency_code)
