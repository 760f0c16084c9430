"""Plays one answer on a socket: headers, pieces, pauses, and the point where it breaks off."""

import asyncio
import zlib
from collections.abc import Callable, Iterable
from typing import Protocol

from msgspec import Struct

from proxy.simulator.behaviour import Behaviour
from proxy.simulator.connection import Connection, Framing, head_bytes
from proxy.simulator.reply import Event


class _Compressor(Protocol):
    def compress(self, data: bytes, /) -> bytes: ...
    def flush(self, mode: int = ..., /) -> bytes: ...


class PlaybackStopped(Exception):  # noqa: N818  # no error: the behaviour asked for it
    """The answer was broken off as the behaviour says."""


class PlaybackProgress(Struct):
    """How far an answer came: tokens generated, whether the model was done, and whether by an error event."""

    tokens: int = 0
    complete: bool = False
    failed: bool = False


class PlayedAnswer(Struct, frozen=True):
    """What to play: status, headers without framing, the events, and how the body's end is told."""

    status: int
    headers: list[tuple[str, str]]
    events: Iterable[Event]
    framing: Framing
    length: int | None = None


_LAST_KINDS = frozenset(("usage", "body", "done", "error"))


class Player:
    """Plays one answer.

    ``on_complete`` is called before the first byte that tells the client that it is complete.
    """

    def __init__(
        self,
        connection: Connection,
        behaviour: Behaviour,
        progress: PlaybackProgress,
        on_complete: Callable[[], None],
    ) -> None:
        self._connection = connection
        self._behaviour = behaviour
        self._progress = progress
        self._on_complete = on_complete
        self._pending = b""  # the head waits for the first piece of the body, so that both are one packet
        self._chunked = False
        self._bytes_left: int | None = behaviour.stop_after if behaviour.stop_at == "after_bytes" else None
        self._compressor: _Compressor | None = None
        if behaviour.content_encoding is not None:
            self._compressor = zlib.compressobj(wbits=31 if behaviour.content_encoding == "gzip" else 15)

    async def play(self, answer: PlayedAnswer) -> None:
        """Send it all, or raise Stopped where the behaviour breaks it off.

        Cancelled when the client goes away.
        """
        behaviour = self._behaviour
        if behaviour.delay_ms:
            await asyncio.sleep(behaviour.delay_ms / 1000)
        if behaviour.stop_at == "before_headers":
            await self._stop()
        await self._head(answer)
        if behaviour.first_token_ms:
            await self._flush()
            await asyncio.sleep(behaviour.first_token_ms / 1000)
        if behaviour.stop_at is None and not behaviour.pace_ms:
            await self._straight(answer.events)
        else:
            await self._with_stops(answer.events)
        await self._finish()

    async def _head(self, answer: PlayedAnswer) -> None:
        behaviour = self._behaviour
        framing: Framing = behaviour.framing or answer.framing
        headers = list(answer.headers)
        if self._compressor is not None:
            headers.append(("Content-Encoding", str(behaviour.content_encoding)))
            framing = "chunked" if framing == "length" else framing
        if framing == "length" and answer.length is None:
            framing = "chunked"  # the length of a stream is not known
        if framing == "length":
            headers.append(("Content-Length", str(answer.length)))
        elif framing == "chunked":
            headers.append(("Transfer-Encoding", "chunked"))
            self._chunked = True
        else:
            self._connection.close_after = True
        if not behaviour.keep_alive:
            self._connection.close_after = True
        headers.append(("Connection", "close" if self._connection.close_after else "keep-alive"))
        headers += [(name, value) for name, value in behaviour.headers]
        head = head_bytes(answer.status, headers)
        if behaviour.stop_at == "in_headers":
            await self._connection.send(head[: len(head) // 2])
            await self._stop()
        self._pending = head
        if behaviour.stop_at == "after_headers":
            await self._stop()

    async def _straight(self, events: Iterable[Event]) -> None:
        progress = self._progress
        for kind, data, tokens, _ in events:
            progress.tokens = tokens
            if kind in _LAST_KINDS:
                self._complete(kind)
            await self._write(data)

    async def _with_stops(self, events: Iterable[Event]) -> None:
        behaviour, progress = self._behaviour, self._progress
        chunks = 0
        pace_s = behaviour.pace_ms / 1000
        for kind, data, tokens, _ in events:
            if behaviour.stop_at == "after_chunks" and chunks == behaviour.stop_after:
                await self._stop()
                chunks += 1  # a pause ends: go on and do not come back here
            if kind == "usage" and behaviour.stop_at == "before_usage":
                self._complete(kind)
                await self._stop()
            if pace_s and kind in ("chunk", "padding"):
                await self._flush()
                await asyncio.sleep(pace_s)
            progress.tokens = tokens
            if kind in _LAST_KINDS:
                self._complete(kind)
            if kind == "body" and behaviour.stop_at in ("before_usage", "after_usage"):
                at = data.find(b'"usage"') if behaviour.stop_at == "before_usage" else len(data) - 1
                await self._write(data[:at])
                await self._stop()
                data = data[at:]  # noqa: PLW2901  # the rest follows the pause
            await self._write(data)
            if kind in ("chunk", "padding"):
                chunks += 1
            if kind == "usage" and behaviour.stop_at == "after_usage":
                await self._stop()
        if behaviour.stop_at == "after_chunks" and chunks <= behaviour.stop_after:
            await self._stop()  # the answer was shorter: it breaks off before its end is told

    def _complete(self, kind: str) -> None:
        if not self._progress.complete:
            self._progress.complete = True
            self._progress.failed = kind == "error"
            self._on_complete()

    async def _write(self, data: bytes) -> None:
        if self._compressor is not None:
            data = self._compressor.compress(data) + self._compressor.flush(zlib.Z_SYNC_FLUSH)
        left = self._bytes_left
        if left is not None:
            if len(data) >= left:
                await self._pieces(data[:left])
                self._bytes_left = None
                await self._stop()
                data = data[left:]
            else:
                self._bytes_left = left - len(data)
        await self._pieces(data)

    async def _pieces(self, data: bytes) -> None:
        size = self._behaviour.split_bytes
        if not size:
            await self._send(data)
            return
        for at in range(0, len(data), size):
            await self._send(data[at : at + size])
            # zero gives the reader a turn, so that pieces tend to arrive one by one
            await asyncio.sleep(self._behaviour.split_interval_ms / 1000)

    async def _send(self, data: bytes) -> None:
        if not data:
            return
        if self._chunked:
            data = b"%x\r\n%b\r\n" % (len(data), data)
        if self._pending:
            data = self._pending + data
            self._pending = b""
        await self._connection.send(data)

    async def _flush(self) -> None:
        if self._pending:
            await self._connection.send(self._pending)
            self._pending = b""

    async def _finish(self) -> None:
        if self._compressor is not None:
            await self._send(self._compressor.flush(zlib.Z_FINISH))
        if self._chunked:
            await self._connection.send(self._pending + b"0\r\n\r\n")
            self._pending = b""
        else:
            await self._flush()

    async def _stop(self) -> None:
        behaviour = self._behaviour
        await self._flush()
        if behaviour.stop_with == "hang":
            await self._connection.hang(behaviour.hang_ms / 1000 if behaviour.hang_ms else None)
            return
        if behaviour.stop_with == "rst":
            await self._connection.delivered()
        self._connection.cut(reset=behaviour.stop_with == "rst")
        raise PlaybackStopped
