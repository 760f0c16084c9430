"""The short way for chat completions: it takes what it should and hands over the rest; nobody can tell them apart."""

import asyncio
import gc
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import pytest
import pytest_asyncio
from msgspec.structs import replace

from proxy.pipeline.identity.directory import Directory
from proxy.web.server.fast_path import FastPath, FastPathServer
from tests.support.installation import token_hash_of, token_of
from tests.support.patience import eventually
from tests.support.raw import Answer, Client, connect, request_bytes
from tests.support.sampling import drawn
from tests.support.stand import CHAT, MESSAGES, MODEL, Stand
from tests.support.stand import stand as run_stand

pytestmark = pytest.mark.asyncio(loop_scope="module")

GOOD = {"model": MODEL, "messages": MESSAGES}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stand(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stand]:
    more = {
        "server": {"write_timeout_s": 0.5, "body_timeout_s": 1},
        "users": {"bo": {"token_hash": token_hash_of("bo")}},
    }
    async with run_stand(tmp_path_factory.mktemp("lane"), more) as found:
        yield found


def lane(stand: Stand) -> FastPathServer:
    (found,) = [server for server in stand.app._servers if isinstance(server, FastPathServer)]
    return found


def chat(**more: object) -> bytes:
    return request_bytes("POST", CHAT, {**GOOD, **more}, token=token_of("anna"))


def headed(*lines: bytes, body: bytes | None = None) -> bytes:
    """Give a chat completion with further header lines."""
    data = json.dumps(GOOD).encode() if body is None else body
    start = b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    token = b"Authorization: Bearer " + token_of("anna").encode()
    return start + b"\r\n".join([token, *lines, b"", data])


_BODY = json.dumps(GOOD).encode()
_SIZE = b"Content-Length: %d" % len(_BODY)
_CHUNKED = b"%x\r\n%b\r\n0\r\n\r\n" % (len(_BODY), _BODY)

# name -> (bytes, the statuses that they are answered with, whether the connection stays in the lane)
REQUESTS: dict[str, tuple[bytes, list[int], bool]] = {
    "plain": (chat(), [200], True),
    "stream": (chat(stream=True), [200], True),
    "refused": (request_bytes("POST", CHAT, b"{", token=token_of("anna")), [400], True),
    "nobody": (request_bytes("POST", CHAT, GOOD), [401], True),
    "other path": (request_bytes("GET", "/v1/me/limits", token=token_of("anna")), [200], False),
    "alive": (request_bytes("GET", "/healthz"), [200], True),
    "ready": (request_bytes("GET", "/readyz"), [200], True),
    "ready, in full": (request_bytes("GET", "/readyz?verbose"), [200], False),
    "alive, by another name": (b"GET /healthz HTTP/1.1\r\nHost: elsewhere.example\r\n\r\n", [421], False),
    "alive, with a body": (b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 2\r\n\r\n{}", [200], False),
    "chunks": (headed(b"Transfer-Encoding: chunked", body=_CHUNKED), [200], False),
    "length in capitals": (headed(_SIZE.upper()), [200], True),
    "odd white space": (headed(b"X-Title:\t a title \t", _SIZE.replace(b": ", b":   ")), [200], True),
    "close": (headed(_SIZE, b"Connection: close"), [200], False),
    "upgrade": (headed(_SIZE, b"Connection: Upgrade", b"Upgrade: h2c"), [200], False),
    "two at once": (chat() + chat(stream=True), [200, 200], False),
    "three kinds": (chat() + request_bytes("GET", "/healthz") + chat(), [200, 200, 200], False),
    "no length": (headed(b"X-Title: t", body=b""), [400], False),
    "a letter in the length": (headed(_SIZE + b"x"), [400], False),
}


async def _answers(client: Client, statuses: list[int]) -> list[Answer]:
    return [await client.read_answer() for _ in statuses]


@pytest.mark.parametrize("name", REQUESTS)
async def test_whole(stand: Stand, name: str) -> None:
    """Each kind, sent whole, goes its way."""
    data, statuses, stays = REQUESTS[name]
    async with await connect(stand.port) as client:
        await client.send(data)
        answers = await _answers(client, statuses)
        assert [got.status for got in answers] == statuses
        assert all(got.end == "complete" for got in answers)
        assert bool(lane(stand).connections) is stays
    await eventually(lambda: _none_left(stand))


async def _none_left(stand: Stand) -> bool:
    return not lane(stand).connections and not stand.app.services.in_flight


@pytest.mark.parametrize("name", REQUESTS)
async def test_every_split(stand: Stand, name: str) -> None:
    """Wherever a packet ends, the answers are the same."""
    data, statuses, _ = REQUESTS[name]
    whole = await _split(stand, data, statuses, 0)
    for at in drawn(range(1, len(data)), 0.2, name):
        assert await _split(stand, data, statuses, at) == whole, at
    await eventually(lambda: _none_left(stand))


async def _split(stand: Stand, data: bytes, statuses: list[int], at: int) -> list[tuple[int, str | None, str]]:
    async with await connect(stand.port) as client:
        await client.send(data[:at])
        for _ in range(3):  # the server reads the first part before the second is sent
            await asyncio.sleep(0)
        await client.send(data[at:])
        answers = await _answers(client, statuses)
    assert [got.status for got in answers] == statuses, at
    return [(got.status, got.content_type, got.end) for got in answers]


async def test_byte_by_byte(stand: Stand) -> None:
    async with await connect(stand.port) as client:
        for byte in chat():
            await client.send(bytes([byte]))
            await asyncio.sleep(0)
        assert (await client.read_answer()).status == 200


async def test_bodies_that_are_slow(stand: Stand) -> None:
    """They leave the lane without another byte, each in its turn, and are answered; who hangs up is forgotten."""
    data = chat()
    at = len(data) - 10
    late = lane(stand).late_bodies
    async with await connect(stand.port) as first, await connect(stand.port) as second:
        gone = await connect(stand.port)
        for client in (first, second, gone):
            await client.send(data[:at])
            await asyncio.sleep(0.05)
        assert len(late._due_s) == 3
        await gone.hang_up()
        await eventually(lambda: _none_is_late(stand))
        assert not lane(stand).connections
        for client in (first, second):
            await client.send(data[at:])
            assert (await client.read_answer()).status == 200
        await gone.close()


async def _none_is_late(stand: Stand) -> bool:
    return not lane(stand).late_bodies._due_s


async def test_a_connection_changes_over(stand: Stand) -> None:
    """In the lane, then to aiohttp with another path, and on there."""
    async with await connect(stand.port) as client:
        for data in (chat(), chat(stream=True), request_bytes("GET", "/healthz?"), chat(), chat(stream=True)):
            await client.send(data)
            got = await client.read_answer()
            assert (got.status, got.end) == (200, "complete")


async def test_sent_before_the_answer(stand: Stand) -> None:
    """What comes while an answer is under way is answered after it."""
    await stand.clear()
    await stand.sim.behave(delay_ms=100)
    async with await connect(stand.port) as client:
        await client.send(chat())
        await eventually(lambda: _arrived(stand))
        await client.send(request_bytes("GET", "/healthz") + chat())
        answers = await _answers(client, [200] * 3)
    assert [got.status for got in answers] == [200] * 3
    assert answers[1].json() == {"status": "ok"}
    await stand.reset()


async def _arrived(stand: Stand) -> bool:
    return bool(await stand.sim.requests())


async def test_heads_alike(stand: Stand) -> None:
    """A connection's head is read once; whatever differs from it counts: the length, the token, a title."""
    await stand.clear()
    async with await connect(stand.port) as client:
        for text in ("a", "b" * 2000, "c"):
            await client.send(chat(messages=[{"role": "user", "content": text}]))
            assert (await client.read_answer()).status == 200
        await client.send(request_bytes("POST", CHAT, GOOD, token=token_of("bo")))
        assert (await client.read_answer()).status == 200
        await client.send(request_bytes("POST", CHAT, GOOD, token=token_of("nobody")))
        assert (await client.read_answer()).status == 401
        tagged = request_bytes("POST", CHAT, GOOD, token=token_of("anna"), headers=[("X-Tollkeeper-Use-Case", "sms")])
        await client.send(tagged)
        assert (await client.read_answer()).status == 200
        assert lane(stand).connections
    rows = await stand.settled(5)
    assert [row["user"] for row in rows] == ["anna", "anna", "anna", "bo", "anna"]
    assert [row["use_case"] for row in rows] == [None] * 4 + ["sms"]
    sent = [json.loads(request["body"])["messages"][0]["content"] for request in await stand.sim.requests()]
    assert [len(text) for text in sent[:3]] == [1, 2000, 1]


async def test_a_disabled_user_on_an_open_connection(stand: Stand) -> None:
    """What is kept of a head is no leave to come in."""
    async with await connect(stand.port) as client:
        bo = request_bytes("POST", CHAT, GOOD, token=token_of("bo"))
        await client.send(bo)
        assert (await client.read_answer()).status == 200
        live, current = stand.app.live, stand.app.live.current
        rows = dict(current.directory._rows)
        del rows[token_hash_of("bo").removeprefix("sha256:")]
        live.current = replace(current, directory=Directory(rows.values()))  # as a rebuild makes a new one
        await client.send(bo)
        assert (await client.read_answer()).status == 401
        live.current = current
        await client.send(bo)
        assert (await client.read_answer()).status == 200


async def test_a_client_that_does_not_read(stand: Stand) -> None:
    """It is cut off, and its stream is booked."""
    await stand.clear()
    await stand.sim.behave(completion_tokens=40_000)
    client = await connect(stand.port)
    await client.send(chat(stream=True))
    (row,) = await stand.settled()
    assert row["status"] in (200, 499)
    await client.hang_up()
    await stand.reset()
    await eventually(lambda: _none_left(stand))


@contextmanager
def uncollected() -> Iterator[None]:
    """Leave circles where they are, but for those that were there before."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def connections() -> int:
    """Count the connections of the lane that are in memory, open or not."""
    return sum(isinstance(one, FastPath) for one in gc.get_objects())


async def _is_left(number: int) -> bool:
    return connections() == number


HANG_UPS = {  # name -> what is sent before the client goes
    "at once": b"",
    "with half a head": chat()[:40],
    "with half a body": chat()[:-5],
    "before the answer": chat(),
    "within a stream": chat(stream=True),
}


# aiohttp keeps the error of what it cannot read, which knows the frames that it came through
@pytest.mark.parametrize("name", [*(name for name in REQUESTS if name != "a letter in the length"), *HANG_UPS])
async def test_a_connection_that_ends_leaves_nothing_to_the_garbage_collector(stand: Stand, name: str) -> None:
    await stand.sim.normal()
    await eventually(lambda: _none_left(stand))
    if name == "within a stream":
        await stand.sim.behave(pace_ms=50)
    with uncollected():
        before = connections()
        async with await connect(stand.port) as client:
            if name in HANG_UPS:
                await client.send(HANG_UPS[name])
                if name == "within a stream":
                    await client.read_until(b"data: ")
                await client.hang_up()
            else:
                await client.send(REQUESTS[name][0])
                await _answers(client, REQUESTS[name][1])
        await eventually(lambda: _is_left(before))
