"""Deliver what the ledger holds for the destinations, each by its own task, until it is delivered or given up.

A delivery is on disk before its first attempt and until its last: a crash between an answer and its note sends once
more, with the same id, by which a receiver knows it.
"""

import asyncio
import logging
import random
import secrets
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial

from proxy.config.alerts import LOG, AlertDestination
from proxy.core.errors import LedgerError
from proxy.pipeline.services import Services
from proxy.policy.alerts.alert_message import AlertMessage
from proxy.policy.alerts.retry_schedule import RETRY_DELAYS_S, SendResult, next_attempt_ms
from proxy.storage.alerts import ALERT_PREFIX, AlertNotes, DeliveryNote, StoredDelivery
from proxy.storage.ledger import LedgerUnavailableError

log = logging.getLogger("tollkeeper.alerts")

_AT_ONCE = 500  # deliveries that are read together; they are due first
_LOOK_S = 30.0  # the longest sleep, whatever was said of the next time
_AFTER_FAILURE_S = 2.0
_FAR_MS = 3 * 86_400_000  # no delivery is put off so long: a clock stood elsewhere when it was noted

_EVENTS = {"fired": "alert.fired", "recovered": "alert.recovered", "test": "alert.test"}

Send = Callable[[AlertDestination, StoredDelivery], Awaitable[SendResult]]


def senders() -> Mapping[str, Send]:
    """Return how each kind of destination is reached; for a thread, as it may import for a tenth of a second."""
    from proxy.jobs.alerts.command import run_command  # noqa: PLC0415 - 14 MB, for those who are alerted
    from proxy.jobs.alerts.mail import send_mail  # noqa: PLC0415
    from proxy.jobs.alerts.webhook import WebhookSender  # noqa: PLC0415

    posted = dict.fromkeys(("webhook", "slack", "mattermost", "discord"), WebhookSender().send)
    return {**posted, "email": send_mail, "command": run_command}


class AlertOutbox:
    """The job. ended: how many deliveries, by destination and how they ended."""

    def __init__(
        self,
        services: Services,
        send_by: Mapping[str, Send] | None = None,
        delays_s: tuple[float, ...] = RETRY_DELAYS_S,
    ) -> None:
        """Keep the parts; send_by: how each kind is reached, delays_s: the schedule of further attempts."""
        self._services = services
        self._send_by = send_by
        self._delays_s = delays_s
        self._woken = asyncio.Event()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._unnoted: dict[int, DeliveryNote] = {}  # attempts whose end the ledger did not take yet
        self.ended: Counter[tuple[str, str]] = Counter()

    def wake(self) -> None:
        """Look at once: there is something new to deliver."""
        self._woken.set()

    async def run(self) -> None:
        """Run until cancelled; then the attempts under way are cut, and made again after the next start."""
        try:
            while True:
                self._woken.clear()
                try:
                    wait_s = await self._look()
                except (LedgerError, LedgerUnavailableError) as error:
                    log.warning("alert.not_delivered", extra={"problem": str(error)})
                    wait_s = _AFTER_FAILURE_S
                try:
                    async with asyncio.timeout(wait_s):
                        await self._woken.wait()
                except TimeoutError:
                    continue
        finally:
            tasks = [*self._tasks.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _look(self) -> float:
        """Start on what is due, of each destination in order; return how long nothing more is."""
        await self._note_again()
        waiting = await asyncio.to_thread(self._services.reports.due_deliveries, _AT_ONCE)
        now_ms, next_ms = self._services.clock.now_ms(), None
        due: defaultdict[str, list[StoredDelivery]] = defaultdict(list)
        for delivery in waiting:
            at_ms = delivery.next_ms or 0
            if at_ms <= now_ms or at_ms > now_ms + _FAR_MS:
                if delivery.id not in self._unnoted:
                    due[delivery.destination].append(delivery)
            else:
                next_ms = at_ms if next_ms is None else min(next_ms, at_ms)
        for name, deliveries in due.items():
            if name not in self._tasks:
                task = self._tasks[name] = asyncio.create_task(self._deliver_all(name, deliveries))
                task.add_done_callback(partial(self._done, name))
        if self._unnoted:
            return _AFTER_FAILURE_S
        return _LOOK_S if next_ms is None else min(_LOOK_S, max(0.0, (next_ms - now_ms) / 1000))

    def _done(self, name: str, task: asyncio.Task[None]) -> None:
        del self._tasks[name]
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("alert.delivery_failed", extra={"destination": name, "problem": repr(error)}, exc_info=error)
        self._woken.set()

    async def _deliver_all(self, name: str, deliveries: Sequence[StoredDelivery]) -> None:
        disabled = (await asyncio.to_thread(self._services.reports.alerts)).disabled
        for delivery in deliveries:
            if name in disabled:
                result = SendResult(f"the destination is disabled: {disabled[name]}", is_final=True)
            else:
                result = await self._attempt(delivery)
            await self._note(delivery, result)
            if result.is_gone:
                break  # the rest is given up at the next look

    async def _attempt(self, delivery: StoredDelivery) -> SendResult:
        if delivery.destination == LOG:
            write_line(delivery)
            return SendResult()
        destination = self._services.live.current.settings.alerts.destinations.get(delivery.destination)
        if destination is None:
            return SendResult("there is no such destination any more", is_final=True)
        return await self.send(destination, delivery)

    async def send(self, destination: AlertDestination, delivery: StoredDelivery) -> SendResult:
        """Make one attempt, and note nothing of it."""
        if self._send_by is None:
            self._send_by = await asyncio.to_thread(senders)
        return await self._send_by[destination.kind](destination, delivery)

    async def try_out(self, name: str, message: AlertMessage) -> SendResult:
        """Make one attempt to reach a destination that there is with a message of its own, and note nothing of it."""
        id_ = f"{ALERT_PREFIX}test_{secrets.token_hex(8)}"
        delivery = StoredDelivery(0, id_, message, name, "waiting", 0, message.at_ms, message.at_ms, None, None, None)
        return await self._attempt(delivery)

    async def _note(self, delivery: StoredDelivery, result: SendResult) -> None:
        now_ms, attempts = self._services.clock.now_ms(), delivery.attempts + 1
        next_ms, word = None, "delivered"
        if result.problem is not None:
            next_ms = next_attempt_ms(result, attempts, now_ms, random.random(), self._delays_s)  # noqa: S311 - jitter
            word = "failed" if next_ms is None else "waiting"
        note = DeliveryNote(delivery.id, word, attempts, next_ms, result.status, result.problem)
        if word != "waiting":
            self.ended[delivery.destination, word] += 1
        if word == "failed":
            told = {"delivery": delivery.id, "destination": delivery.destination, "problem": result.problem}
            log.warning("alert.given_up", extra=told)
        disabled = {delivery.destination: result.problem or "410"} if result.is_gone else {}
        self._unnoted[delivery.id] = note
        try:
            await self._services.ledger.note_alerts(AlertNotes(deliveries=[note], disabled=disabled), now_ms)
        except LedgerUnavailableError:
            return  # kept, and noted later: until then it is not sent again
        self._unnoted.pop(delivery.id, None)

    async def _note_again(self) -> None:
        """Write the attempts that the ledger did not take; raises LedgerUnavailableError while it still does not."""
        if self._unnoted:
            notes = dict(self._unnoted)
            await self._services.ledger.note_alerts(
                AlertNotes(deliveries=[*notes.values()]), self._services.clock.now_ms()
            )
            for id_ in notes:
                self._unnoted.pop(id_, None)


def write_line(delivery: StoredDelivery) -> None:
    """Write an alert to the log."""
    message = delivery.message
    told = {"rule": message.rule, "subject": message.subject, "alert": delivery.alert_id}
    log.warning(_EVENTS[message.told], extra={**told, "text": message.line, "figures": message.detail})
