"""What the database holds of users, tokens and settings, read beside whoever writes it."""

from typing import TYPE_CHECKING

from proxy.app.storage import master_keys_of
from proxy.storage.reports import DirectoryRows
from proxy.storage.sqlite.reports import open_reports

if TYPE_CHECKING:
    from proxy.config.schema import Settings


def database_rows(settings: "Settings") -> DirectoryRows:
    """Read it; nothing where there is no ledger yet."""
    if not settings.database.exists() or settings.database.stat().st_size == 0:
        return DirectoryRows([], [], {})
    return open_reports(settings.database, master_keys_of(settings)).directory()
