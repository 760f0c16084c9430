"""Whatever is raised at whatever step of a request: nothing stays set aside, and the next request is let in."""

import asyncio
import sqlite3
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from proxy.jobs import hold_watch
from proxy.pipeline import failover as dispatching
from proxy.pipeline.admission import reserve
from proxy.pipeline.relay.final_error import FinalError
from proxy.pipeline.settlement import recorder
from proxy.pipeline.upstream import hops
from proxy.pipeline.upstream.key_limits import KeyUse
from proxy.pipeline.upstream.provider_health import ProviderHealth
from proxy.storage.ledger import LedgerUnavailableError
from proxy.storage.sqlite.ledger import SqliteLedger
from proxy.storage.sqlite.statements import BatchStatement
from tests.quotas.place import Place, user
from tests.support.book import book_of
from tests.support.installation import PROVIDER_KEY
from tests.support.patience import eventually
from tests.support.stand import CHAT, MODEL, sqlite_ledger

Open = Callable[..., Awaitable[Place]]

ERRORS: dict[str, Callable[[], BaseException]] = {
    "overflow": lambda: OverflowError("int too big to convert"),
    "encode": lambda: UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed"),
    "integrity": lambda: sqlite3.IntegrityError("CHECK constraint failed"),
    "closed": lambda: sqlite3.ProgrammingError("Cannot operate on a closed database."),
    "unavailable": lambda: LedgerUnavailableError("disk I/O error"),
    "cancelled": asyncio.CancelledError,
    "key": lambda: KeyError("gone"),
    "memory": MemoryError,
    "recursion": RecursionError,
    "timeout": TimeoutError,
}

LEDGER = "the ledger of the place"

# what raises once, by the step of the request: the owner of a function, and its name
STEPS: dict[str, tuple[Any, str]] = {
    "row": (reserve, "_row"),
    "asking to open": (LEDGER, "open"),
    "asking to end": (LEDGER, "end"),
    "asking for a change": (SqliteLedger, "change"),
    "asking for an attempt": (SqliteLedger, "add_attempt"),
    "writing": (BatchStatement, "_variant"),
    "enter": (ProviderHealth, "enter"),
    "key": (KeyUse, "begin"),
    "end of a key": (KeyUse, "end"),
    "send": (dispatching, "begin_sending"),
    "head": (dispatching, "hear_head"),
    "opening": (dispatching, "open_answer"),
    "opened": (hops.Hops, "note_opened"),
    "next": (dispatching, "_go_on"),
    "relay": (dispatching, "relay_of"),
    "failure": (FinalError, "run"),
    "settle": (recorder, "settle"),
    "end": (recorder.Recorder, "_told"),
    "answered": (ProviderHealth, "answered"),
}

WORLD: dict[str, Any] = {
    "users": {
        "anna": user("anna", limits={"cost": "$1/day", "tokens": "1M/day", "requests": "1k/day", "concurrency": 1})
    },
    "limits": {"cost": "$1/day"},
    "presets": {"two": {"targets": [MODEL, "plain/gpt-4o-mini"], "use_case": "sms", "limits": {"cost": "$1/day"}}},
    "providers": {
        "openrouter": {
            "max_concurrency": 1,
            "api_key": None,
            "keys": [{"name": "a", "api_key": PROVIDER_KEY, "limits": {"cost": "$1/day", "requests": "1k/day"}}],
        },
        "plain": {"max_concurrency": 1},
    },
}
CHATS: dict[str, dict[str, Any]] = {
    "plain": {"model": MODEL},
    "stream": {"model": MODEL, "stream": True},
    "failing": {"model": MODEL, "_fails": True},
    "route": {"model": "two"},
    "route, failing": {"model": "two", "_fails": True},
}


class Fault:
    """Raise an error once, in place of a function."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> None:
        self._error: BaseException | None = None
        self.was_raised = False
        original = getattr(owner, name)

        def stand_in(*args: Any, **more: Any) -> Any:
            error, self._error = self._error, None
            if error is not None:
                self.was_raised = True
                raise error
            return original(*args, **more)

        monkeypatch.setattr(owner, name, stand_in)

    def arm(self, error: BaseException) -> None:
        self._error, self.was_raised = error, False

    def disarm(self) -> None:
        self._error = None


async def nothing_is_held(place: Place) -> None:
    """Wait until nothing is set aside anywhere and no row is open; then see that another request passes."""
    parts = place.app.services

    async def look() -> bool:
        lines = [view.running or 0 for view in parts.health.views().values()]
        idle = not parts.in_flight and not place.app.pending.waiting and not parts.claims and not any(lines)
        return idle and not book_of(parts).open_ids() and not place.rows("SELECT 1 FROM requests WHERE state = 'open'")

    await eventually(look)
    for row in await place.limits():
        assert row["reserved"] in (0, "0"), row
    for totals in parts.health.use._scopes.values():
        assert not any(any(window.reserved) for window in totals.windows.values())
    assert book_of(parts).audit() == []


@pytest.mark.sampled(0.3)
@pytest.mark.parametrize("step", STEPS)
async def test_nothing_stays_held(opened: Open, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    monkeypatch.setattr(hold_watch, "_EVERY_S", 0.05)
    place = await opened(WORLD)
    owner, function = STEPS[step]
    fault = Fault(monkeypatch, place.app.ledger if owner is LEDGER else owner, function)
    raised = 0
    for number, (kind, make) in enumerate(ERRORS.items()):
        if step == "writing" and not issubclass(type(make()), Exception):
            continue  # what ends the writer's thread ends the proxy: tests/holds/test_watchers.py
        for name, chat in CHATS.items():
            fields = dict(chat)
            await place.sim.normal()
            if fields.pop("_fails", False):
                await place.sim.behave(f"model:{MODEL}", error="overloaded", retry_after="0")  # else it waits 5 s
            fault.arm(make())
            headers = [("Idempotency-Key", f"{step}-{number}-{name}".replace(" ", "-"))]
            body = {"messages": [{"role": "user", "content": "x"}], "max_tokens": 16, **fields}
            await place.ask("anna", "POST", CHAT, body, headers=headers)
            fault.disarm()
            raised += fault.was_raised
            await nothing_is_held(place)
            await place.sim.normal()
            place.app.health.forget()
            answer = await place.chat()
            assert answer.status == 200, (kind, name, answer.body)
    assert raised


@pytest.mark.parametrize("refuses", [False, True], ids=["written", "refused"])
async def test_one_who_is_cut_while_the_disk_is_busy(
    opened: Open, monkeypatch: pytest.MonkeyPatch, refuses: bool
) -> None:
    """Whether the row gets there in the end or not, nothing stays open, and nothing was sent."""
    place = await opened(WORLD)
    busy, go = threading.Event(), threading.Event()
    await place.chat()

    def block(_db: object) -> bool:
        busy.set()
        return go.wait()

    blocking = asyncio.ensure_future(sqlite_ledger(place.app).change(block))
    await asyncio.to_thread(busy.wait)
    client = await place.begin_chat(max_tokens=9)

    async def is_held() -> bool:
        return bool(book_of(place.app.services).open_ids())

    await eventually(is_held)
    if refuses:
        fault = Fault(monkeypatch, BatchStatement, "_variant")
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR_WRITE
        fault.arm(error)
    for server in place.app._servers:
        for connection in list(getattr(server, "connections", ())):
            connection.cut()
    go.set()
    await blocking
    await client.close()
    await nothing_is_held(place)
    assert len(await place.sim.requests()) == 1
    states = [row["state"] for row in place.rows()]
    assert states == (["settled"] if refuses else ["settled", "released"])
    assert (await place.chat()).status == 200
