"""How long a stop holds: through restarts, on a disk that refuses, up to its end and never again."""

import asyncio
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from proxy.pipeline.admission.limiter import MemoryLimiter
from proxy.pipeline.in_flight import InFlight
from proxy.pipeline.stops import NewStop, Stops
from proxy.policy.quota import QuotaBook
from proxy.storage.audit import PROXY, Actor
from proxy.storage.ledger import LedgerUnavailableError
from tests.contracts.memory_ledger import MemoryLedger, MemoryReports, Store
from tests.support.installation import ADMIN_TOKEN
from tests.support.patience import eventually
from tests.support.raw import Answer
from tests.support.stand import Stand
from tests.support.stand import stand as run_stand

ROOT = Actor("root", "socket")
PATH = "/admin/v1/stops"


async def ask(stand: Stand, method: str, path: str = PATH, body: Any = None, **more: Any) -> Answer:
    return await stand.ask(method, path, body, token=ADMIN_TOKEN, **more)


async def test_a_stop_holds_after_a_restart_and_is_on_record(tmp_path: Path) -> None:
    async with run_stand(tmp_path) as stand:
        made = await ask(stand, "POST", body={"kind": "user", "subject": "anna", "reason": "A leak", "cut": True})
        stop = made.json()["data"]
        assert (made.status, made.header("Location")) == (201, f"{PATH}/{stop['id']}")
        assert (stop["actor"], stop["source"], stop["is_durable"]) == ("admin_token", "tcp 127.0.0.1", True)
    async with run_stand(tmp_path) as stand:
        assert (await stand.chat()).status == 503
        assert (await ask(stand, "GET")).json()["data"] == [stop]
        assert (await ask(stand, "GET", f"{PATH}?kind=model")).json()["data"] == []
        assert (await ask(stand, "DELETE", f"{PATH}/{stop['id']}")).json()["data"] == stop
        assert (await ask(stand, "DELETE", f"{PATH}/{stop['id']}")).status == 404
        assert (await stand.chat()).status == 200
    async with run_stand(tmp_path) as stand:
        assert (await stand.chat()).status == 200
        rows = await stand.rows("SELECT action, subject, actor FROM audit WHERE action LIKE 'stops.%' ORDER BY id")
    assert [tuple(row.values()) for row in rows] == [
        ("stops.add", stop["id"], "admin_token"),
        ("stops.end", stop["id"], "admin_token"),
    ]


WRONG: list[tuple[dict[str, Any], int, str]] = [
    ({"kind": "user", "subject": "ana"}, 404, 'Did you mean "anna"?'),
    ({"kind": "provider", "subject": "nobody"}, 404, "nothing was stopped"),
    ({"kind": "user"}, 400, "a name is needed"),
    ({"kind": "all", "subject": "anna"}, 400, "none for kind all"),
    ({"kind": "token", "subject": "tok_0"}, 404, "tokens list"),
    ({"kind": "model", "subject": "x", "ends_at": "2020-01-01T00:00:00Z"}, 422, "has passed"),
    ({"kind": "person", "subject": "x"}, 422, "kind"),
    ({"kind": "all", "reason": "x" * 501}, 422, "reason"),
    ({"kind": "all", "untill": 5}, 422, "untill"),
]


async def test_what_is_no_stop_stops_nothing(stand: Stand) -> None:
    for fields, status, told in WRONG:
        answer = await ask(stand, "POST", body=fields)
        assert (answer.status, told in answer.json()["error"]["message"]) == (status, True), answer.body
    assert stand.app.services.stops.active == ()


async def test_it_shows_where_people_look(stand: Stand) -> None:
    body = {"model": "openai/gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}]}
    made = await ask(stand, "POST", body={"kind": "provider", "subject": "openrouter", "reason": "A leak"})
    explained = (await stand.ask("POST", "/v1/explain", body)).json()
    assert (explained["admitted"], explained["refusal"]["code"]) == (False, "stopped")
    assert explained["left_out"] == [
        {"provider": "openrouter", "model": "openai/gpt-4o-mini", "reason": "stopped by the operator"}
    ]
    verbose = (await stand.ask("GET", "/readyz?verbose")).json()
    assert verbose["stops"] == [
        {
            "id": made.json()["data"]["id"],
            "what": 'provider "openrouter"',
            "effect": "stop",
            "reason": "A leak",
            "until_ms": None,
        }
    ]
    assert b'tollkeeper_stops{kind="provider"} 1.0' in (await stand.ask("GET", "/metrics")).body
    page = await stand.ask("GET", "/", headers=[("Accept", "text/html")])
    assert b"Provider &quot;openrouter&quot;" in page.body
    await ask(stand, "POST", body={"kind": "all"})
    assert b"all requests are stopped" in (await stand.ask("GET", "/", headers=[("Accept", "text/html")])).body
    assert (await stand.ask("POST", "/v1/explain", body)).json()["refusal"]["message"].startswith("All requests are")


async def test_on_a_disk_that_refuses_it_is_in_force_and_not_durable(tmp_path: Path) -> None:
    async with run_stand(tmp_path, {"ledger": {"busy_timeout_s": 0.05}}) as stand:
        stops = stand.app.services.stops
        with closing(sqlite3.connect(stand.database, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            made = await ask(stand, "POST", body={"kind": "user", "subject": "anna"})
            assert (made.status, made.json()["data"]["is_durable"]) == (201, False)
            answer = await stand.chat()
            assert (answer.status, answer.json()["error"]["code"]) == (503, "stopped")
            other.execute("ROLLBACK")

        async def is_written() -> bool:
            return bool(await stand.rows("SELECT * FROM stops"))

        await eventually(is_written)  # by itself, once the disk takes it
        assert all(stops.is_durable(stop) for stop in stops.active)
        with closing(sqlite3.connect(stand.database, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            ended = await ask(stand, "DELETE", f"{PATH}/{made.json()['data']['id']}")
            assert (ended.status, ended.json()["error"]["code"]) == (503, "ledger_unavailable")
            assert (await stand.chat()).status == 503  # it holds on
            other.execute("ROLLBACK")


# --- its end, by a clock of the test


@dataclass
class HandClock:
    """A clock that goes where it is told."""

    ms: int = 1_000_000

    def now_ms(self) -> int:
        return self.ms

    def monotonic_s(self) -> float:
        return self.ms / 1000


def parts(store: Store, clock: HandClock) -> tuple[Stops, MemoryLedger, MemoryReports]:
    ledger, reports = MemoryLedger(store, asyncio.get_running_loop()), MemoryReports(store)
    stops = Stops(ledger, MemoryLimiter(QuotaBook(ZoneInfo("UTC"))), InFlight(), clock)
    stops.load(reports.list_stops())
    return stops, ledger, reports


async def test_it_ends_by_itself_and_never_begins_again() -> None:
    store, clock = Store(), HandClock()
    stops, ledger, reports = parts(store, clock)
    stop = await stops.add(NewStop("all", until_ms=clock.ms + 1000), ROOT)
    clock.ms += 1  # the list is by age
    endless = await stops.add(NewStop("user", "anna"), ROOT)
    clock.ms += 998
    assert stops.in_force() == (stop, endless)
    clock.ms += 1
    assert stops.in_force() == (endless,)
    clock.ms -= 500  # the clock steps back: it was over, and that stays so
    assert stops.in_force() == (endless,)
    assert reports.list_stops() == [stop, endless]  # not written down yet
    ledger.is_down = True
    await stops.tend()
    assert reports.list_stops() == [stop, endless]
    ledger.is_down = False
    await stops.tend()
    assert reports.list_stops() == [endless]
    clock.ms -= 10**6
    assert parts(store, clock)[0].in_force() == (endless,)


async def test_one_whose_time_was_over_before_a_start_ends_then() -> None:
    store, clock = Store(), HandClock()
    stop = await parts(store, clock)[0].add(NewStop("all", until_ms=clock.ms + 1000), ROOT)
    clock.ms += 5000
    stops, _, reports = parts(store, clock)
    assert (stops.active, stops.in_force()) == ((stop,), ())
    await stops.tend()
    assert reports.list_stops() == []


async def test_one_that_was_never_written_ends_without_a_word_on_disk() -> None:
    store, clock = Store(), HandClock()
    stops, ledger, reports = parts(store, clock)
    ledger.is_down = True
    short = await stops.add(NewStop("all", until_ms=clock.ms + 1000), PROXY)
    long = await stops.add(NewStop("user", "anna"), PROXY)
    assert not stops.is_durable(short)
    await stops.end(long, ROOT)
    clock.ms += 1000
    ledger.is_down = False
    await stops.tend()
    await stops.tend()
    assert (stops.active, reports.list_stops()) == ((), [])


async def test_one_that_ends_while_it_is_written_does_not_come_back() -> None:
    """The write was under way when it ended: on disk it would hold at the next start."""
    store, clock = Store(), HandClock()
    stops, _, reports = parts(store, clock)
    stop = await stops.add(NewStop("all"), ROOT)
    stops._unwritten.add(stop.id)  # as while the disk has not answered
    await stops.end(stop, ROOT)
    assert (stops.active, reports.list_stops()) == ((), [stop])
    await stops.tend()
    assert reports.list_stops() == []


async def test_a_stop_that_cannot_be_ended_on_disk_holds_on() -> None:
    stops, ledger, _ = parts(Store(), HandClock())
    stop = await stops.add(NewStop("all"), ROOT)
    ledger.is_down = True
    with pytest.raises(LedgerUnavailableError):
        await stops.end(stop, ROOT)
    assert stops.in_force() == (stop,)
