"""Who hears of each request when it has ended: log, counters, and whatever watches later."""

import logging
from typing import Protocol

from proxy.pipeline.values.finished import RequestFinished, RequestRefused
from proxy.storage.adjustment import Booked

log = logging.getLogger("tollkeeper.events")


class Subscriber(Protocol):
    """Hears of each request, on the event loop: at once and without waiting. What takes time goes to a thread."""

    def finished(self, event: RequestFinished) -> None:
        """Handle a request that has a row."""
        ...

    def refused(self, event: RequestRefused) -> None:
        """Handle a request that was answered with an error and has no row."""
        ...


class RefusalSubscriber(Protocol):
    """Hears only of requests without a row, on the event loop: an ended request costs nothing for its sake."""

    def refused(self, event: RequestRefused) -> None:
        """Handle a request that was answered with an error and has no row."""
        ...


class AdjustmentSubscriber(Protocol):
    """Hears of costs that became known late, on the event loop."""

    def adjusted(self, event: Booked) -> None:
        """Handle a cost that was booked as more or less than before; its row is on disk."""
        ...


class Publisher:
    """Hands each event to all subscribers, in order; one that fails keeps it from nobody else.

    refusal_subscribers hear of refusals only, after the others; adjustment_subscribers of late costs only.
    """

    __slots__ = ("adjustment_subscribers", "failures", "refusal_subscribers", "subscribers")

    def __init__(self, *subscribers: Subscriber) -> None:
        self.subscribers: tuple[Subscriber, ...] = subscribers
        self.refusal_subscribers: tuple[RefusalSubscriber, ...] = ()
        self.adjustment_subscribers: tuple[AdjustmentSubscriber, ...] = ()
        self.failures = 0  # of subscribers, since the start

    def finished(self, event: RequestFinished) -> None:
        for subscriber in self.subscribers:
            try:
                subscriber.finished(event)
            except Exception:
                self.failures += 1
                log.exception("event.subscriber_failed", extra={"subscriber": type(subscriber).__name__})

    def refused(self, event: RequestRefused) -> None:
        for subscriber in (*self.subscribers, *self.refusal_subscribers):
            try:
                subscriber.refused(event)
            except Exception:
                self.failures += 1
                log.exception("event.subscriber_failed", extra={"subscriber": type(subscriber).__name__})

    def adjusted(self, event: Booked) -> None:
        for subscriber in self.adjustment_subscribers:
            try:
                subscriber.adjusted(event)
            except Exception:
                self.failures += 1
                log.exception("event.subscriber_failed", extra={"subscriber": type(subscriber).__name__})
