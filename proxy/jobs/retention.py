"""Remove rows that are older than retention.rows, in small slices between the commits of requests."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from proxy.config.schema import Settings
from proxy.core.clock import Clock
from proxy.pipeline.admission.allowance import build_allowance, use_case_quotas
from proxy.pipeline.identity.user_lookup import stored_allowance
from proxy.pipeline.snapshot import Live, Snapshot
from proxy.policy.quota import Quota
from proxy.storage.ledger import Ledger
from proxy.storage.removal import RemovalPlan
from proxy.storage.reports import Reports

log = logging.getLogger("tollkeeper.retention")

_EVERY_S = 3600.0  # the age is in days: an hour more or less does not matter
_FIRST_S = 30.0  # not right after a start, which is busy enough
_SLICE = 300  # rows of one transaction: a few milliseconds of the writer's time
_TELL_EVERY_S = 10.0  # a first removal of years may last minutes
_PAUSE_S = 0.05  # between slices; 6,000 rows a second, and the writer is free for nearly all of it
_DAY_MS = 86_400_000


def configured_quotas(settings: Settings, users: Sequence[Mapping[str, Any]]) -> frozenset[Quota]:
    """Return every limit that applies to anybody. users: rows of storage/users.py, after the configuration's."""
    quotas: set[Quota] = set(build_allowance(settings, "", None, None).all_quotas)
    quotas = {quota for quota in quotas if quota.scope == "all"}
    for group in settings.groups:
        found = build_allowance(settings, "", group, None).all_quotas
        quotas.update(quota for quota in found if quota.scope == f"group:{group}")
    for name, user in settings.users.items():
        quotas.update(build_allowance(settings, name, user.group, user).all_quotas)
    for row in users:
        if row["name"] not in settings.users:
            quotas.update(stored_allowance(settings, row).all_quotas)
    for found in use_case_quotas(settings).values():
        quotas.update(found)
    return frozenset(quotas)


class Retention:
    """The job. It reads beside the writer, which only gets what is to be removed."""

    def __init__(
        self,
        ledger: Ledger,
        reports: Reports,
        live: Live,
        clock: Clock,
        clock_problem: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._ledger = ledger
        self._reports = reports
        self._live = live
        self._clock = clock
        self._clock_problem = clock_problem  # while there is one nothing is removed: nobody knows how old a row is
        self._told: tuple[str, ...] = ()

    async def run(self) -> None:
        """Run until cancelled; a change of the setting holds from the next hour on."""
        await asyncio.sleep(_FIRST_S)
        while True:
            await self.remove_old()
            await asyncio.sleep(_EVERY_S)

    async def remove_old(self) -> int:
        """Remove all that may go now; give how many requests went."""
        removed, after_id, told_s = 0, 0, self._clock.monotonic_s()
        snapshot, what = None, None
        while True:
            if snapshot is not self._live.current:  # at first, and when limits may have changed on the way
                snapshot = self._live.current
                what = await self._plan(snapshot)
            if what is None:
                break
            ids = await asyncio.to_thread(self._reports.removable, what, after_id, _SLICE)
            if not ids:
                break
            removed += await self._ledger.remove_rows(ids)
            after_id = ids[-1]
            if self._clock.monotonic_s() - told_s >= _TELL_EVERY_S:
                told_s = self._clock.monotonic_s()
                log.info("retention.removing", extra={"requests": removed})
            await asyncio.sleep(_PAUSE_S)
        if removed:
            log.info("retention.removed", extra={"requests": removed})
        return removed

    async def _plan(self, snapshot: Snapshot) -> RemovalPlan | None:
        """Return what may be removed; None if rows are kept forever, or while the time is unknown."""
        age_days = snapshot.settings.retention.rows_days
        if age_days is None or self._clock_problem() is not None:
            return None
        users = await asyncio.to_thread(self._reports.list_users)
        quotas = configured_quotas(snapshot.settings, users)
        quotas |= {quota for row in snapshot.providers.values() for key in row.keys for quota in key.quotas}
        now_ms = self._clock.now_ms()
        what = await asyncio.to_thread(self._reports.plan_removal, age_days * _DAY_MS, now_ms, snapshot.zone, quotas)
        self._tell(what)
        return what

    def _tell(self, what: RemovalPlan) -> None:
        if what.held_by != self._told:
            self._told = what.held_by
            if what.held_by:
                log.warning("retention.kept", extra={"limits": ", ".join(what.held_by)})
