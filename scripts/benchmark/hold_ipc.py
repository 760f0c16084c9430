"""What a hold costs that is asked of another process over a Unix socket, beside one in the same process.

    python hold_ipc.py CONFIG TOKEN DIR CORE OTHER_CORE SECONDS

A hold is the limiter's check and reservation and the row of the request on disk, as in ledger_load.py. The asking
process runs on CORE. It holds by itself; then it asks a process on OTHER_CORE that owns limiter and ledger; then one
that answers at once and holds nothing, which leaves the price of asking. Each one at a time, and 16 at once. Prints one
JSON object: by way and number at once p50_us of a hold, here_us and there_us (CPU a hold in either process, all
threads), per_s; and faults.
"""

import asyncio
import json
import os
import struct
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import cast

import uvloop
from ledger_load import Outcome, Till, check_books, opened_till
from machine import BenchError, cpu_s

from proxy.config.load import load_file
from proxy.storage.rows import OpenRow

AT_ONCE = (1, 16)
COLUMNS = ("holds", "in", "p50 µs", "CPU here µs", "CPU there µs", "together µs", "a second")
WAYS = ("in this process", "another process", "another process, which only answers")
_HEAD = struct.Struct("!II")  # bytes behind it, number of the question
_PAUSE_S = 0.002  # between two holds that come one at a time, as requests of people do
_SETTLE_TOGETHER = 1000
_START_S = 20
_ASKED = {
    "user": "limited",
    "group": "office",
    "token_id": "0123456789abcdef",
    "endpoint": "chat/completions",
    "model": "bench/json",
    "provider": "openrouter",
    "key": "main",
    "reserved_pusd": 288_000_000,
    "tokens": 2480,
    "streamed": 0,
    "started_ms": 1_793_539_200_000,
    "use_case": None,
    "tags": None,
}  # fmt: skip  what the other process must hear of a request to hold for it

Hold = Callable[[], Awaitable[object]]


class Answerer(asyncio.Protocol):
    """The owner's side of the socket: each question is answered when its hold is on disk."""

    def __init__(self, hold: Callable[[], Awaitable[OpenRow]] | None, rows: list[OpenRow]) -> None:
        self._hold = hold
        self._rows = rows
        self._pending = b""
        self._tasks: set[asyncio.Task[None]] = set()
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        messages, self._pending = messages_of(self._pending + data)
        for number, body in messages:
            json.loads(body)
            if self._hold is None:
                self._answer(number, 0)
            else:
                task = asyncio.ensure_future(self._held(self._hold, number))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _held(self, hold: Callable[[], Awaitable[OpenRow]], number: int) -> None:
        try:
            row = await hold()
        except BaseException:
            self._transport.abort()  # who asks learns of it, and the run ends
            raise
        self._rows.append(row)
        self._answer(number, row.id)

    def _answer(self, number: int, id_: int) -> None:
        self._transport.write(message(number, b"%d" % id_))


class Asker(asyncio.Protocol):
    """The asking side: one connection, its questions answered in any order."""

    def __init__(self) -> None:
        self._pending = b""
        self._waiting: dict[int, asyncio.Future[bytes]] = {}
        self._number = 0
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        messages, self._pending = messages_of(self._pending + data)
        for number, body in messages:
            self._waiting.pop(number).set_result(body)

    def connection_lost(self, exc: Exception | None) -> None:
        for future in self._waiting.values():
            future.set_exception(BenchError(f"the other process is gone: {exc}"))

    def ask(self) -> Awaitable[bytes]:
        self._number += 1
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting[self._number] = future
        self._transport.write(message(self._number, json.dumps(_ASKED).encode()))
        return future

    def close(self) -> None:
        self._transport.close()


def message(number: int, body: bytes) -> bytes:
    return _HEAD.pack(len(body), number) + body


def messages_of(data: bytes) -> tuple[list[tuple[int, bytes]], bytes]:
    """Split off whole messages; return them, each with its number, and the rest."""
    found = []
    while len(data) >= _HEAD.size:
        length, number = _HEAD.unpack_from(data)
        end = _HEAD.size + length
        if len(data) < end:
            break
        found.append((number, data[_HEAD.size : end]))
        data = data[end:]
    return found, data


async def own(config: Path, token: str, folder: Path, socket: str, *, holds: bool) -> None:
    """Answer questions until standard input ends; then settle all, hold books against rows, and print faults."""
    loop, outcome, rows = asyncio.get_running_loop(), Outcome(), list[OpenRow]()
    path = folder / "ledger.db"
    async with opened_till(load_file(config, os.environ), token, path, outcome) as till:
        server = await loop.create_unix_server(lambda: Answerer(till.reserve if holds else None, rows), socket)
        await loop.run_in_executor(None, sys.stdin.read)
        server.close()
        await settle(till, rows)
        await check_books(path, till, outcome)
    print(json.dumps([*outcome.faults, *_missing(outcome)]))


async def settle(till: Till, rows: list[OpenRow]) -> None:
    for n in range(0, len(rows), _SETTLE_TOGETHER):
        await asyncio.gather(*map(till.settle, rows[n : n + _SETTLE_TOGETHER]))


def _missing(outcome: Outcome) -> list[str]:
    fine = outcome.reserved == outcome.rows and not outcome.unsettled
    return [] if fine else [f"{outcome.reserved} holds, {outcome.rows} rows, {outcome.unsettled} not settled"]


async def timed(hold: Hold, at_once: int, seconds: float, there: int | None) -> dict[str, float]:
    """Hold for so long, so many at once; there is the other process, if there is one."""
    taken_us: list[float] = []

    async def one_after_the_other(until_s: float) -> None:
        while time.perf_counter() < until_s:
            begun_ns = time.perf_counter_ns()
            await hold()
            taken_us.append((time.perf_counter_ns() - begun_ns) / 1000)
            if at_once == 1:
                await asyncio.sleep(_PAUSE_S)

    async def run(length_s: float) -> None:
        until_s = time.perf_counter() + length_s
        await asyncio.gather(*(one_after_the_other(until_s) for _ in range(at_once)))

    await run(seconds / 4)
    taken_us.clear()
    here_s, there_s, begun_s = time.process_time(), cpu_s(there) if there else 0.0, time.perf_counter()
    await run(seconds)
    took_s, count = time.perf_counter() - begun_s, len(taken_us)
    here_us = (time.process_time() - here_s) * 1e6 / count
    there_us = (cpu_s(there) - there_s) * 1e6 / count if there else 0.0
    taken_us.sort()
    found = {"p50_us": taken_us[count // 2], "here_us": here_us, "there_us": there_us, "per_s": count / took_s}
    return {name: round(value, 1) for name, value in found.items()}


async def of_own(
    config: Path, token: str, folder: Path, seconds: float
) -> tuple[dict[int, dict[str, float]], list[str]]:
    outcome, rows = Outcome(), list[OpenRow]()
    path = folder / "ledger.db"
    async with opened_till(load_file(config, os.environ), token, path, outcome) as till:

        async def hold() -> None:
            rows.append(await till.reserve())

        found = {at_once: await timed(hold, at_once, seconds, None) for at_once in AT_ONCE}
        await settle(till, rows)
        await check_books(path, till, outcome)
    return found, [*outcome.faults, *_missing(outcome)]


async def of_other(
    words: list[str], core: str, socket: Path, seconds: float
) -> tuple[dict[int, dict[str, float]], list[str]]:
    command = ["taskset", "-c", core, sys.executable, __file__, "own", *words, str(socket)]
    pipe = asyncio.subprocess.PIPE
    other = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)
    try:
        asker = await _connected(socket, other)
        found = {at_once: await timed(asker.ask, at_once, seconds, other.pid) for at_once in AT_ONCE}
        asker.close()
        told, _ = await other.communicate(b"")  # which ends its standard input
    except BaseException:
        other.kill()
        await other.communicate(b"")
        raise
    if other.returncode != 0:
        raise BenchError(f"the other process ended with {other.returncode}")
    faults: list[str] = json.loads(told)
    return found, faults


async def _connected(socket: Path, other: asyncio.subprocess.Process) -> Asker:
    deadline = time.monotonic() + _START_S
    while other.returncode is None and time.monotonic() < deadline:
        with suppress(FileNotFoundError, ConnectionRefusedError):
            _, asker = await asyncio.get_running_loop().create_unix_connection(Asker, str(socket))
            return asker
        await asyncio.sleep(0.01)
    raise BenchError("the other process did not begin to listen")


async def compare(config: str, token: str, folder: Path, core: str, seconds: float) -> dict[str, object]:
    """Measure all ways, one after the other, each on a ledger of its own."""
    places = [folder / str(n) for n in range(len(WAYS))]
    for place in places:
        place.mkdir()
    ways = {WAYS[0]: await of_own(Path(config), token, places[0], seconds)}
    for way, kind, place in zip(WAYS[1:], ("holds", "answers"), places[1:], strict=True):
        ways[way] = await of_other([config, token, str(place), kind], core, place / "socket", seconds)
    faults = [f"{way}: {fault}" for way, (_, told) in ways.items() for fault in told]
    return {"ways": {way: found for way, (found, _) in ways.items()}, "faults": faults}


def rows(ways: dict[str, dict[str, dict[str, float]]]) -> list[tuple[str, ...]]:
    """Return the table of a comparison that was read from JSON, one cell for each of COLUMNS."""
    return [
        (
            "16 at once" if at_once == "16" else "one at a time",
            way,
            f"{one['p50_us']:.0f}",
            f"{one['here_us']:.0f}",
            f"{one['there_us']:.0f}",
            f"{one['here_us'] + one['there_us']:.0f}",
            f"{one['per_s']:.0f}",
        )
        for at_once in map(str, AT_ONCE)
        for way, found in ways.items()
        for one in (found[at_once],)
    ]


def main(*arguments: str) -> None:
    if arguments[0] == "own":
        _, config, token, folder, kind, socket = arguments
        uvloop.run(own(Path(config), token, Path(folder), socket, holds=kind == "holds"))
        return
    config, token, folder, core, other_core, seconds = arguments
    os.sched_setaffinity(0, {int(core)})
    print(json.dumps(uvloop.run(compare(config, token, Path(folder), other_core, float(seconds)))))


if __name__ == "__main__":
    main(*sys.argv[1:])
