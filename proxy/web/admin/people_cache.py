"""What is known of all people, kept until something about them changes: thousands take long to put together."""

import asyncio
from typing import TYPE_CHECKING

from proxy.config.schema import Settings
from proxy.pipeline.snapshot import Live
from proxy.storage.audit import AuditFilter, AuditRow
from proxy.storage.reports import Reports

if TYPE_CHECKING:
    from proxy.web.admin.people import People


class PeopleCache:
    """The last one that was put together. One writer: read(), one at a time."""

    def __init__(self, reports: Reports, live: Live) -> None:
        self._reports, self._live = reports, live
        self._reading = asyncio.Lock()
        self._people: People | None = None
        self._entry: AuditRow | None = None  # the last one of the audit trail: every change of a person appends one

    async def read(self) -> "People":
        """Return all that holds now; reads beside the event loop and the writer. Raises LedgerError."""
        async with self._reading:
            overlay = self._live.current.overlay
            file = self._live.current.settings if overlay is None else overlay.file
            return await asyncio.to_thread(self._read, file)

    def _read(self, file: Settings) -> "People":
        from proxy.web.admin.people import people_of  # noqa: PLC0415 - in a thread; nobody may ever ask

        # the entry first: what is changed between the two readings is read again the next time
        entry = next(iter(self._reports.audit_entries(AuditFilter(), None, 1)), None)
        people = self._people
        if people is None or entry is None or entry != self._entry or file is not people.overlay.file:
            people = people_of(self._reports.directory(), file, self._live)
            self._people, self._entry = people, entry
        return people
