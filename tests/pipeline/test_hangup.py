"""A client that hangs up, at every point: the row says what it cost, the books agree, nothing is left."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.support.leaks import descriptors
from tests.support.patience import eventually
from tests.support.raw import Client, connect, request_bytes
from tests.support.stand import CHAT, MESSAGES, MODEL, Stand
from tests.support.stand import stand as run_stand

pytestmark = pytest.mark.asyncio(loop_scope="module")

_PAUSE_MS = 300  # what the provider waits where the client hangs up: long enough to be in the middle of it
_FEW = 40  # descriptors: a stand has about 20 with its idle connections, and a hundred hang-ups come one by one
_WAYS = [(policy, way) for policy in ("auto", "drain", "abort") for way in ("lane", "general")]
_LONG = {"completion_tokens": 30}


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=_WAYS, ids=" ".join)
async def stand(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stand]:
    on_disconnect, way = request.param
    policy = {"on_disconnect": on_disconnect}
    more = {
        "providers": {"openrouter": policy, "plain": policy},
        "server": {"write_timeout_s": 0.5, "fast_path": way == "lane"},
    }
    async with run_stand(tmp_path_factory.mktemp("hangup"), more) as found:
        for model in (
            MODEL,
            "plain/gpt-4o-mini",
        ):  # until a provider has answered, a stream's head waits for its content
            assert (await found.chat({"model": model, "stream": True})).status == 200
        yield found


@pytest.fixture
def policy(stand: Stand) -> str:
    return stand.app.live.current.providers["openrouter"].on_disconnect


async def _arrived(stand: Stand, _client: Client) -> None:
    async def look() -> bool:
        return bool(await stand.sim.requests())

    await eventually(look)


def _read(mark: bytes) -> Any:
    async def read(_stand: Stand, client: Client) -> None:
        await client.read_until(mark)

    return read


# point -> (what the provider does, how the client finds the moment)
STREAM_POINTS: dict[str, tuple[dict[str, Any], Any]] = {
    "before headers": ({**_LONG, "delay_ms": _PAUSE_MS}, _arrived),
    "after headers": ({**_LONG, "first_token_ms": _PAUSE_MS}, _read(b"\r\n\r\n")),
    "after a comment": ({**_LONG, "pace_ms": 20}, _read(b"PROCESSING\n\n")),
    "after a chunk": ({**_LONG, "pace_ms": 20}, _read(b'"content"')),
    "before usage": (
        {**_LONG, "stop_at": "before_usage", "stop_with": "hang", "hang_ms": _PAUSE_MS},
        _read(b'"finish_reason":"stop"'),
    ),
    "before done": (
        {**_LONG, "stop_at": "after_usage", "stop_with": "hang", "hang_ms": _PAUSE_MS},
        _read(b'"total_tokens"'),
    ),
    "after done": (_LONG, _read(b"[DONE]")),
}
PLAIN_POINTS: dict[str, tuple[dict[str, Any], Any]] = {
    "before headers": ({**_LONG, "delay_ms": _PAUSE_MS}, _arrived),
    "within padding": ({**_LONG, "padding_units": 10, "pace_ms": 30}, _read(b"\n         \n")),
    "after the answer": (_LONG, _read(b'"total_tokens"')),
}


async def _hang_up(stand: Stand, body: dict[str, Any], behaviour: dict[str, Any], moment: Any, *, reset: bool) -> None:
    await stand.clear()
    await stand.sim.behave(**behaviour)
    client = await stand.begin_chat(body)
    await moment(stand, client)
    await client.hang_up(reset=reset)


async def _only_generation(stand: Stand) -> dict[str, Any]:
    async def look() -> list[dict[str, Any]]:
        books = await stand.sim.books()
        return list(books["generations"].values()) if books["generations"] and not books["open"] else []

    (generation,) = await eventually(look)
    return generation


async def _nothing_left(stand: Stand) -> None:
    """No request is under way on either side, no connection is left but idle ones, and the next request works."""

    async def look() -> bool:
        return not stand.app.services.in_flight and not (await stand.sim.books())["open"] and len(descriptors()) < _FEW

    await eventually(look)
    assert (await stand.chat()).status == 200
    assert (await stand.chat({"stream": True})).body.endswith(b"data: [DONE]\n\n")


@pytest.mark.sampled(0.4)
@pytest.mark.parametrize(
    ("point", "reset"),
    [*((point, True) for point in STREAM_POINTS), ("before headers", False), ("after a chunk", False)],
)
async def test_stream(stand: Stand, policy: str, point: str, reset: bool) -> None:
    """Served by a provider that stops, and stops charging, when the stream is closed."""
    behaviour, moment = STREAM_POINTS[point]
    await _hang_up(stand, {"stream": True}, {**behaviour, "provider": "OpenAI"}, moment, reset=reset)
    (row,) = await stand.settled()
    generation = await _only_generation(stand)
    assert row["cost_pusd"] == generation["charged_pusd"]
    assert row["generation_id"] in (await stand.sim.books())["generations"]
    assert row["status"] == (200 if point == "after done" else 499)
    assert "usage_missing" not in (row["flags"] or "")
    if policy == "drain" or point in ("before done", "after done"):
        assert row["cost_source"] == "provider"
        assert not generation["cancelled"] or point == "before done"
        assert row["output_tokens"] == 30
    elif policy == "abort" or point in ("after a chunk", "before usage"):  # then the stream has named its provider
        assert row["cost_source"] == "generation"
        assert "client_gone" in row["flags"]
        assert generation["cancelled"] or point in ("before headers", "before usage")  # all was on its way by then
    await _nothing_left(stand)


@pytest.mark.sampled(0.4)
@pytest.mark.parametrize("point", STREAM_POINTS)
async def test_stream_that_goes_on_charging(stand: Stand, policy: str, point: str) -> None:
    """Served by a provider that charges in full whoever listens: only an abort leaves before the end."""
    behaviour, moment = STREAM_POINTS[point]
    await _hang_up(stand, {"stream": True}, {**behaviour, "provider": "Groq"}, moment, reset=True)
    (row,) = await stand.settled()
    generation = await _only_generation(stand)
    assert row["cost_pusd"] == generation["charged_pusd"]
    assert generation["charged_pusd"] > 30 * 600_000  # all of its 30 tokens
    if policy != "abort" or point == "after done":
        assert row["cost_source"] == "provider"
        assert not generation["cancelled"]
    await _nothing_left(stand)


@pytest.mark.parametrize("point", PLAIN_POINTS)
async def test_plain(stand: Stand, policy: str, point: str) -> None:
    """An answer in one piece is charged in full, so that it is read to its end unless the operator wants otherwise."""
    behaviour, moment = PLAIN_POINTS[point]
    await _hang_up(stand, {}, behaviour, moment, reset=True)
    (row,) = await stand.settled()
    generation = await _only_generation(stand)
    assert row["cost_pusd"] == generation["charged_pusd"]
    assert row["status"] == (200 if point == "after the answer" else 499)
    if policy != "abort" or point == "after the answer":
        assert row["cost_source"] == "provider"
    elif point == "within padding":
        assert row["cost_source"] == "generation"
    await _nothing_left(stand)


@pytest.mark.parametrize("point", ["before headers", "after a chunk", "before usage", "after done"])
async def test_a_provider_without_look_up(stand: Stand, policy: str, point: str) -> None:
    """Where nothing can be looked up, reading on is the way to the figure; who aborts pays the reservation."""
    behaviour, moment = STREAM_POINTS[point]
    if point == "after a chunk":
        moment = _read(b'"delta"')
    body = {"model": "plain/gpt-4o-mini", "stream": True, "max_tokens": 500}
    await _hang_up(stand, body, behaviour, moment, reset=True)
    (row,) = await stand.settled()
    generation = await _only_generation(stand)
    if policy == "abort" and point in ("after a chunk", "before usage"):
        assert row["cost_source"] == "estimate"
        assert row["cost_pusd"] == row["reserved_pusd"] >= generation["charged_pusd"]
        assert "usage_missing" in row["flags"]
    elif policy != "abort" or point == "after done":  # before headers: all of it may have come with them
        assert row["cost_source"] == "price"
        assert row["cost_pusd"] == generation["charged_pusd"]
    await _nothing_left(stand)


@pytest.mark.parametrize("cut", [1, 30, -40, -1])
@pytest.mark.parametrize("reset", [True, False], ids=["rst", "fin"])
async def test_before_the_request_is_complete(stand: Stand, cut: int, reset: bool) -> None:
    """A request that never came whole leaves no row and reaches no provider."""
    await stand.clear()
    data = request_bytes("POST", CHAT, {"model": MODEL, "messages": MESSAGES}, token=stand.token)
    client = await connect(stand.port)
    await client.send(data[:cut])
    await asyncio.sleep(0.05)
    await client.hang_up(reset=reset)
    await _nothing_left(stand)
    assert len(await stand.settled(2)) == 2  # those two of _nothing_left
    assert len(await stand.sim.requests()) == 2


@pytest.mark.sampled(0.4)
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "plain"])
async def test_a_client_that_does_not_read(stand: Stand, policy: str, stream: bool) -> None:
    """It counts as gone once it has left its answer unread for write_timeout_s; memory does not pile up meanwhile."""
    await stand.clear()
    await stand.sim.behave(completion_tokens=8, big_content_bytes=8_000_000, provider="OpenAI")
    client = await stand.begin_chat({"stream": stream})
    (row,) = await stand.settled()
    generation = await _only_generation(stand)
    assert row["cost_pusd"] == generation["charged_pusd"]
    if stream:
        assert row["status"] == 499
    await client.hang_up()
    await _nothing_left(stand)
    assert policy
