"""Stops: whom they concern, what waits when they come, what runs, and what becomes of the money."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from typing import Any

import pytest
import pytest_asyncio

from proxy.pipeline.stops import NewStop, Stops
from proxy.policy.stop import StopKind
from proxy.storage.audit import Actor
from tests.support.held_disk import held_disk
from tests.support.installation import token_hash_of, token_of
from tests.support.patience import eventually
from tests.support.raw import Answer, connect, request_bytes
from tests.support.stand import CHAT, MESSAGES, MODEL, Stand
from tests.support.stand import stand as run_stand

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROOT = Actor("root", "socket")
PLAIN = "plain/gpt-4o-mini"
CONFIG: dict[str, Any] = {
    "users": {
        "anna": {"token_hash": token_hash_of("anna"), "group": "family"},
        "bob": {"token_hash": token_hash_of("bob"), "limits": {"cost": "$0.001/day"}},
        "chat": {"tokens": [{"name": "app", "hash": token_hash_of("chat"), "trusted": True}]},
    },
    "groups": {"family": {}},
    "presets": {
        "both": {"targets": [MODEL, PLAIN]},
        "canned": {"targets": [MODEL, {"static": {"default": "Nobody is there."}}]},
    },
    "use_cases": {"mail": "both"},
    "quotas": {"wait_s": 30, "on_over_budget": "refuse"},
}
HANGS = {"stop_at": "before_headers", "stop_with": "hang"}
SLOW = {"pace_ms": 20, "completion_tokens": 4000}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stand(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stand]:
    async with run_stand(tmp_path_factory.mktemp("stops"), CONFIG) as found:
        yield found


async def refused(stand: Stand, **more: Any) -> Answer:
    answer = await stand.chat(**more)
    assert answer.status == 503, answer.body
    assert answer.json()["error"]["code"] == "stopped"
    return answer


CASES: dict[str, tuple[NewStop, dict[str, Any], dict[str, Any]]] = {  # the stop; what it concerns, and what not
    "all": (NewStop("all"), {}, {"path": "/healthz"}),
    "user": (NewStop("user", "anna"), {}, {"token": token_of("bob")}),
    "group": (NewStop("group", "family"), {}, {"token": token_of("bob")}),
    "token": (NewStop("token", "app"), {"token": token_of("chat")}, {}),
    "end user": (
        NewStop("user", "eva"),
        {"token": token_of("chat"), "headers": [("X-OpenWebUI-User-Id", "eva")]},
        {"token": token_of("chat")},
    ),
    "owner of the token": (
        NewStop("user", "chat"),
        {"token": token_of("chat"), "headers": [("X-OpenWebUI-User-Id", "eva")]},
        {},
    ),
    "preset": (NewStop("preset", "both"), {"body": {"model": "both"}}, {"body": {"model": "canned"}}),
    "preset of a use case": (NewStop("preset", "both"), {"headers": [("X-Tollkeeper-Use-Case", "mail")]}, {}),
    "model": (NewStop("model", MODEL), {}, {"body": {"model": "openai/gpt-4o"}}),
    "pattern of models": (NewStop("model", "openai/*"), {}, {"body": {"model": "anthropic/claude-sonnet-4"}}),
    "model with its provider": (NewStop("model", f"openrouter/{MODEL}"), {}, {"body": {"model": PLAIN}}),
    "provider": (NewStop("provider", "openrouter"), {}, {"body": {"model": PLAIN}}),
}


async def ask(stand: Stand, asked: dict[str, Any]) -> Answer:
    body = {"model": MODEL, "messages": MESSAGES, **asked.get("body", {})}
    path = asked.get("path", CHAT)
    more = {"token": asked.get("token", stand.token), "headers": asked.get("headers", [])}
    return await stand.ask("GET" if path != CHAT else "POST", path, None if path != CHAT else body, **more)


@pytest.mark.parametrize("case", CASES)
async def test_whom_a_stop_concerns(stand: Stand, stops: Stops, case: str) -> None:
    wanted, concerned, other = CASES[case]
    stop = await stops.add(wanted._replace(reason="A leak"), ROOT)
    answer = await ask(stand, concerned)
    error = answer.json()["error"]
    assert (answer.status, error["code"]) == (503, "stopped"), answer.body
    assert "A leak" in error["message"]
    assert (answer.header("Retry-After"), answer.header("x-should-retry")) == ("60", "false")
    if other or case == "token":
        assert b"stopped" not in (await ask(stand, other)).body, case
    assert [row for row in await stand.rows() if row["error"] == "stopped"] == []  # it left no row, and held nothing
    await stops.end(stop, ROOT)
    assert (await ask(stand, concerned)).status == 200


async def test_only_what_is_stopped_of_a_route_is_left_out(stand: Stand, stops: Stops) -> None:
    await stops.add(NewStop("provider", "openrouter"), ROOT)
    answer = await stand.chat({"model": "both"})
    assert (answer.status, answer.header("x-tollkeeper-provider")) == (200, "plain")
    canned = await stand.chat({"model": "canned"})
    assert (canned.status, b"Nobody is there." in canned.body) == (200, True)


async def test_a_stopped_preset_among_others_is_passed_over(stand: Stand, stops: Stops) -> None:
    stop = await stops.add(NewStop("preset", "both"), ROOT)
    await stand.sim.behave("path:/api/v1/chat/completions", count=20, error="server-error")
    answer = await stand.chat({"models": ["both"]})
    assert (answer.status, answer.header("x-tollkeeper-provider")) == (500, "openrouter"), answer.body
    await stops.end(stop, ROOT)
    await stand.sim.behave("path:/api/v1/chat/completions", count=20, error="server-error")
    answer = await stand.chat({"models": ["both"]})
    assert (answer.status, answer.header("x-tollkeeper-provider")) == (200, "plain"), answer.body


async def test_it_comes_after_authentication_and_before_all_else(stand: Stand, stops: Stops) -> None:
    await stops.add(NewStop("all"), ROOT)
    assert (await stand.chat(token="tk-nobody")).status == 401
    await refused(stand, body={"messages": "no list"})
    await refused(stand, body={"model": 7})
    counted = await stand.ask("POST", "/v1/messages/count_tokens", {"model": MODEL, "messages": MESSAGES})
    assert (counted.status, counted.json()["error"]["code"]) == (503, "stopped")


async def test_a_stop_with_an_end_says_when_to_come_again(stand: Stand, stops: Stops) -> None:
    now_ms = stand.app.services.clock.now_ms()
    await stops.add(NewStop("user", "anna", until_ms=now_ms + 20_000), ROOT)
    answer = await refused(stand)
    assert answer.header("x-should-retry") == "true"
    assert int(answer.header("Retry-After") or 0) in (19, 20)
    assert "Until" in answer.json()["error"]["message"]


# --- what waits


async def waiting(begin: Callable[[], Any], is_there: Callable[[], bool]) -> "asyncio.Task[Answer]":
    task: asyncio.Task[Answer] = asyncio.ensure_future(begin())

    async def look() -> bool:
        return is_there()

    await eventually(look)
    return task


async def test_who_waits_for_room_is_refused_at_once(stand: Stand, stops: Stops) -> None:
    await stand.sim.behave("all", **HANGS)
    services = stand.app.services

    def begin() -> Any:
        return stand.chat({"max_tokens": 1000}, token=token_of("bob"))

    first = await waiting(begin, lambda: len(services.limiter.open_ids()) == 1)
    second = await waiting(begin, lambda: len(services.in_flight) == 2)
    await stops.add(NewStop("user", "bob"), ROOT)
    assert (await second).json()["error"]["code"] == "stopped"
    assert not first.done()  # it drains
    await stops.add(NewStop("user", "bob", cut=True), ROOT)
    assert (await first).json()["error"]["code"] == "stopped"
    [row] = await stand.settled()
    assert (row["status"], row["error"], row["flags"]) == (503, "stopped", "stopped usage_missing")


async def test_who_waits_for_the_next_try_is_refused_at_once(stand: Stand, stops: Stops) -> None:
    await stand.sim.behave("all", error="provider-error", retry_after="20")
    services = stand.app.services
    task = await waiting(
        stand.chat, lambda: any(context.latch is not None for context in services.in_flight.contexts())
    )
    await stops.add(NewStop("all"), ROOT)
    answer = await task
    assert (answer.status, answer.json()["error"]["code"]) == (503, "stopped")
    assert len(await stand.sim.requests()) == 1
    [row] = await stand.settled()
    assert (row["state"], row["error"]) == ("released", "stopped")


@pytest.mark.parametrize(
    "wanted", [NewStop("provider", "openrouter"), NewStop("model", MODEL)], ids=lambda one: one.kind
)
async def test_a_stop_of_the_target_that_is_waited_for_ends_the_wait(
    stand: Stand, stops: Stops, wanted: NewStop
) -> None:
    await stand.sim.behave("all", error="provider-error", retry_after="20")
    services = stand.app.services
    task = await waiting(
        stand.chat, lambda: any(context.latch is not None for context in services.in_flight.contexts())
    )
    begun_s = services.clock.monotonic_s()
    await stops.add(wanted, ROOT)
    answer = await task
    assert (answer.status, services.clock.monotonic_s() - begun_s < 15) == (503, True), answer.body
    assert len(await stand.sim.requests()) == 1


async def test_between_attempts_a_provider_that_is_stopped_is_passed_over(stand: Stand, stops: Stops) -> None:
    await stand.sim.behave("path:/api/v1/chat/completions", error="provider-error", delay_ms=200)
    services = stand.app.services
    task = await waiting(
        lambda: stand.chat({"model": "both"}),
        lambda: any(context.attempt is not None for context in services.in_flight.contexts()),
    )
    await stops.add(NewStop("provider", "plain"), ROOT)
    answer = await task
    assert answer.status >= 500
    assert [entry["path"] for entry in await stand.sim.requests()].count("/openai/v1/chat/completions") == 0


async def test_what_is_stopped_while_its_row_is_written_is_not_sent(stand: Stand, stops: Stops) -> None:
    services = stand.app.services
    with closing(sqlite3.connect(stand.database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")  # the disk takes its time
        task = await waiting(stand.chat, lambda: bool(services.limiter.open_ids()))
        adding = asyncio.ensure_future(stops.add(NewStop("user", "anna"), ROOT))
        await waiting(lambda: adding, lambda: bool(stops.active))
        other.execute("ROLLBACK")
    assert (await task).json()["error"]["code"] == "stopped"
    await adding
    [row] = await stand.settled()
    assert (row["state"], row["error"], row["cost_pusd"]) == ("released", "stopped", 0)
    assert [row["outcome"] for row in await stand.rows("SELECT outcome FROM attempts")] == ["stopped"]
    assert await stand.sim.requests() == []


@pytest.mark.parametrize(("kind", "subject", "requests"), [("user", "nobody-else", 1), ("provider", "openrouter", 0)])
async def test_what_is_stopped_meanwhile_is_looked_at_before_the_end_of_a_request(
    stand: Stand, stops: Stops, kind: StopKind, subject: str, requests: int
) -> None:
    """A request that the stop is not for is sent all the same, once; of the others nobody got the end."""
    with held_disk(stand.database):
        task = await waiting(stand.chat, lambda: bool(stand.app.services.limiter.open_ids()))
        adding = asyncio.ensure_future(stops.add(NewStop(kind, subject), ROOT))
        await waiting(lambda: adding, lambda: bool(stops.active))
    assert ((await task).status == 200) is bool(requests)
    await adding
    assert [row["state"] for row in await stand.settled()] == ["settled" if requests else "released"]
    assert len(await stand.sim.requests()) == requests


@pytest.mark.parametrize("stream", [True, False])
async def test_an_answer_whose_end_is_being_written_is_not_cut(stand: Stand, stops: Stops, *, stream: bool) -> None:
    """The last bytes wait for the disk, whoever stops what meanwhile."""
    services = stand.app.services

    async def is_sent() -> bool:
        return bool(await stand.sim.requests())

    await stand.sim.behave("next", error="context-length", delay_ms=200)
    task = await waiting(lambda: stand.chat({"stream": stream}), lambda: bool(services.limiter.open_ids()))
    await eventually(is_sent)
    with closing(sqlite3.connect(stand.database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")  # the disk takes its time
        await waiting(lambda: task, lambda: bool(services.ledger.queued))
        adding = asyncio.ensure_future(stops.add(NewStop("all", cut=True), ROOT))
        await waiting(lambda: adding, lambda: bool(stops.active))
        await asyncio.sleep(0.05)
        assert not task.done()
        other.execute("ROLLBACK")
    answer = await task
    await adding
    [row] = await stand.settled()
    assert (answer.status, row["state"]) == (400, "released")
    assert answer.json()["error"]["code"] == 400, "the provider's own"


async def test_who_would_join_an_answer_is_refused(stand: Stand, stops: Stops) -> None:
    await stand.sim.behave("all", **HANGS)
    services, headers = stand.app.services, [("Idempotency-Key", "one")]
    first = await waiting(lambda: stand.chat(headers=headers), lambda: bool(services.limiter.open_ids()))
    second = await waiting(lambda: stand.chat(headers=headers), lambda: len(services.in_flight) == 2)
    await stops.add(NewStop("model", "*"), ROOT)
    await refused(stand, headers=headers)  # before it could join
    await stops.add(NewStop("all"), ROOT)
    assert (await second).json()["error"]["code"] == "stopped"
    await stops.add(NewStop("all", cut=True), ROOT)
    assert (await first).json()["error"]["code"] == "stopped"


# --- what runs


async def test_without_cut_a_stream_goes_on_to_its_end(stand: Stand, stops: Stops) -> None:
    await stand.sim.behave("all", pace_ms=10, completion_tokens=20)
    async with await stand.begin_chat({"stream": True}) as client:
        await client.read_until(b"data: {")
        await stops.add(NewStop("all"), ROOT)
        await client.read_until(b"data: [DONE]")
    [row] = await stand.settled()
    assert (row["status"], row["error"], row["flags"]) == (200, None, None)


ENDPOINTS: dict[str, tuple[str, dict[str, Any], bytes]] = {
    "chat": (CHAT, {"messages": MESSAGES}, b'"code":"stopped"'),
    "aiohttp": (f"{CHAT}?", {"messages": MESSAGES}, b'"code":"stopped"'),
    "messages": ("/v1/messages", {"messages": MESSAGES, "max_tokens": 4000}, b"event: error\ndata: "),
    "responses": ("/v1/responses", {"input": "Hello"}, b"event: response.failed\ndata: "),
}


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("model", [MODEL, "both"])  # alone, and with another target that could answer
async def test_with_cut_a_stream_ends_with_an_error_of_its_protocol(
    stand: Stand, stops: Stops, endpoint: str, model: str
) -> None:
    await stand.sim.behave("all", **SLOW)
    path, body, expected = ENDPOINTS[endpoint]
    async with await connect(stand.port) as client, asyncio.timeout(20):
        await client.send(request_bytes("POST", path, {"model": model, "stream": True, **body}, token=stand.token))
        await client.read_until(b"data: {")
        await stops.add(NewStop("user", "anna", reason="A leak", cut=True), ROOT)
        rest = await client.read_until(b"A leak")
        assert expected in rest
    [row] = await stand.settled()
    assert (row["error"], "stopped" in row["flags"].split()) == ("stopped", True)
    assert row["cost_pusd"] == await billed(stand)


async def billed(stand: Stand) -> int:
    books = await stand.sim.books()
    total: int = books["total_pusd"]
    return total


async def test_a_client_that_reads_nothing_does_not_keep_what_was_cut(
    stand: Stand, stops: Stops, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.pipeline.stops._UNREAD_S", 0.2)
    await stand.sim.behave("all", big_content_bytes=16 << 20, completion_tokens=20)
    connections = [each for server in stand.app._servers for each in server.connections]

    async def is_full() -> bool:
        found = [each for server in stand.app._servers for each in server.connections if each not in connections]
        return any(each.transport is not None and each.transport.get_write_buffer_size() for each in found)

    async with await stand.begin_chat({"stream": True}):
        await eventually(is_full)
        await stops.add(NewStop("all", cut=True), ROOT)
        [row] = await stand.settled()
    assert (row["error"], "stopped" in row["flags"].split()) == ("stopped", True)
    assert row["cost_pusd"] == await billed(stand)
