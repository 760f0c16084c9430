"""A head is answered alike by both paths, however TCP cuts what the client sends; what is wrong with one is said."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
import pytest_asyncio
from aiohttp.http_parser import SINGLETON_HEADERS

from tests.support.installation import token_of
from tests.support.raw import connect
from tests.support.stand import MESSAGES, MODEL, Stand
from tests.support.stand import stand as run_stand

pytestmark = pytest.mark.asyncio(loop_scope="module")

BODY = json.dumps({"model": MODEL, "messages": MESSAGES}).encode()
LARGE = json.dumps({"model": MODEL, "messages": MESSAGES, "x": "y" * (300 << 10)}).encode()
START = b"POST /v1/chat/completions HTTP/1.1"
PLAIN = {
    "Host": "127.0.0.1",
    "Content-Type": "application/json",
    "Authorization": f"Bearer {token_of('anna')}",
    "User-Agent": "some/1.0",
}
ONCE = sorted(SINGLETON_HEADERS - {"content-length", "transfer-encoding"})  # those two: test_bad_input.py
Lines = list[tuple[str, str]]


def twice(name: str) -> Lines:
    """Give a plain head with one header more than once, in another case."""
    kept = [*PLAIN.items()] + ([] if name.title() in PLAIN else [(name, "1")])
    value = dict(kept).get(name.title(), "1")
    return [*kept, (name.upper(), value)]


# name -> (header lines, status, part of the text)
HEADS: dict[str, tuple[Lines, int, str]] = {
    "plain": ([*PLAIN.items()], 200, ""),
    **{f"two {name}": (twice(name), 400, f"more than one {name} header. Send one") for name in ONCE},
    "no host": ([line for line in PLAIN.items() if line[0] != "Host"], 400, "no Host header"),
    "another host": ([("Host", "elsewhere.example"), *[*PLAIN.items()][1:]], 421, "server.hosts"),
    "an old websocket": ([*PLAIN.items(), ("Sec-WebSocket-Key1", "x")], 400, "not an HTTP/1.1 request"),
    "two titles": ([*PLAIN.items(), ("X-Title", "a"), ("X-Title", "b")], 200, ""),
    "two accepts": ([*PLAIN.items(), ("Accept", "*/*"), ("Accept", "*/*")], 200, ""),
}


def request(lines: Lines, body: bytes = BODY, start: bytes = START) -> bytes:
    size = [("Content-Length", str(len(body)))] if body else []
    head = "".join(f"{name}: {value}\r\n" for name, value in [*lines, *size])
    return start + b"\r\n" + head.encode() + b"\r\n" + body


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stands(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[list[Stand]]:
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(run_stand(tmp_path_factory.mktemp("odd"), {"server": {"fast_path": fast}}))
            for fast in (True, False)
        ]


Said = tuple[int, str]


async def said(stand: Stand, parts: list[bytes], before: int = 0) -> Said:
    """Send parts, and give the status and the error's text of the answer behind as many good ones."""
    async with await connect(stand.port) as client:
        for part in parts:
            await client.send(part)
            await asyncio.sleep(0.01)  # the server reads each by itself
        for _ in range(before):
            assert (await client.read_answer()).status == 200
        answer = await client.read_answer()
    assert answer.end == "complete"
    return answer.status, "" if answer.status == 200 else answer.json()["error"]["message"]


async def every_way(stand: Stand, lines: Lines) -> list[Said]:
    whole, good = request(lines), request([*PLAIN.items()])
    cuts = (1, len(START) + 2, whole.index(b"\r\n\r\n"), len(whole) - 5)
    return [
        await said(stand, [whole]),
        *[await said(stand, [whole[:at], whole[at:]]) for at in cuts],
        await said(stand, [request(lines, LARGE)]),
        await said(stand, [good, whole], 1),
        await said(stand, [request(lines, b"", b"GET /healthz HTTP/1.1")]),
    ]


@pytest.mark.parametrize("name", HEADS)
async def test_both_paths_say_the_same(stands: list[Stand], name: str) -> None:
    lines, status, text = HEADS[name]
    found = [one for stand in stands for one in await every_way(stand, lines)]
    assert set(found) == {found[0]}, found
    assert found[0][0] == status
    assert text.lower() in found[0][1].lower()


async def test_nothing_made_up_by_a_client_is_quoted(stands: list[Stand]) -> None:
    """The words of aiohttp may hold what the client sent."""
    for value in ("Duplicate 'secret' header found.\x01", "\x01Duplicate 'secret' header found."):
        for stand in stands:
            status, text = await said(stand, [request([*PLAIN.items(), ("X-A", value)])])
            assert (status, text) == (400, "This is not an HTTP/1.1 request.")


GARBAGE = b"garbage\r\n\r\n"
REFUSED = (400, "This is not an HTTP/1.1 request.")
CHUNKED = b"%x\r\n%b\r\n0\r\n" % (len(BODY), BODY)
IN_CHUNKS = request([*PLAIN.items(), ("Transfer-Encoding", "chunked")], b"") + CHUNKED
LOOKS = request([*PLAIN.items()], b"", b"GET /v1/models HTTP/1.1")
# name -> (whole requests in one piece, how many these are)
GOOD: dict[str, tuple[bytes, int]] = {
    "plain": (request([*PLAIN.items()]), 1),
    "two": (request([*PLAIN.items()]) * 2, 2),
    "large": (request([*PLAIN.items()], LARGE), 1),
    "with an empty line within its body": (request([*PLAIN.items()], b"\r\n\r\n" + BODY), 1),
    "in chunks": (IN_CHUNKS + b"\r\n", 1),
    "in chunks with a trailer": (IN_CHUNKS + b"X-Last: 1\r\n\r\n", 1),
    "no body": (LOOKS, 1),
    "no body, then one": (LOOKS + request([*PLAIN.items()]), 2),
    "a probe": (request([*PLAIN.items()], b"", b"GET /healthz HTTP/1.1"), 1),
}


@pytest.mark.parametrize("n", [0, 1], ids=["fast path", "aiohttp"])
@pytest.mark.parametrize("name", GOOD)
async def test_what_follows_a_good_request_does_not_undo_it(stands: list[Stand], name: str, n: int) -> None:
    """It is answered, and then what came with it is refused: in the same packet as in the next."""
    stand, (good, count) = stands[n], GOOD[name]
    spending = good.count(START)
    for parts in (
        [good + GARBAGE],
        [good[:-5], good[-5:] + GARBAGE],
        [good, GARBAGE],
        [good[:-1], good[-1:] + GARBAGE],
    ):
        await stand.clear()
        assert await said(stand, parts, count) == REFUSED
        if spending:
            assert len(await stand.settled(spending)) == spending


async def test_many_empty_lines_are_read_as_one_packet(stands: list[Stand]) -> None:
    for stand in stands:
        assert await said(stand, [b"\r\n" * 30_000 + request([*PLAIN.items()])]) == (200, "")
