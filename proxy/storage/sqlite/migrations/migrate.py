"""Bring a ledger file to the newest shape, one transaction a step, a copy of the file first.

Fails closed: a file of a newer program, a broken file or a failed step raises LedgerError and leaves the file as it
was. Each step ends by setting ``PRAGMA user_version`` to its number.
"""

import os
import re
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from proxy.core.errors import LedgerError

STEPS = tuple(f"{number:04}.sql" for number in range(1, 11))
SCHEMA_VERSION = len(STEPS)
MIN_SQLITE = (3, 37, 0)  # STRICT tables


_RATE_OF_BILL = """(SELECT CAST(usd_rate AS REAL) FROM rates
    WHERE code = (SELECT value FROM meta WHERE name = 'currency_code') AND from_ms <= at_ms
    ORDER BY from_ms DESC LIMIT 1)"""


def _script(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _back_up(connection: sqlite3.Connection, path: Path, version: int) -> Path:
    copy = path.with_name(f"{path.name}.v{version}.backup")
    copy.unlink(missing_ok=True)
    # VACUUM fills an empty file that is there, and so never a file that others may read; it does not sync it
    descriptor = os.open(copy, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        connection.execute("VACUUM INTO ?", (str(copy),))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return copy


def known_version(connection: sqlite3.Connection, path: Path, newest: int = SCHEMA_VERSION) -> int:
    """Return the file's version, 0 if it is empty; raises LedgerError for one that is newer or not a ledger."""
    if sqlite3.sqlite_version_info < MIN_SQLITE:
        raise LedgerError(f"SQLite {sqlite3.sqlite_version} is too old; the ledger needs 3.37 (November 2021).")
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > newest:
        raise LedgerError(
            f"{path} was written by a newer tollkeeper (schema {version}; this one knows {newest})."
            f" Upgrade, or restore {path.name}.v{newest}.backup."
        )
    tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    if version == 0 and tables:
        raise LedgerError(f"{path} is an SQLite file of another program. Choose another file with database:.")
    return int(version)


def migrate(connection: sqlite3.Connection, path: Path, steps: Sequence[str] | None = None) -> None:
    """Run the missing migrations. connection is in autocommit mode; path is its file.

    steps are SQL scripts, the first for an empty file; None: those of this program.
    """
    count = len(STEPS) if steps is None else len(steps)
    version = known_version(connection, path, count)
    if version and version < count:
        _back_up(connection, path, version)
    for at in range(version, count):
        _take_step(connection, _script(STEPS[at]) if steps is None else steps[at])


def _take_step(connection: sqlite3.Connection, script: str) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        for statement in _statements(script):
            connection.execute(statement)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def make_views(connection: sqlite3.Connection, currency_code: str) -> None:
    """Recreate the views; the currency's code is part of a column's name."""
    if not re.fullmatch("[A-Za-z]{3}", currency_code):
        raise LedgerError("currency.code: three letters, such as SEK.")
    code = currency_code.lower()
    local = "" if code == "usd" else f'cost_local AS "cost_{code}",'
    of_bill = "" if code == "usd" else f"sum(amount_pusd) / 1e12 * {_RATE_OF_BILL},"
    for statement in _statements(_script("views.sql").replace("{local}", local).replace("{local_of_bill}", of_bill)):
        connection.execute(statement)


def _statements(script: str) -> list[str]:
    """Split a script into statements: executescript would commit the transaction that a migration runs in."""
    found, current = [], ""
    for line in script.splitlines():
        current += line + "\n"
        if sqlite3.complete_statement(current):
            found.append(current)
            current = ""
    return found
