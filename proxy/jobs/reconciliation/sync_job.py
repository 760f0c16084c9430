"""Compare by itself: today and what is awaited each hour, each day once it is over, and what a stop has missed."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import date
from typing import Final

from proxy.core.errors import LedgerError
from proxy.jobs.reconciliation.account_sync import AccountSync
from proxy.pipeline.services import Services
from proxy.policy.reconciliation.drift_class import PENDING
from proxy.policy.reconciliation.key_comparison import COUNTED_AFTER_MS
from proxy.policy.reconciliation.sync_schedule import (
    DayState,
    changed_days,
    daily_days,
    day_of,
    hourly_days,
    is_hour_over,
    last_daily_ms,
    past_days,
    start_ms,
)
from proxy.providers.account.source import AccountError
from proxy.storage.ledger import LedgerUnavailableError

log = logging.getLogger("tollkeeper.reconciliation")
_FIRST_S: Final = 120.0  # not right after a start, which is busy enough
_LOOK_S: Final = 60.0


class SyncJob:
    """The job. clock_problem: while there is one nobody knows which day it is, and nothing is compared."""

    def __init__(self, services: Services, sync: AccountSync, clock_problem: Callable[[], str | None]) -> None:
        self._services = services
        self._sync = sync
        self._clock_problem = clock_problem
        self._hourly_ms: dict[str, int] = {}  # when today was compared last, by provider
        self._counted_ms: dict[str, int] = {}  # when keys were asked last, by provider
        self._daily_ms: dict[str, int] = {}  # the daily look whose sums were compared
        self._told: dict[str, str] = {}

    async def run(self) -> None:
        """Run until cancelled."""
        await asyncio.sleep(_FIRST_S)
        while True:
            await self.look()
            await asyncio.sleep(_LOOK_S)

    async def look(self) -> None:
        """Compare what is due now."""
        due = [(provider, self._look) for provider in self._sync.providers()]
        due += [(provider, self._count) for provider in self._sync.counts.providers()]
        for provider, look in due:
            try:
                await look(provider)
                self._told.pop(provider, None)
            except (AccountError, LedgerError, LedgerUnavailableError) as error:
                if self._told.get(provider) != str(error):  # once for as long as it lasts
                    log.warning("reconciliation.failed", extra={"provider": provider, "problem": str(error)})
                    self._told[provider] = str(error)

    async def _look(self, provider: str) -> None:
        services = self._services
        snapshot = services.live.current
        settings, now_ms = snapshot.settings.reconcile, services.clock.now_ms()
        if self._clock_problem() is not None:
            return
        known = await self._known(provider, now_ms)
        due = daily_days(now_ms, snapshot.zone, settings.daily_at, known)
        daily_ms = last_daily_ms(now_ms, snapshot.zone, settings.daily_at)
        if self._daily_ms.get(provider) != daily_ms:
            due += await self._changed(provider, known)
            self._daily_ms[provider] = daily_ms
        if settings.hourly and is_hour_over(self._hourly_ms.get(provider), now_ms):
            due += hourly_days(now_ms, known)
            self._hourly_ms[provider] = now_ms  # a failure waits for the next hour too
        for day in sorted(set(due)):
            if self._clock_problem() is not None:
                return
            if provider in self._sync.providers(day):
                await self._sync.sync(provider, day)

    async def _count(self, provider: str) -> None:
        """Compare today by what the keys have counted, each hour: nobody tells of a past day then.

        Just after midnight a provider may still tell of the day before.
        """
        now_ms = self._services.clock.now_ms()
        if now_ms - start_ms(day_of(now_ms)) < COUNTED_AFTER_MS:
            return
        if self._clock_problem() is not None or not self._services.live.current.settings.reconcile.hourly:
            return
        if is_hour_over(self._counted_ms.get(provider), now_ms):
            self._counted_ms[provider] = now_ms  # a failure waits for the next hour too
            await self._sync.counts.sync(provider)

    async def _known(self, provider: str, now_ms: int) -> Mapping[date, DayState]:
        days = past_days(day_of(now_ms))
        found = await asyncio.to_thread(
            self._services.reports.compared_days, days[0].isoformat(), days[-1].isoformat(), provider
        )
        return {
            date.fromisoformat(one.day): DayState(
                one.compared_ms, one.is_final, any(each.drift_class == PENDING for each in one.classes)
            )
            for one in found
        }

    async def _changed(self, provider: str, known: Mapping[date, DayState]) -> list[date]:
        """Return the days that are final here, and whose sums the provider has changed since."""
        final = [day for day, state in known.items() if state.is_final]
        if not final:
            return []
        told = await self._sync.told_sums(provider)
        kept = await asyncio.to_thread(self._services.reports.activity_sums, provider, min(final).isoformat())
        return changed_days(kept, told, final)
