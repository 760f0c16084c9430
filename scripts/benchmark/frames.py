"""The way of one warm request through the program: Python frames entered on the event loop, by function and file.

It tells how far somebody has to walk who reads what one request does. A frame counts each time it is entered or goes on
after a wait; frames of libraries do not count. The upstream is a process of its own, the client a thread.
"""

import asyncio
import http.client
import json
import socket
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

from machine import BenchError
from systems import JSON_ROUTE, Tollkeeper, Upstream
from upstream import JSON_MODEL, STREAM_MODEL, paced_model

import proxy
from proxy.app import App
from proxy.config.load import load_file

_PACKAGE = str(Path(proxy.__file__).parent) + "/"
_WARM_UP = 20
_FOLLOWED = 5  # requests of which the shortest way counts: into the others came what runs by itself now and then
_EVENTS = 20  # of a stream
_CHAT: dict[str, Any] = {"messages": [{"role": "user", "content": "Hello, how are you today?"}], "max_tokens": 400}


class Way(NamedTuple):
    """One request's frames, in order: each a file below proxy/ and a function."""

    frames: tuple[tuple[str, str], ...]

    @property
    def functions(self) -> int:
        return len({*self.frames})

    @property
    def files(self) -> int:
        return len({file for file, _ in self.frames})

    @property
    def changes(self) -> int:
        """Count how often a frame stands in another file than the one before it."""
        return sum(one[0] != other[0] for one, other in zip(self.frames, self.frames[1:], strict=False))

    def lines(self) -> Iterator[str]:
        """Yield the way, one line for each stay in a file."""
        file, names = "", list[str]()
        for one, name in self.frames:
            if one != file and names:
                yield f"{file}: {', '.join(names)}"
                names = []
            file = one
            names.append(name)
        yield f"{file}: {', '.join(names)}"


async def ways(folder: Path) -> dict[str, Way]:
    """Return the ways of a plain JSON request, of JSON for a user with five limits, by a route of two, and of streams.

    A stream's events come each by itself, or together, as from a fast model: then all but the ends are in one read.
    """
    async with _served(folder) as (port, ours):
        ask, together = _Asker(port, _profiled), paced_model(_EVENTS, _EVENTS)
        return {
            "plain JSON": await ask.way(ours.token, {**_CHAT, "model": JSON_MODEL}),
            "streamed": await ask.way(ours.token, {**_CHAT, "model": STREAM_MODEL, "stream": True}),
            "streamed together": await ask.way(ours.token, {**_CHAT, "model": together, "stream": True}),
            "five limits": await ask.way(ours.limited_token, {**_CHAT, "model": JSON_MODEL}),
            "route of two": await ask.way(ours.token, {**_CHAT, "model": JSON_ROUTE}),
        }


async def codes(folder: Path) -> Way:
    """Return the way of a plain JSON request in byte codes: a file and a function for each one that is executed."""
    async with _served(folder) as (port, ours):
        return await _Asker(port, _traced).way(ours.token, {**_CHAT, "model": JSON_MODEL})


@asynccontextmanager
async def _served(folder: Path) -> AsyncIterator[tuple[int, Tollkeeper]]:
    upstream = Upstream(folder, 0, events=_EVENTS, interval_ms=1)
    upstream.start()
    try:
        ours = Tollkeeper(folder / "ours", 0, upstream.port)
        app = App(lambda: load_file(ours.config, {}))
        await app.start(load_file(ours.config, {}))
        try:
            yield app.port, ours
        finally:
            await app.close()
    finally:
        upstream.stop()


class _Asker:
    """A client of its own thread, and the profile of the loop's."""

    def __init__(self, port: int, noted: Callable[[list[tuple[str, str]]], AbstractContextManager[None]]) -> None:
        self._port = port
        self._noted = noted

    async def way(self, token: str, body: dict[str, Any]) -> Way:
        """Return the shortest way of the last requests over one connection."""
        found: list[Way] = []
        loop, arrived, proceed = asyncio.get_running_loop(), asyncio.Event(), threading.Semaphore(0)
        asking = asyncio.create_task(
            asyncio.to_thread(self._ask, token, body, lambda: loop.call_soon_threadsafe(arrived.set), proceed)
        )
        await arrived.wait()
        for n in range(_FOLLOWED):
            arrived.clear()
            frames: list[tuple[str, str]] = []
            with self._noted(frames):
                proceed.release()
                await (asking if n == _FOLLOWED - 1 else arrived.wait())
            found.append(Way(tuple(frames)))
        return min(found, key=lambda way: len(way.frames))

    def _ask(
        self, token: str, body: dict[str, Any], arrive: Callable[[], object], proceed: threading.Semaphore
    ) -> None:
        data = json.dumps(body).encode()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
        with socket.create_connection(("127.0.0.1", self._port), 60) as connection:
            for n in range(_WARM_UP + _FOLLOWED):
                if n >= _WARM_UP:
                    arrive()
                    proceed.acquire()
                connection.sendall(head.encode() + data)  # in one piece, as SDKs send what is short
                answer = http.client.HTTPResponse(connection)
                answer.begin()
                answer.read()
                if answer.status != http.HTTPStatus.OK:
                    raise BenchError(f"a request was answered with {answer.status}")


@contextmanager
def _profiled(frames: list[tuple[str, str]]) -> Iterator[None]:
    def note(frame: FrameType, event: str, _argument: object) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(_PACKAGE):
            frames.append((code.co_filename.removeprefix(_PACKAGE).removesuffix(".py"), code.co_qualname))

    sys.setprofile(note)
    try:
        yield
    finally:
        sys.setprofile(None)


@contextmanager
def _traced(codes: list[tuple[str, str]]) -> Iterator[None]:
    def note(frame: FrameType, event: str, _argument: object) -> Callable[..., Any] | None:
        code = frame.f_code
        if event != "call" or not code.co_filename.startswith(_PACKAGE):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        where = (code.co_filename.removeprefix(_PACKAGE).removesuffix(".py"), code.co_qualname)

        def count(_frame: FrameType, event: str, _argument: object) -> Callable[..., Any]:
            if event == "opcode":
                codes.append(where)
            return count

        return count

    sys.settrace(note)
    try:
        yield
    finally:
        sys.settrace(None)
