"""Keep what a dollar costs in the local currency: take a file of rates up when it changes, and fetch it where asked to.

A file that cannot be read or fetched changes nothing: the last rate goes on, and the log says why, once.
"""

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from proxy.config.schema import Currency, Settings
from proxy.core.clock import Clock
from proxy.pipeline.snapshot import Live
from proxy.storage.labels import labels_of
from proxy.storage.ledger import Ledger
from proxy.wire.ecb_rates import EcbRatesError

log = logging.getLogger("tollkeeper.rates")

_LOOK_S = 60.0
_FETCH_AGE_S = 6 * 3600.0  # the ECB publishes once on a working day, about 16:00 of Frankfurt
_AFTER_FAILURE_S = 600.0


async def store_labels(ledger: Ledger, settings: Settings, clock: Clock) -> str | None:
    """Store what reports show; return why the file of rates was not read, where there is one and it was not."""
    if settings.currency.ecb_file is None:
        labels = labels_of(settings)
    else:
        labels = await asyncio.to_thread(labels_of, settings)
    await ledger.set_labels(labels, clock.now_ms())
    return labels.problem


class ExchangeRates:
    """The job that keeps them; problem: why the file of the configuration in force is not read."""

    def __init__(self, ledger: Ledger, live: Live, clock: Clock, look_s: float = _LOOK_S) -> None:
        self._ledger, self._live, self._clock, self._look_s = ledger, live, clock, look_s
        self._seen: tuple[str, Path, int, int] | None = None  # code, file, its time of change and size
        self._not_before_s = 0.0  # of the next fetch, by the monotonic clock
        self.problem: str | None = None

    async def run(self) -> None:
        """Run until cancelled."""
        while True:
            settings: Settings = self._live.current.settings
            if settings.currency.ecb_file is not None:
                await self._look(settings, settings.currency.ecb_file)
            await asyncio.sleep(self._look_s)

    async def _look(self, settings: Settings, path: Path) -> None:
        currency = settings.currency
        if currency.ecb_url is not None and self._is_old(path) and time.monotonic() >= self._not_before_s:
            await self._fetch(currency, currency.ecb_url, path)
        seen = (currency.code, path, *_state_of(path))
        if seen != self._seen:
            problem = await store_labels(self._ledger, settings, self._clock)
            self._seen = seen
            self._tell(problem)

    def _tell(self, problem: str | None) -> None:
        if problem is not None and problem != self.problem:
            log.warning("rates.unread", extra={"problem": problem})
        self.problem = problem

    def _is_old(self, path: Path) -> bool:
        changed_ns, _ = _state_of(path)
        return not -_FETCH_AGE_S < time.time() - changed_ns / 1e9 < _FETCH_AGE_S

    async def _fetch(self, currency: Currency, url: str, path: Path) -> None:
        """Replace the file by what the URL answers, if that has rates of the currency."""
        download = await asyncio.to_thread(_load_download)
        try:
            days = await download(url, path, currency.code)
        except EcbRatesError as error:
            self._not_before_s = time.monotonic() + _AFTER_FAILURE_S
            log.warning("rates.fetch_failed", extra={"url": url, "problem": str(error)})
            return
        log.info("rates.fetched", extra={"url": url, "days": days})


def _load_download() -> Callable[[str, Path, str], Awaitable[int]]:
    from proxy.jobs.rates_download import download_rates  # noqa: PLC0415 - aiohttp's client: 13 MB, which few need

    return download_rates


def _state_of(path: Path) -> tuple[int, int]:
    """Return when the file was changed (nanoseconds) and its size; zeros where there is none."""
    try:
        found = os.stat(path)  # noqa: PTH116 - no Path is made for each look
    except OSError:
        return 0, 0
    return found.st_mtime_ns, found.st_size
