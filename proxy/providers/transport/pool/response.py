"""One answer of the pool: its head, its unread bytes, and how it ended."""

import asyncio
import zlib
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from proxy.core.eager_task import InlineFuture
from proxy.providers.deadlines import Deadlines
from proxy.providers.transport.base import NO_CONTENT, ChunkPassage, Kind, Take, TransportError, read_to
from proxy.providers.transport.inflate import ENCODINGS, Inflater
from proxy.providers.transport.pool.known_head import KnownHead
from proxy.wire.headers import header_lines, pick_response_headers


class PooledResponse(InlineFuture[None]):
    """Answer over a pooled connection, from the moment the request is about to be sent.

    The connection writes head, pieces and end into it; the reader reads them, and awaits it for whatever happens next
    (change()). What arrived before a break is handed out before the break is raised.
    """

    __slots__ = (
        "_failure",
        "_headers",
        "_inflater",
        "_is_awaited",
        "_last_s",
        "_transport",
        "awaits_content",
        "between_chunks",
        "complete",
        "deadlines",
        "failed",
        "fault",
        "fed",
        "header",
        "is_at_hand",
        "known",
        "passage",
        "paused",
        "pieces",
        "start_s",
        "status",
        "stopped",
        "take",
        "unread_bytes",
        "values",
    )

    def __init__(
        self, loop: asyncio.AbstractEventLoop, transport: asyncio.Transport, start_s: float, deadlines: Deadlines
    ) -> None:
        self._headers: Sequence[tuple[str, str]]  # once the head is here, unless it was a known one
        self.known: KnownHead | None = None  # by which the head came
        self.values: tuple[str, ...]  # of such a head: what it leaves open
        self.is_at_hand = False  # anything but padding came in the same read as the head
        self.header: Callable[[str], str | None]  # once the head is here: the value of a header by its name
        self.pieces: list[bytes] = []
        self.deadlines = deadlines
        self.loop = loop  # what an InlineFuture has: to call its __init__() takes as long as to set all of this
        self.is_done = self._asyncio_future_blocking = False
        self.task = self.error = self._callbacks = None
        self._transport = transport
        self.start_s = self._last_s = start_s  # infinity until the request is whole
        self._is_awaited = False
        self._failure: tuple[Kind, str] | None = None
        self.fault: Exception | None = None  # raised by take, to be raised in pump()
        self._inflater: Inflater | None = None
        self.status = self.unread_bytes = 0  # status 0: the head has not arrived
        self.complete = self.failed = self.awaits_content = False
        self.paused = False  # reading is stopped until the reader has caught up
        self.fed = True  # something arrived since the last sweep
        self.take: Take | None = None  # the reader waiting in pump()
        self.passage: ChunkPassage | None = None  # and of what it need not see
        self.between_chunks = False  # the last read was whole chunks: the next one begins with another
        self.stopped = False  # take wants no more for now

    # The reader's side.

    @property
    def headers(self) -> Sequence[tuple[str, str]]:
        """Return the headers once the head is here; names in lower case."""
        return self._headers if self.known is None else self.known.headers(self.values)

    def passed(self, secret: str) -> dict[str, str]:
        return dict(pick_response_headers(self.headers, secret))

    def passed_lines(self, secret: str) -> str:
        if self.known is not None:
            lines = self.known.passed_lines(self.values)
            if not secret or secret not in lines:
                return lines
        return header_lines(self.passed(secret))

    @property
    def is_read(self) -> bool:
        return self.complete and not self.pieces and self._inflater is None

    def whole(self) -> bytes | None:
        """Return the body if all of it is here in one piece without leading padding; None: use read()."""
        pieces = self.pieces
        if not self.complete or len(pieces) != 1 or self._inflater is not None:
            return None
        if pieces[0][:1].isspace() if self.known is None else not self.is_at_hand:
            return None
        self.pieces = []
        return pieces[0]

    def read(self) -> Coroutine[Any, Any, bytes]:
        """Return the next piece, b"" at the end; without a coroutine between the reader and an answer as it came."""
        return self._read() if self._inflater is None else self._unpack(self._inflater)

    async def _read(self) -> bytes:
        while True:
            if self.pieces:
                return self._taken()
            if self.complete:
                return b""
            await self.wait()

    async def _unpack(self, inflater: Inflater) -> bytes:
        try:
            while not (piece := inflater.take()):
                chunk = await self._read()
                if not chunk and inflater.ended:
                    return b""
                inflater.feed(chunk)
        except zlib.error:
            text = "the provider's answer is compressed and cannot be decompressed"
            self.fail("broken", text)
            raise TransportError("broken", text, dispatched=True) from None
        return piece

    def pump(self, take: Take, passage: ChunkPassage | None = None) -> Coroutine[Any, Any, bool]:
        """Pass each piece to take; pieces that came together are passed as one. What take raises is raised here."""
        return self._pump(take, passage) if self._inflater is None else read_to(self, take)

    async def _pump(self, take: Take, passage: ChunkPassage | None) -> bool:
        while True:
            if self.pieces:
                if not take(self._taken()):
                    return False
            elif self.complete:
                return True
            else:
                self.take, self.passage = take, passage
                try:
                    await self.change()
                except asyncio.CancelledError:
                    self.abort()
                    raise
                finally:
                    self.take = self.passage = None  # they usually refer to this object: break the cycle
                if self.fault is not None:
                    fault, self.fault = self.fault, None
                    raise fault
                if self.stopped:
                    self.stopped = False
                    return False

    def _taken(self) -> bytes:
        pieces = self.pieces
        self.pieces = []
        self.unread_bytes = 0
        if self.paused:
            self.resume()
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def wait(self) -> None:
        """Wait until something happened; raises TransportError after a break. Cancelled, it ends the exchange."""
        try:
            await self.change()
        except asyncio.CancelledError:
            self.abort()
            raise

    def change(self) -> InlineFuture[None]:
        """Return what is done when something happens, to be awaited at once; raises TransportError after a break.

        Who is cancelled there has to end the exchange.
        """
        if self._failure is not None:
            raise TransportError(*self._failure, dispatched=True)
        if self._is_awaited:
            raise RuntimeError("two tasks read one answer")
        self._is_awaited = True
        if self.is_done:
            self.renew()
        return self

    def abort(self) -> None:
        """Close the connection now, unless the answer is complete: then the connection is no longer its own."""
        if not self.complete:
            self.pieces = []
            self.unread_bytes = 0
            self.fail("broken", "the exchange was ended here")

    def resume(self) -> None:
        """Read on: the reader has caught up, or the answer is complete."""
        self.paused = False
        self.fed = True
        if not self._transport.is_closing():
            self._transport.resume_reading()

    # The connection's side.

    def set_head(self, status: int, headers: Sequence[tuple[str, str]]) -> None:
        """Set what llhttp has read."""
        self.status, self._headers = status, headers
        header = self.header = {name: value for name, value in reversed(headers)}.get  # noqa: C416 - dict() takes longer
        encoding = header("content-encoding")
        if encoding is not None:
            self.inflate(encoding)

    def inflate(self, encoding: str) -> None:
        """Undo a content encoding, where it is one that can be undone."""
        encoding = encoding.strip().lower()
        if encoding in ENCODINGS:
            self._inflater = Inflater(encoding)

    def keep(self, came: list[bytes]) -> None:
        """Keep pieces of the body until they are read; empties the list."""
        self.pieces += came
        self.unread_bytes += sum(map(len, came))
        came.clear()

    def wake(self) -> None:
        if self._is_awaited:
            self._is_awaited = False
            if not self.is_done:
                self.set_result(None)

    def pause(self) -> None:
        self.paused = True
        self._transport.pause_reading()

    def fail(self, kind: Kind, text: str) -> None:
        """End the exchange and its connection, unless it has ended already."""
        if self.complete or self._failure is not None:
            return
        self._failure = (kind, text)
        self.failed = True
        self.between_chunks = False  # so that nothing more is taken
        self._transport.abort()
        self.wake()

    def lose(self) -> None:
        """Fail the answer: the connection was lost before the message was complete."""
        if self.status:
            self.fail("broken", "the connection to the provider broke in the middle of its answer")
        else:
            self.fail("broken", "the connection broke before an answer began")

    def check(self, now_s: float) -> None:
        """Check the exchange against its deadlines; called by the sweep."""
        if self.fed or self.paused:  # while reading is paused, the client is the slow one
            self.fed = False
            self._last_s = now_s
        deadlines = self.deadlines
        total_s = self.start_s + deadlines.total_s
        part_s = self._last_s + deadlines.idle_s if self.status else self.start_s + deadlines.header_s
        if self.awaits_content and now_s >= self.start_s + deadlines.first_token_s and not self.paused:
            self.fail("first_token_timeout", NO_CONTENT)
            return
        if now_s < min(part_s, total_s):
            return
        if total_s <= part_s:
            self.fail("total_timeout", "the provider took longer than the total time-out")
        elif self.status:
            self.fail("idle_timeout", "the provider went silent in the middle of its answer")
        else:
            self.fail("header_timeout", "no answer began within the header time-out")
