"""A watch of a test's own beside the proxy's: with rules and a clock of its own, and the proxy's ledger and health."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from proxy.config.alerts import Alerts
from proxy.jobs.alerts.watch import AlertWatch
from proxy.pipeline.snapshot import Snapshot
from proxy.storage.alerts import StoredDelivery
from tests.support.stand import Stand


def leave_hearing(at: Stand) -> None:
    """Keep the proxy's own watch, which has no rules, from undoing what a test has requests counted for."""
    at.app.alerts._hear = lambda _: None  # type: ignore[assignment, method-assign]


class MovedClock:
    """The proxy's clock, moved by what a test wants."""

    def __init__(self, clock: Any) -> None:
        self._clock = clock
        self.monotonic_s = clock.monotonic_s
        self.ahead_ms = 0

    def now_ms(self) -> int:
        return int(self._clock.now_ms()) + self.ahead_ms


@dataclass
class FixedLive:
    current: Snapshot
    loaded: Any


class Watched:
    """A watch that is asked to look, and what it has told."""

    def __init__(self, at: Stand, rules: Mapping[str, Any], **alerts: Any) -> None:
        self.at = at
        self.clock = MovedClock(at.app.services.clock)
        settings = at.app.live.current.settings
        given = {"rules": rules, **alerts}
        snapshot = replace(at.app.live.current, settings=settings.replaced({"alerts": Alerts.read(given)}))
        self.services = replace(at.app.services, clock=self.clock, live=FixedLive(snapshot, at.app.live.loaded))
        self.woken = 0
        self.watch = self.restarted()

    def restarted(self) -> AlertWatch:
        """Return the watch of another start: with what the ledger holds, and nothing else."""
        self.watch = AlertWatch(self.services, self.at.database, self._wake, self._listen)
        self.services.repeated = None
        return self.watch

    def _wake(self) -> None:
        self.woken += 1

    def _listen(self, recent: Any) -> None:
        self.at.app._hear_requests(recent)

    async def told(self) -> list[str]:
        """Look once, and return the lines of all that was ever told, oldest first."""
        await self.watch.check()
        return [f"{each.message.told} {each.message.rule} {each.message.subject}" for each in self.deliveries()]

    def deliveries(self) -> list[StoredDelivery]:
        return self.at.app.reports.alert_deliveries(None, None, 1000)[::-1]
