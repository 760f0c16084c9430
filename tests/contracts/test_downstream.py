"""Wherever an answer goes, the same request gets the same bytes and the same row of the ledger.

What implements Downstream must pass all of this: the sockets of both servers, memory, a line of a file.
"""

import json
import re
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import pytest
import pytest_asyncio

from proxy.pipeline.relay.stream import StreamRelay
from proxy.pipeline.stops import NewStop
from proxy.storage.audit import PROXY
from tests.contracts.askers import Asker, Got, LineAsker, MemoryAsker, SocketAsker
from tests.support.patience import eventually
from tests.support.stand import CHAT, MESSAGES, MODEL, Stand
from tests.support.stand import stand as run_stand

pytestmark = pytest.mark.asyncio(loop_scope="module")

WAYS: Mapping[str, Callable[[Stand], Asker]] = {
    "fast path": lambda stand: SocketAsker(stand, CHAT),
    "aiohttp": lambda stand: SocketAsker(stand, f"{CHAT}?"),  # the fast path reads no query
    "memory": MemoryAsker,
    "line": LineAsker,
}
BODY_MAX_BYTES = 20_000
CASES: Mapping[str, tuple[dict[str, Any], dict[str, Any]]] = {  # what the provider does, what is asked
    "whole": ({}, {}),
    "whole, behind padding": ({"padding_units": 3}, {}),
    "a stream": ({"completion_tokens": 40}, {"stream": True}),
    "a stream of another line end": ({"line_end": "crlf", "comments_between": 1}, {"stream": True}),
    "a stream that asks for usage": ({}, {"stream": True, "stream_options": {"include_usage": True}}),
    "an error of the provider": ({"error": "moderation"}, {}),
    "an error in place of a stream": ({"error": "provider-error"}, {"stream": True}),
    "an error within a stream": ({"stream_error_after": 5}, {"stream": True}),
    "an error within an answer": ({"choice_error": True}, {}),
    "a stream that breaks off": ({"stop_at": "after_chunks", "stop_after": 3, "stop_with": "rst"}, {"stream": True}),
    "an answer that breaks off": ({"stop_at": "after_bytes", "stop_after": 100, "stop_with": "rst"}, {}),
    "nothing": ({"stop_at": "before_headers", "stop_with": "rst"}, {}),
    "a model that is not there": ({}, {"model": "openai/gpt-5-none"}),
    "a body that is refused": ({}, {"messages": "x"}),
    "a body that is too large": ({}, {"messages": [{"role": "user", "content": "x" * BODY_MAX_BYTES}]}),
}
_OWN_ID = re.compile(rb"req_[0-9a-f]{16}")
_OF_CONNECTION = {"date", "server", "content-length", "transfer-encoding", "connection"}
_OF_MOMENT = {"request_id", "ts", "ttft_ms", "duration_ms"}  # columns that differ from request to request


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stand(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stand]:
    config = {"server": {"body_max_bytes": BODY_MAX_BYTES, "body_timeout_s": 0.5}}
    async with run_stand(tmp_path_factory.mktemp("downstream"), config) as found:
        yield found


@pytest_asyncio.fixture(loop_scope="module", params=WAYS)
async def asker(request: pytest.FixtureRequest, stand: Stand) -> AsyncIterator[Asker]:
    await stand.clear()
    found = WAYS[request.param](stand)
    yield found
    await found.close()


def body_of(**more: Any) -> bytes:
    return json.dumps({"model": MODEL, "messages": MESSAGES, **more}).encode()


def seen(got: Got) -> tuple[object, ...]:
    """Return what must be equal: all but the date, our own id, and what only frames an answer."""
    headers = {name.lower(): _masked(value.encode()) for name, value in got.headers.items()}
    return got.status, _masked(got.body), {n: v for n, v in headers.items() if n not in _OF_CONNECTION}


def _masked(data: bytes) -> bytes:
    return _OWN_ID.sub(b"req", data)


async def rows_of(stand: Stand) -> list[dict[str, Any]]:
    """Return the rows of all requests that have one, once none is under way."""
    await idle(stand)
    rows = await stand.rows()
    assert all(row["state"] != "open" for row in rows)
    return [{name: value for name, value in row.items() if name not in _OF_MOMENT} for row in rows]


async def idle(stand: Stand) -> None:
    async def look() -> bool:
        return not stand.app.services.in_flight and not stand.app.pending.waiting

    await eventually(look)


@pytest.mark.parametrize("case", CASES)
async def test_the_same_everywhere(stand: Stand, case: str) -> None:
    behaviour, asked = CASES[case]
    found: dict[str, tuple[object, ...]] = {}
    for way, make in WAYS.items():
        await stand.clear()
        if behaviour:
            await stand.sim.behave("all", **behaviour)
        asker = make(stand)
        await asker.ask([body_of(**asked)])
        got = await asker.answer()
        await asker.close()
        assert got.is_whole, way
        found[way] = *seen(got), await rows_of(stand)
    assert found["fast path"][1], "there is an answer to compare"
    for way in WAYS:
        assert found[way] == found["fast path"], way


async def test_a_body_in_pieces(stand: Stand) -> None:
    """Read as it comes, where it can come so."""
    body = body_of()
    found = []
    for make in (WAYS["aiohttp"], WAYS["memory"]):
        await stand.clear()
        asker = make(stand)
        await asker.ask([body[:9], body[9:10], body[10:]])
        found.append((*seen(await asker.answer()), await rows_of(stand)))
        await asker.close()
    assert found[0][0] == 200
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("parts", "status", "code"),
    [
        ([b"x" * (BODY_MAX_BYTES // 2 + 1)] * 2, 413, "body_too_large"),
        ([b'{"model":'], 408, "body_timeout"),
    ],
)
@pytest.mark.parametrize("way", ["aiohttp", "memory"])
async def test_a_body_out_of_bounds(stand: Stand, way: str, parts: list[bytes], status: int, code: str) -> None:
    """No more of a body is held than server.body_max_bytes, and for no longer than server.body_timeout_s."""
    await stand.clear()
    asker = WAYS[way](stand)
    await asker.ask(parts, ends=False)
    got = await asker.answer()
    await asker.close()
    assert (got.status, json.loads(got.body)["error"]["code"]) == (status, code)
    assert await rows_of(stand) == []


async def test_a_body_that_breaks_off(stand: Stand) -> None:
    """Its client has gone where that is a connection; elsewhere it is told."""
    await stand.clear()
    asker = MemoryAsker(stand)
    await asker.ask([b'{"model":'], ends=False)
    asker.break_off()
    got = await asker.answer()
    assert (got.status, json.loads(got.body)["error"]["code"]) == (400, "body_incomplete")
    assert asker.downstream.closes
    assert await rows_of(stand) == []


async def test_a_client_that_reads_slowly(stand: Stand, asker: Asker) -> None:
    """All of it arrives, in order; what waits for the client is bounded, and so the provider waits too."""
    text = {"completion_tokens": 2, "big_content_bytes": 8 << 20}
    await stand.sim.behave("all", **text)
    await asker.ask([body_of(stream=True)])
    await asker.wait_until_full()
    got = await (asker.answer(slowly=True) if isinstance(asker, MemoryAsker) else asker.answer())
    assert got.status == 200
    assert got.is_whole
    assert len(got.body) > text["big_content_bytes"]
    assert got.body.endswith(b"data: [DONE]\n\n")
    if isinstance(asker, MemoryAsker):
        assert asker.downstream.unsent_most_bytes < text["big_content_bytes"] // 4
    (row,) = await rows_of(stand)
    assert (row["status"], row["state"]) == (200, "settled")


@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_hangs_up(stand: Stand, asker: Asker, stream: bool) -> None:
    """The provider is told to stop where that ends the bill, and the row says what became of it."""
    await stand.sim.behave("all", completion_tokens=30, pace_ms=20, padding_units=10, provider="OpenAI")
    await asker.ask([body_of(stream=stream)])
    await asker.read_until(b'"content"' if stream else b"\n ")
    await asker.hang_up()
    (row,) = await rows_of(stand)
    assert (row["status"], row["state"]) == (499, "settled")
    assert row["flags"] == "client_gone"
    books = await stand.sim.books()
    assert not books["open"]
    assert row["cost_pusd"] == sum(one["charged_pusd"] for one in books["generations"].values())


async def test_a_failure_of_ours_in_the_middle(stand: Stand, asker: Asker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half an answer has gone out, so that nothing more can be said: its client must see that it is not whole."""

    async def fail(*_: object) -> None:
        raise RuntimeError("planted")

    monkeypatch.setattr(StreamRelay, "close", fail)
    await asker.ask([body_of(stream=True)])
    got = await asker.answer()
    assert not got.is_whole
    (row,) = await rows_of(stand)
    books = await stand.sim.books()
    assert (row["status"], row["state"]) == (500, "settled")
    assert row["cost_pusd"] == sum(one["charged_pusd"] for one in books["generations"].values())


async def test_a_client_that_left_before_its_answer_began(stand: Stand, asker: Asker) -> None:
    """The answer is for nobody; it is booked all the same."""
    await stand.sim.behave("all", delay_ms=300)
    await asker.ask([body_of()])

    async def arrived() -> bool:
        return bool(await stand.sim.requests())

    await eventually(arrived)
    await asker.hang_up()
    (row,) = await rows_of(stand)
    assert (row["status"], row["state"]) == (499, "settled")
    assert row["cost_pusd"] > 0


async def test_nothing_is_written_into_a_line_that_was_cut(stand: Stand) -> None:
    await stand.clear()
    await stand.sim.behave("all", completion_tokens=30, pace_ms=20)
    asker = LineAsker(stand)
    await asker.ask([body_of(stream=True)])
    await asker.read_until(b'"content"')
    await asker.hang_up()
    got = await asker.answer()
    assert (got.status, got.is_whole) == (0, False)


async def test_cut_off_by_a_stop(stand: Stand) -> None:
    """Wherever a request waits: for the head of an answer, or for the rest of a stream."""
    stops = stand.app.services.stops
    for way, make in WAYS.items():
        for asked in ({}, {"stream": True}):
            await stand.clear()
            await stand.sim.behave("all", stop_at="before_headers", stop_with="hang")
            asker = make(stand)
            await asker.ask([body_of(**asked)])

            async def is_sent() -> bool:
                return len(await stand.sim.requests()) == 1

            await eventually(is_sent)
            stop = await stops.add(NewStop("all", reason="A test", cut=True), PROXY)
            got = await asker.answer()
            await asker.close()
            await stops.end(stop, PROXY)
            assert (got.status, b"stopped" in got.body, got.is_whole) == (503, True, True), way
            [row] = await rows_of(stand)
            assert (row["status"], row["error"], row["state"]) == (503, "stopped", "settled"), way
