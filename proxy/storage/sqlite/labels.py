"""What reports show days and amounts with: the zone, the currency, and what a dollar cost in it at each time.

A new rate does not change what was before it.
"""

import sqlite3
from collections.abc import Sequence
from zoneinfo import ZoneInfo

from proxy.policy.exchange_rates import RateStep, join_steps
from proxy.policy.zone_offsets import OffsetStep, offset_steps
from proxy.storage.labels import Labels
from proxy.storage.rows import HOUR_MS
from proxy.storage.sqlite.migrations.migrate import make_views

RATE_OF_ROW = """(SELECT usd_rate FROM rates
    WHERE code = (SELECT value FROM meta WHERE name = 'currency_code') AND from_ms <= r.started_ms
    ORDER BY from_ms DESC LIMIT 1)"""


def note_rates(connection: sqlite3.Connection, code: str, wanted: Sequence[RateStep], now_ms: int) -> None:
    """Store the rates of a currency: from the next full hour on or, if there is none yet, of all time.

    No hour that has figures gets another rate, whatever the clock says.
    """
    held = read_rates(connection, code)
    booked_ms = connection.execute("SELECT max(hour_ms) FROM usage_hourly").fetchone()[0] or 0
    joined = join_steps(held, wanted, (max(now_ms, booked_ms) // HOUR_MS + 1) * HOUR_MS)
    if joined != held:
        connection.execute("DELETE FROM rates WHERE code = ?", (code,))
        connection.executemany("INSERT INTO rates VALUES (?, ?, ?)", [(code, *step) for step in joined])


def read_rates(connection: sqlite3.Connection, code: str) -> tuple[RateStep, ...]:
    """Return what is held of a currency, in the order of time; empty where it never was the currency of reports."""
    query = "SELECT from_ms, usd_rate FROM rates WHERE code = ? ORDER BY from_ms"
    return tuple(RateStep(*row) for row in connection.execute(query, (code,)))


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
    note_rates(connection, labels.currency_code, labels.steps(), now_ms)
    _note_offsets(connection, offset_steps(ZoneInfo(labels.timezone)))
    make_views(connection, labels.currency_code)


def _note_offsets(connection: sqlite3.Connection, steps: Sequence[OffsetStep]) -> None:
    """Store when the clocks of the zone change."""
    if connection.execute("SELECT from_ms, offset_ms FROM zone_offsets ORDER BY from_ms").fetchall() != list(steps):
        connection.execute("DELETE FROM zone_offsets")
        connection.executemany("INSERT INTO zone_offsets VALUES (?, ?)", steps)
