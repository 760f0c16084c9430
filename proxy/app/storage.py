"""Open what a proxy keeps its books in: the one place that knows which kind of ledger there is."""

import asyncio
import os
from collections.abc import Callable
from typing import NamedTuple

from proxy.config.schema import Settings
from proxy.storage.ledger import Ledger
from proxy.storage.ledger_place import LedgerPlace
from proxy.storage.master_keys import MasterKeys, master_key_sources
from proxy.storage.reports import Reports
from proxy.storage.sqlite.ledger import open_ledger
from proxy.storage.sqlite.reports import SqliteReports, open_reports


class Storage(NamedTuple):
    """A ledger, and the reports on it. place: how another process reads it; None: none can."""

    ledger: Ledger
    reports: Reports
    place: LedgerPlace | None = None


OpenStorage = Callable[[Settings, asyncio.AbstractEventLoop], Storage]


def open_sqlite(settings: Settings, loop: asyncio.AbstractEventLoop, *, purpose: str = "tollkeeper serve") -> Storage:
    """Open or make the file of the settings as its one owner; raises LedgerError.

    purpose: what the next one who tries is told of the owner.
    """
    master = master_keys_of(settings)
    ledger = open_ledger(
        settings.database,
        loop,
        purpose=purpose,
        busy_timeout_s=float(settings.ledger.busy_timeout_s),
        queue_max=settings.ledger.queue_max,
        master=master,
    )
    place = LedgerPlace(f"{open_reports.__module__}:{open_reports.__name__}", settings.database)
    return Storage(ledger, SqliteReports(settings.database, master), place)


def master_keys_of(settings: Settings) -> MasterKeys:
    """Return what seals the secrets of the settings' database; nothing is read yet."""
    return MasterKeys(master_key_sources(settings.database, settings.secrets.master_key_file, os.environ))
