"""Open what a proxy keeps its books in: the one place that knows which kind of ledger there is."""

import asyncio
from collections.abc import Callable
from typing import NamedTuple

from proxy.config.schema import Settings
from proxy.storage.ledger import Ledger
from proxy.storage.reports import Reports
from proxy.storage.sqlite.ledger import open_ledger
from proxy.storage.sqlite.reports import SqliteReports


class Storage(NamedTuple):
    """A ledger, and the reports on it."""

    ledger: Ledger
    reports: Reports


OpenStorage = Callable[[Settings, asyncio.AbstractEventLoop], Storage]


def open_sqlite(settings: Settings, loop: asyncio.AbstractEventLoop, *, purpose: str = "tollkeeper serve") -> Storage:
    """Open or make the file of the settings as its one owner; raises LedgerError.

    purpose: what the next one who tries is told of the owner.
    """
    ledger = open_ledger(
        settings.database,
        loop,
        purpose=purpose,
        busy_timeout_s=float(settings.ledger.busy_timeout_s),
        queue_max=settings.ledger.queue_max,
    )
    return Storage(ledger, SqliteReports(settings.database))
