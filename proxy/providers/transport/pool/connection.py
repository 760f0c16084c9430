"""One connection to a provider: llhttp parses what comes and the current answer receives it.

Framing is strict: anything ambiguous ends the connection.
"""

import asyncio
from typing import Any, Final, Protocol, cast

import httptools

from proxy.core.name_cache import NameCache
from proxy.providers.deadlines import Deadlines
from proxy.providers.transport.pool.known_head import KnownHead, LearntHeads, known_head, known_stream_head
from proxy.providers.transport.pool.response import PooledResponse
from proxy.wire.chunk_head import are_chunks, payload_of

# The answer is paid for, so an odd head is no reason to lose it; these only bound the memory.
_HEAD_MAX_BYTES = 256 << 10  # also the most that may come without a byte of body: chunk sizes, extensions, trailers
_HEADERS_MAX = 1000
_HEADS_MAX = 4  # patterns that one connection makes: a provider whose heads all differ costs no more
_INTERIM_MAX = 8  # answers with a 1xx status before the real one
_SPACE = ord(" ")  # what is above it is no padding
_UNREAD_MAX_BYTES = 256 << 10  # reading pauses above this; the reader takes all there is, and reading goes on
WRITE_BYTES: Final = (
    256 << 10
)  # a body up to this goes out with its head; a larger one in pieces of this, as they drain

# Held back of a body until the request may be whole. Small bodies are held whole: what their first bytes would gain
# is nothing, as they go out at once with the rest: a connection begins with ten packets before it waits for an answer.
HELD_BYTES: Final = 1024
HELD_WHOLE_BYTES: Final = 4096


class _BadHeadError(Exception):
    """Raised within llhttp's callbacks to make it stop."""


class ConnectionOwner(Protocol):
    """What a connection reports to its pool."""

    def made(self, connection: "UpstreamConnection") -> None:
        """Add the connection, which is open."""

    def freed(self, connection: "UpstreamConnection", reusable: bool) -> None:
        """Return the connection to the pool: its answer is complete."""

    def stale(self, connection: "UpstreamConnection") -> None:
        """Drop the connection, which the provider is closing while it is idle."""

    def gone(self, connection: "UpstreamConnection") -> None:
        """Remove the closed connection."""


class UpstreamConnection(asyncio.Protocol):
    """asyncio's protocol and llhttp's callbacks in one object; at most one exchange at a time."""

    __slots__ = (
        "_bare_bytes",
        "_came",
        "_choked",
        "_done",
        "_head",
        "_heads",
        "_interim",
        "_keep",
        "_loop",
        "_new_bytes",
        "_owed",
        "_owner",
        "_parser",
        "_refusal",
        "_unlearnt",
        "_unsent",
        "_until_close",
        "answer",
        "idle_since_s",
        "on_body",
        "transport",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, owner: ConnectionOwner, heads: LearntHeads) -> None:
        self._loop = loop
        self._owner = owner
        self._heads = heads
        self._came: list[bytes] = []  # pieces of the body in the read that is parsed
        self.on_body = self._came.append  # llhttp's callback, called for each piece: as a method it costs a frame
        self._parser = httptools.HttpResponseParser(self)
        self.answer: PooledResponse | None = None  # under way
        self._head: list[tuple[str, str]] = []
        self._bare_bytes = 0  # what came since the last byte of body
        self._new_bytes = 0
        self._interim = 0
        self._keep = False
        self._until_close = False
        self._done = False
        self._unsent = False
        self._choked = False
        self._refusal = ""
        self._owed = b""  # the head of an answer in chunks that llhttp was not given, as it was known
        self._unlearnt = _HEADS_MAX
        self.transport: asyncio.Transport | None = None
        self.idle_since_s = 0.0

    # What the pool does with it.

    @property
    def usable(self) -> bool:
        return self.transport is not None and not self.transport.is_closing()

    def abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()

    def send(
        self, head: bytes, body: bytes | None, start_s: float, deadlines: Deadlines, held: int = 0
    ) -> PooledResponse:
        """Begin an exchange: send a request in one go, but of one with a body above WRITE_BYTES only the head.

        held: how many bytes at the end of a body are held back for write_end().
        """
        transport = self.transport
        assert transport is not None
        if held:
            self._unsent = True
            if body is not None and held < len(body) <= WRITE_BYTES:
                head += body[:-held]
        elif body is not None and len(body) <= WRITE_BYTES:
            head += body
        transport.write(head)
        answer = self.answer = PooledResponse(self._loop, transport, start_s, deadlines)
        return answer

    @property
    def is_closing(self) -> bool:
        """Return whether nothing can be sent any more."""
        return self.transport is None or self.transport.is_closing()

    async def write_large(self, answer: PooledResponse, view: memoryview) -> None:
        """Send a large body no faster than it leaves; an answer that refuses it ends the sending."""
        transport = self.transport
        assert transport is not None
        self._unsent = True
        for start in range(0, len(view), WRITE_BYTES):
            while self._choked and answer.status < 300 and not answer.complete:
                await answer.wait()
            if answer.status >= 300 or answer.complete or answer.failed:
                return  # not all was sent, so the connection ends with the answer
            transport.write(view[start : start + WRITE_BYTES])
        self._unsent = False

    def write_end(self, answer: PooledResponse, end: bytes | memoryview) -> None:
        """Send what was held back, unless the answer has refused what came before it; then the connection ends."""
        if answer.status < 300 and not answer.complete:
            assert self.transport is not None
            self.transport.write(end)
            self._unsent = False

    # asyncio's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # create_connection makes no other
        self.transport.set_write_buffer_limits(high=WRITE_BYTES)
        self._owner.made(self)

    def pause_writing(self) -> None:
        self._choked = True

    def resume_writing(self) -> None:
        self._choked = False
        if self.answer is not None:
            self.answer.wake()

    def data_received(self, data: bytes) -> None:
        answer = self.answer
        if answer is None:  # an answer without a request
            self.abort()
            return
        passage = answer.passage
        if answer.between_chunks:
            if passage is not None and passage.knows(data):
                passage.write(data)  # llhttp stands between two then as before
                answer.fed = True
                if passage.room.choked:
                    self._stop_pump(answer)
                return
            chunk = payload_of(data)
            if chunk is not None and self._take_chunk(answer, chunk):
                return
        if answer.failed:
            return
        had_head = answer.status != 0
        is_first = not self._bare_bytes and not had_head  # nothing of the answer has come yet
        known = self._heads.whole
        if is_first and known is not None:
            whole = known.read(data)
            if whole is not None:
                answer.values, by_name, body = whole
                answer.status, answer.known, answer.pieces = 200, known, [body]
                answer.header, answer.is_at_hand = by_name.get, body[0] > _SPACE or not body[:1].isspace()
                self._end(answer, True)
                return
        if is_first and self._heads.stream is not None and self._begin_stream(answer, self._heads.stream, data):
            return
        if self._owed:  # llhttp has to go on from its begin
            data, self._owed = self._owed + data, b""
        answer.fed = True
        answer.between_chunks = False
        self._new_bytes = len(data)
        came = self._came
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            answer.keep(came)
            self._refuse(answer, error)
            return
        if came and not had_head:
            answer.is_at_hand = not came[0][:1].isspace()
        if self._done:
            answer.keep(came)
            is_kept = self._keep
            if is_first and is_kept and self._unlearnt:
                self._unlearnt -= 1
                self._heads.whole = known_head(data, answer.headers) or self._heads.whole
            self._bare_bytes = self._interim = 0
            self._head = []  # it may hold trailers
            self._keep = self._until_close = self._done = False
            self._end(answer, is_kept)  # after which the next exchange may have begun
        elif not came:
            self._bare_bytes += len(data)
            if self._bare_bytes > _HEAD_MAX_BYTES:
                answer.fail("broken", "the provider's answer holds more than 256 KB without a byte of its body")
            elif answer.status and not had_head:
                if is_first:
                    self._learn_stream(answer, data)
                answer.wake()
        elif answer.take is None:
            self._bare_bytes = 0
            if is_first:
                self._learn_stream(answer, data)
            answer.keep(came)
            if answer.unread_bytes > _UNREAD_MAX_BYTES and not answer.paused:
                answer.pause()
            answer.wake()
        else:  # to the reader in pump(), without waking it
            self._bare_bytes = 0
            piece = came[0] if len(came) == 1 else b"".join(came)
            answer.between_chunks = answer.passage is not None and are_chunks(data, came)
            came.clear()
            self._pass_on(answer, piece)

    def _learn_stream(self, answer: PooledResponse, data: bytes) -> None:
        """Keep the pattern of the head that an answer in chunks began with."""
        if self._keep and self._unlearnt:
            self._unlearnt -= 1
            self._heads.stream = known_stream_head(data, answer.headers) or self._heads.stream

    def _begin_stream(self, answer: PooledResponse, known: KnownHead, data: bytes) -> bool:
        """Begin an answer whose head is known and has one chunk behind it, or nothing; False: llhttp has to read it."""
        begun = known.begin(data)
        if begun is None:
            return False
        values, by_name, body_at = begun
        body = data[body_at:]
        chunk = payload_of(body) if body else None
        if body and chunk is None:
            return False
        answer.values, answer.status, answer.known, answer.header = values, 200, known, by_name.get
        answer.between_chunks = answer.fed = True
        self._owed = data[:body_at]
        if chunk is None:
            answer.wake()
            return True
        answer.is_at_hand = not chunk[0][:1].isspace()
        return self._take_chunk(answer, chunk)

    def _take_chunk(self, answer: PooledResponse, chunk: tuple[bytes, bool]) -> bool:
        """Hand on a chunk that came alone; False: it is the last one of an answer that llhttp has begun to read."""
        payload, is_last = chunk
        if is_last:
            if not self._owed:
                return False
            self._owed = b""
            answer.between_chunks = False
            answer.pieces.append(payload)
            self._end(answer, True)
            return True
        answer.fed = True
        if answer.take is not None:
            self._pass_on(answer, payload)
            return True
        answer.pieces.append(payload)
        answer.unread_bytes += len(payload)
        if answer.unread_bytes > _UNREAD_MAX_BYTES and not answer.paused:
            answer.pause()
        answer.wake()
        return True

    def _pass_on(self, answer: PooledResponse, piece: bytes) -> None:
        """Pass a piece to the reader in pump(), without waking it."""
        take = answer.take
        assert take is not None
        try:
            if take(piece):
                return
        except Exception as error:  # noqa: BLE001 - raised again in pump()
            answer.fault = error
            answer.wake()
        else:
            self._stop_pump(answer)

    def _stop_pump(self, answer: PooledResponse) -> None:
        """End pump(): its reader wants no more for now."""
        answer.take = answer.passage = None
        answer.stopped = True
        answer.wake()

    def eof_received(self) -> None:
        if self.answer is None:
            self._owner.stale(self)

    def connection_lost(self, exc: Exception | None) -> None:
        answer, self.answer = self.answer, None
        self._parser = cast(Any, None)  # it holds this object, and this object held it
        if answer is not None:
            if self._until_close and exc is None and not answer.failed:
                if answer.paused:
                    answer.resume()
                answer.complete = True
            else:
                answer.lose()
        self.transport = None
        self._owner.gone(self)
        if answer is not None:
            answer.wake()

    def _end(self, answer: PooledResponse, reusable: bool) -> None:
        transport = self.transport
        assert transport is not None
        self.answer = None
        if answer.paused:
            answer.resume()
        answer.complete = True
        sent = not self._unsent and not transport.get_write_buffer_size()
        self._owner.freed(self, reusable and sent and not transport.is_closing())
        answer.wake()  # last, because the waiter may send its next request at once

    def _refuse(self, answer: PooledResponse, error: Exception) -> None:
        if self._done:  # the answer is complete; only what follows is wrong
            self._end(answer, False)
            return
        if isinstance(error, httptools.HttpParserCallbackError):
            why = self._refusal
        elif isinstance(error, httptools.HttpParserUpgrade):
            why = "it changes to another protocol"
        else:
            why = str(error)
        answer.fail("broken", f"the provider's answer is not valid HTTP/1.1: {why}")

    # llhttp's side, all called within feed_data().

    def on_message_begin(self) -> None:
        if self._done:
            raise _BadHeadError

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head.append((_names[name], value.rstrip().decode("latin-1")))

    def on_headers_complete(self) -> None:
        answer = self.answer
        assert answer is not None
        head, self._head = self._head, []
        if len(head) > _HEADERS_MAX:
            self._stop(f"more than {_HEADERS_MAX} headers")
        if self._bare_bytes + self._new_bytes > _HEAD_MAX_BYTES and _size(head) > _HEAD_MAX_BYTES:
            self._stop("a head of more than 256 KB")
        status = self._parser.get_status_code()
        if not 200 <= status < 600:
            self._note_interim(status)
            return
        self._keep = self._parser.should_keep_alive()
        if not self._keep:
            self._until_close = self._ends_with_connection(status, head)
        answer.set_head(status, head)

    def on_message_complete(self) -> None:
        assert self.answer is not None
        self._done = self.answer.status != 0  # a 1xx is a message too

    def _note_interim(self, status: int) -> None:
        self._interim += 1
        if not 100 <= status < 600:
            self._stop(f"a status {'below 100' if status < 100 else 'above 599'}")
        if status == 101:
            self._stop("it changes to another protocol")
        if self._interim > _INTERIM_MAX:
            self._stop(f"more than {_INTERIM_MAX} interim answers")

    def _ends_with_connection(self, status: int, head: list[tuple[str, str]]) -> bool:
        """Return whether the end of the connection is also the end of the answer's body."""
        codings = [value for name, value in head if name == "transfer-encoding"]
        if codings:
            if codings[-1].rpartition(",")[2].strip().lower() != "chunked":
                self._stop("a transfer encoding other than chunked")
            return False
        return status not in {204, 304} and all(name != "content-length" for name, _ in head)

    def _stop(self, why: str) -> None:
        self._refusal = why
        raise _BadHeadError(why)


def _name(name: bytes) -> str:
    return name.decode("latin-1").lower()


_names = NameCache(_name)


def _size(head: list[tuple[str, str]]) -> int:
    return sum(len(name) + len(value) + 4 for name, value in head)  # ": " and the line's end
