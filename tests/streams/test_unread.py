"""A client that does not read its answer is cut on every way out, and what was held for it is let go."""

import asyncio
import gc
import json
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults.place import Place, body_of, place
from tests.faults.raw_upstream import Turn
from tests.faults.told import END, Told, plain
from tests.support.patience import eventually
from tests.support.raw import Client, request_bytes

_BODY_BYTES = 8 << 20  # more than the sockets on the way take in
_STALL_S = 0.4
WAYS = {  # path, lane, streamed
    "JSON on the lane": ("/v1/chat/completions", True, False),
    "JSON on aiohttp": ("/v1/chat/completions", False, False),
    "a stream on the lane": ("/v1/chat/completions", True, True),
    "a stream on aiohttp": ("/v1/chat/completions", False, True),
    "a message": ("/v1/messages", True, False),
    "a closing connection": ("/v1/messages", True, False),
}


def _turn(told: Told, way: str) -> Turn:
    if WAYS[way][2]:
        piece = told.piece("x" * 100_000)
        return Turn(
            (told.stream([piece] * (_BODY_BYTES // len(piece)) + told.events()[-3:]) + END,), {told.id: 1_000_000}
        )
    if WAYS[way][0] == "/v1/messages":
        usage = {"input_tokens": 1, "output_tokens": 1, "cost": 0.000001}
        text = {"type": "text", "text": "x" * _BODY_BYTES}
        message = {"id": told.id, "type": "message", "model": "m", "content": [text], "usage": usage}
        return Turn((plain(message),), {told.id: 1_000_000})
    told.cost = "0.000001"
    body = json.loads(told.body())
    body["choices"][0]["message"]["content"] = "x" * _BODY_BYTES
    return Turn((plain(body),), {told.id: 1_000_000})


async def _ask(found: Place, way: str, n: int) -> Client:
    found.upstream.choose = lambda heard: _turn(Told(f"gen-{n}", 1_000_000), way) if heard.method == "POST" else None
    client = await found.begin_nothing()
    headers = [("Connection", "close")] if way == "a closing connection" else []
    body = body_of("openrouter", stream=WAYS[way][2])
    await client.send(request_bytes("POST", WAYS[way][0], body, token=found.token, headers=headers))
    return client


def _open(found: Place) -> int:
    """Count the clients' connections of both ways in."""
    return sum(len(server.connections) for server in found.app._servers)


@contextmanager
def no_collection() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@pytest.mark.sampled(0.3)
@pytest.mark.parametrize("way", WAYS)
async def test_a_client_that_reads_nothing_is_cut(tmp_path: Path, way: str) -> None:
    config = {"server": {"write_timeout_s": _STALL_S, "fast_path": WAYS[way][1]}}
    async with place(tmp_path, config) as found:
        with no_collection():
            for n in range(3):
                client = await _ask(found, way, n)
                await eventually(lambda: _none_open(found))
                await found.quiet()
                await client.close()
                found.clients.clear()
                if n == 0:  # from here on nothing may grow
                    tracemalloc.start()
            try:
                await eventually(_little_is_held)  # the provider may still be about to notice that nobody reads
            finally:
                tracemalloc.stop()


async def _little_is_held() -> bool:
    return tracemalloc.get_traced_memory()[0] < _BODY_BYTES // 8


async def _none_open(found: Place) -> bool:
    return _open(found) == 0


@pytest.mark.parametrize("way", ["JSON on the lane", "a message", "a stream on aiohttp"])
async def test_a_client_that_reads_slowly_gets_all_of_it(tmp_path: Path, way: str) -> None:
    """It takes longer than write_timeout_s for what is unsent to go out; that some of it goes is enough."""
    async with place(tmp_path, {"server": {"write_timeout_s": 0.4, "fast_path": WAYS[way][1]}}) as found:
        client = await _ask(found, way, 0)
        begun_s, read_bytes = time.monotonic(), 0
        while time.monotonic() - begun_s < 1.5:
            read_bytes += len(await client.read_some())
            await asyncio.sleep(0.02)
        assert read_bytes < _BODY_BYTES
        rest = await client.read_until(b"[DONE]" if WAYS[way][2] else b"}}")
        assert read_bytes + len(rest) > _BODY_BYTES * 0.9
        await found.quiet()
