"""Two places that are no socket where an answer can go: memory that is read as slowly as one likes, a line of a file.

They are as unlike as they can be: memory takes a body in pieces, is full at some point, and hands on each piece; a line
has all of its body, is never full, and is written only when the answer is complete.
"""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

from multidict import CIMultiDict

from proxy.core.latch import Latch
from proxy.pipeline.downstream import BodyIncompleteError, BodyTooLargeError, Reply
from proxy.pipeline.values.request_headers import RequestHeaders
from proxy.wire.headers import headers_of

ROOM_BYTES = 1 << 16


class MemoryDownstream:
    """One request whose body comes in pieces, and an answer that is taken piece by piece."""

    def __init__(self, path: str, headers: Mapping[str, str], pieces: AsyncIterator[bytes]) -> None:
        """pieces: those of the body; it raises ConnectionError where the body breaks off."""
        self.request_headers = RequestHeaders(CIMultiDict(headers))
        self.path = path
        self.address = ""
        self.body: bytes | None = None
        self.status = 0
        self.headers: dict[str, str] = {}
        self.closes = False
        self.is_gone = False
        self.is_complete = False
        self.unsent = bytearray()
        self.unsent_most_bytes = 0
        self.task: asyncio.Task[None] | None = None  # which answers it
        self._pieces = pieces
        self._room: Latch | None = None
        self._news = asyncio.Event()

    # The pipeline's side.

    async def read_body(self, max_bytes: int, timeout_s: float) -> bytes:
        body = b""
        try:
            async with asyncio.timeout(timeout_s):
                async for piece in self._pieces:
                    body += piece
                    if len(body) > max_bytes:
                        raise BodyTooLargeError
        except ConnectionError:
            raise BodyIncompleteError from None
        return body

    def whole(self, status: int, headers: Mapping[str, str], body: bytes, now_ms: int, *, close: bool = False) -> Reply:
        del now_ms
        if not self.is_gone:
            self.status, self.headers, self.closes = status, dict(headers), close
            self._add(body)
        return self

    def whole_of_lines(self, status: int, lines: str, body: bytes, now_ms: int) -> Reply:
        return self.whole(status, headers_of(lines), body, now_ms)

    def send_ahead(self, status: int, lines: str, body: bytes, held: int, now_ms: int) -> None:
        """Write nothing: it is read when it is complete."""

    def begin(self, status: int, lines: str, now_ms: int) -> Reply:
        del now_ms
        self._check_here()
        self.status, self.headers = status, headers_of(lines)
        self._news.set()
        return self

    def write(self, data: bytes) -> bool:
        assert data, "an empty piece would end an answer in chunks"
        assert self.status, "the head goes first"
        self._check_here()
        self._add(data)
        return len(self.unsent) <= ROOM_BYTES

    def chunks_writer(self) -> None:
        """Return None: it has framing of its own, or none."""
        return

    async def drained(self) -> None:
        if len(self.unsent) > ROOM_BYTES and not self.is_gone:
            self._room = Latch()
            await self._room.wait()
        self._check_here()

    def cut(self) -> None:
        self.is_gone = True
        self._news.set()
        if self._room is not None:
            self._room.set()

    def interrupt(self) -> None:
        assert self.task is not None
        self.task.cancel()

    # The reader's side.

    @property
    def waits_for_reader(self) -> bool:
        return self._room is not None and self._room.is_open

    def end(self) -> None:
        """Say that nothing more will be written."""
        self.is_complete = not self.is_gone
        self._news.set()

    async def take(self) -> bytes:
        """Return what has come since, waiting for it; b"" at the end."""
        while not (self.unsent or self.is_complete or self.is_gone):
            self._news.clear()
            await self._news.wait()
        taken = bytes(self.unsent)
        self.unsent.clear()
        if self._room is not None:
            self._room.set()
        return taken

    def _add(self, data: bytes) -> None:
        self.unsent += data
        self.unsent_most_bytes = max(self.unsent_most_bytes, len(self.unsent))
        self._news.set()

    def _check_here(self) -> None:
        if self.is_gone:
            raise ConnectionResetError


class LineDownstream:
    """One request that is a line of JSON, and an answer that becomes a line of another file once it is complete.

    A line has path, headers, body; that of an answer has status, headers, body. Bodies are in base64, since not every
    body is text.
    """

    def __init__(self, line: str, answers: Path) -> None:
        asked: dict[str, Any] = json.loads(line)
        self.request_headers = RequestHeaders(CIMultiDict(asked["headers"]))
        self.path: str = asked["path"]
        self.address = ""
        self.body: bytes | None = base64.b64decode(asked["body"])
        self.task: asyncio.Task[None] | None = None  # which answers it
        self._answers = answers
        self._answer: dict[str, Any] = {}
        self._pieces: list[bytes] = []
        self._is_cut = False

    @property
    def so_far(self) -> bytes:
        return b"".join(self._pieces)

    async def read_body(self, max_bytes: int, timeout_s: float) -> bytes:
        raise AssertionError("all of it is here", max_bytes, timeout_s)

    def whole(self, status: int, headers: Mapping[str, str], body: bytes, now_ms: int, *, close: bool = False) -> Reply:
        del now_ms, close
        self._answer, self._pieces = {"status": status, "headers": dict(headers)}, [body]
        return self

    def whole_of_lines(self, status: int, lines: str, body: bytes, now_ms: int) -> Reply:
        return self.whole(status, headers_of(lines), body, now_ms)

    def send_ahead(self, status: int, lines: str, body: bytes, held: int, now_ms: int) -> None:
        """Write nothing: it is read when it is complete."""

    def begin(self, status: int, lines: str, now_ms: int) -> Reply:
        return self.whole_of_lines(status, lines, b"", now_ms)

    def write(self, data: bytes) -> bool:
        if self._is_cut:
            raise ConnectionResetError
        self._pieces.append(data)
        return True

    def chunks_writer(self) -> None:
        """Return None: a line has no framing."""
        return

    async def drained(self) -> None:
        """Return at once: a line has room for everything."""

    def cut(self) -> None:
        self._is_cut = True

    def interrupt(self) -> None:
        assert self.task is not None
        self.task.cancel()

    def end(self) -> None:
        """Write the line, unless the request was cut."""
        if not self._is_cut:
            line = {**self._answer, "body": base64.b64encode(self.so_far).decode()}
            with self._answers.open("a") as file:
                file.write(json.dumps(line) + "\n")
