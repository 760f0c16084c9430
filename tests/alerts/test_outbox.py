"""What is told reaches its receiver once: through failures, restarts and SIGKILL."""

import signal
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from proxy.app import App
from proxy.jobs.alerts.outbox import AlertOutbox, senders
from proxy.pipeline.services import Services
from proxy.storage.audit import Actor
from proxy.storage.ledger import LedgerUnavailableError
from tests.alerts.receiver import BROKEN, GONE, HANG, OK, Receiver, receiver
from tests.support.installation import settings, write_config
from tests.support.patience import eventually
from tests.support.process import serving
from tests.support.stand import app_in_loop, simulator

DISK = {"watch": "disk_free", "at": "999999TB"}
ROOT = Actor("root", "socket")


def quick(services: Services) -> AlertOutbox:
    """Return an outbox that tries three times within a moment."""
    return AlertOutbox(services, senders(), (0.01, 0.01))


def hook(at: Receiver, **more: Any) -> dict[str, Any]:
    return {"kind": "webhook", "url": at.url, "allow_private": True, "timeout_s": 1, **more}


def config(
    folder: Path, sim_url: str, rules: Mapping[str, Any] | None = None, destinations: Mapping[str, Any] | None = None
) -> Path:
    alerts = {"rules": rules or {"disk": {**DISK, "to": ["hook"]}}, "destinations": destinations or {}}
    return write_config(folder, settings(sim_url, {"alerts": alerts}))


async def ended(app: App, state: str = "delivered", count: int = 1) -> list[Any]:
    """Wait until so many deliveries have ended so."""

    async def look() -> list[Any]:
        found = app.reports.alert_deliveries(state, None, 100)
        return found if len(found) == count else []

    return await eventually(look)


async def test_an_alert_arrives_once_however_often_the_proxy_starts(tmp_path: Path) -> None:
    async with receiver(BROKEN, OK) as at, simulator() as sim:
        path = config(tmp_path, sim.url, destinations={"hook": hook(at)})
        for _ in range(3):
            async with app_in_loop(path, open_outbox=quick) as app:
                (delivery,) = await ended(app)
                await app.alerts.check()
        assert delivery.attempts == 2
        first, second = at.received
        assert first.headers["webhook-id"] == second.headers["webhook-id"] == delivery.alert_id
        assert first.body == second.body


async def test_one_that_is_under_way_at_a_kill_is_sent_again_with_its_id(tmp_path: Path) -> None:
    """A real SIGKILL while the receiver has the alert and has not answered yet."""
    async with receiver(HANG, OK) as at, simulator() as sim:
        path = config(tmp_path, sim.url, destinations={"hook": hook(at, timeout_s=300)})
        async with serving(tmp_path, path) as process:

            async def arrived() -> bool:
                return bool(at.received)

            await eventually(arrived)
            process.signal(signal.SIGKILL)
            await process.ended()
        async with app_in_loop(path, open_outbox=quick) as app:
            (delivery,) = await ended(app)
            await app.alerts.check()
        assert [got.headers["webhook-id"] for got in at.received] == [delivery.alert_id] * 2


async def test_a_dead_letter_is_listed_and_can_be_sent_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with receiver(BROKEN, BROKEN, BROKEN, OK) as at, simulator() as sim:
        path = config(tmp_path, sim.url, destinations={"hook": hook(at)})
        async with app_in_loop(path, open_outbox=quick) as app:
            (dead,) = await ended(app, "failed")
            assert (dead.attempts, dead.status, dead.problem) == (3, 500, "the receiver answered 500: no_text")
            assert "alert.given_up" in caplog.text
            await app.change("alert_deliveries.retry", now_ms=dead.made_ms, actor=ROOT, fields={"id": dead.id})
            app.outbox.wake()
            (delivery,) = await ended(app)
            assert delivery.alert_id == dead.alert_id
            assert app.outbox.ended == {("hook", "failed"): 1, ("hook", "delivered"): 1}


async def test_410_disables_a_destination_and_no_other(tmp_path: Path) -> None:
    rules = {name: {**DISK, "to": ["gone", "hook", "log"]} for name in ("one", "two")}
    async with receiver(GONE) as gone, receiver() as at, simulator() as sim:
        path = config(tmp_path, sim.url, rules, {"gone": hook(gone), "hook": hook(at)})
        async with app_in_loop(path, open_outbox=quick) as app:
            await ended(app, count=4)
            failed = await ended(app, "failed", count=2)
            assert {each.destination for each in failed} == {"gone"}
            assert len(gone.received) == 1
            assert app.reports.alerts().disabled == {"gone": "the receiver answered 410: it wants no more"}


async def test_a_hanging_receiver_holds_up_nobody_else(tmp_path: Path) -> None:
    rules = {"disk": {**DISK, "to": ["slow", "hook"]}}
    async with AsyncExitStack() as stack:
        slow, at = await stack.enter_async_context(receiver(HANG)), await stack.enter_async_context(receiver())
        sim = await stack.enter_async_context(simulator())
        path = config(tmp_path, sim.url, rules, {"slow": hook(slow, timeout_s=300), "hook": hook(at)})
        async with app_in_loop(path, open_outbox=quick) as app:
            (delivery,) = await ended(app)
            assert delivery.destination == "hook"


async def test_what_the_ledger_does_not_take_is_noted_later_and_not_sent_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.jobs.alerts.outbox._AFTER_FAILURE_S", 0.01)
    async with receiver() as at, simulator() as sim:
        path = config(tmp_path, sim.url, destinations={"hook": hook(at)})
        async with app_in_loop(path, open_outbox=quick) as app:
            note, refused = app.ledger.note_alerts, 0

            async def refuse_twice(notes: Any, now_ms: int) -> None:
                nonlocal refused
                if notes.deliveries and refused < 2:
                    refused += 1
                    raise LedgerUnavailableError("full")
                await note(notes, now_ms)

            monkeypatch.setattr(app.ledger, "note_alerts", refuse_twice)
            await ended(app)
            assert refused == 2
            assert len(at.received) == 1


async def test_a_destination_that_is_gone_from_the_configuration_is_given_up(tmp_path: Path) -> None:
    async with receiver(HANG) as at, simulator() as sim:
        path = config(tmp_path, sim.url, destinations={"hook": hook(at, timeout_s=300)})
        async with app_in_loop(path, open_outbox=quick) as app:

            async def arrived() -> bool:
                return bool(at.received)

            await eventually(arrived)
        path = config(tmp_path, sim.url, {"disk": DISK})
        async with app_in_loop(path, open_outbox=quick) as app:
            (delivery,) = await ended(app, "failed")
            assert delivery.problem == "there is no such destination any more"


async def test_the_log_has_each_alert_as_a_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with simulator() as sim:
        path = config(tmp_path, sim.url, {"disk": DISK})
        async with app_in_loop(path, open_outbox=quick) as app:
            await ended(app)
    (line,) = [record for record in caplog.records if record.msg == "alert.fired"]
    assert (line.rule, line.subject) == ("disk", "disk")  # type: ignore[attr-defined]
