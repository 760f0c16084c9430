"""A client on a raw socket: sends one request, reads the answer, and leaves where the plan says."""

import asyncio
import socket
import struct
from dataclasses import dataclass, field

import orjson

from .draw import Ask

_READ_BYTES = 65_536
_LIMIT_S = 45.0  # far above the proxy's own deadlines; who waits longer is stuck, and that is a finding


class NotUpError(Exception):
    """No connection: nothing was sent."""


@dataclass(slots=True)
class Seen:
    """What the client saw of its request.

    whole: the answer came to the end of its HTTP framing. done: with ``data: [DONE]``. left: it hung up as planned.
    broken: the connection ended before. killed: the proxy was killed meanwhile. stuck: nothing ended for too long.
    garbled: what came is no HTTP.
    under: which run of the proxy it was sent to.
    """

    ask: Ask
    under: int
    sent: bool = False
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    whole: bool = False
    done: bool = False
    left: bool = False
    broken: bool = False
    killed: bool = False
    stuck: bool = False
    garbled: bool = False
    tail: bytes = b""  # the last bytes of the body, for what is looked for in it


class _Answer:
    """Takes the bytes of one HTTP/1.1 answer apart as they come."""

    def __init__(self) -> None:
        self._raw = bytearray()
        self._left: int | None = None  # of a body with a length, or of the chunk under way
        self._chunked = False
        self.status: int | None = None
        self.headers: dict[str, str] = {}
        self.body = bytearray()
        self.whole = False

    def feed(self, data: bytes) -> None:
        self._raw += data
        if self.status is None and not self._take_head():
            return
        if self._chunked:
            while self._take_chunk():
                pass
        else:
            self.body += self._raw
            self._raw.clear()
            self.whole = self._left is not None and len(self.body) >= self._left

    def end(self) -> None:
        """Note the end of the connection, which ends an answer without framing."""
        if self.status is not None and not self._chunked and self._left is None:
            self.whole = True

    def _take_head(self) -> bool:
        end = self._raw.find(b"\r\n\r\n")
        if end < 0:
            return False
        lines = self._raw[:end].decode("latin-1").split("\r\n")
        del self._raw[: end + 4]
        self.status = int(lines[0].split(" ")[1])
        self.headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        self._chunked = "chunked" in self.headers.get("transfer-encoding", "").lower()
        length = self.headers.get("content-length")
        self._left = None if self._chunked or length is None else int(length)
        return True

    def _take_chunk(self) -> bool:
        line = self._raw.find(b"\r\n")
        if line < 0 or self.whole:
            return False
        size = int(self._raw[:line], 16)
        if len(self._raw) < line + 2 + size + 2:
            return False
        self.body += self._raw[line + 2 : line + 2 + size]
        del self._raw[: line + 2 + size + 2]
        self.whole = size == 0
        return not self.whole


@dataclass(slots=True)
class _Line:
    """One connection to the proxy, to its run of this number."""

    under: int
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def drop(self, *, reset: bool) -> None:
        """Close at once; with RST where asked, which also throws away what was not sent yet."""
        sock = self.writer.get_extra_info("socket")
        if reset and sock is not None and sock.fileno() >= 0:  # it is gone when the other side was faster
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.writer.transport.abort()
        else:
            self.writer.close()


class Client:
    """Sends one request after the other, over one connection as long as it lasts."""

    def __init__(self, port: int, tokens: dict[str, str]) -> None:
        self._port = port
        self._tokens = tokens
        self._line: _Line | None = None

    def close(self) -> None:
        if self._line is not None:
            self._line.drop(reset=True)
            self._line = None

    async def ask(self, ask: Ask, under: int) -> Seen:
        """Send a request and see what comes; raises NotUpError when nobody listens."""
        seen = Seen(ask, under)
        line = await self._connect(under)
        keep = False
        try:
            async with asyncio.timeout(_LIMIT_S):
                keep = await self._exchange(line, seen)
        except TimeoutError:
            seen.stuck = True
        except (OSError, EOFError):
            seen.broken = not seen.whole
        except ValueError:
            seen.garbled = True
        if keep:
            self._line = line
        else:
            line.drop(reset=ask.hang_up.reset or seen.stuck)
        return seen

    async def _connect(self, under: int) -> _Line:
        line, self._line = self._line, None
        if line is not None and line.under == under and not line.reader.at_eof():
            return line
        if line is not None:
            line.drop(reset=False)
        try:
            return _Line(under, *await asyncio.open_connection("127.0.0.1", self._port))
        except OSError:
            raise NotUpError from None

    def _request(self, ask: Ask) -> tuple[bytes, bytes]:
        body = orjson.dumps(ask.body())
        lines = [
            f"POST {ask.path} HTTP/1.1",
            f"Host: 127.0.0.1:{self._port}",
            f"Authorization: Bearer {self._tokens[ask.user]}",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
            f"Connection: {'keep-alive' if ask.keep_alive else 'close'}",
        ]
        if ask.plain:
            lines.append(f"X-Session-Id: {ask.session}")
        return "\r\n".join([*lines, "", ""]).encode(), body

    async def _exchange(self, line: _Line, seen: Seen) -> bool:
        """Send and read; tell whether the connection can be used again."""
        ask, place = seen.ask, seen.ask.hang_up.place
        head, body = self._request(ask)
        if place == "in_body":
            line.writer.write(head + body[: int(ask.hang_up.at * len(body))])
            await line.writer.drain()
            await asyncio.sleep(0.002)  # so that the half request is seen before the end of the connection
            seen.left = True
            return False
        line.writer.write(head + body)
        await line.writer.drain()
        seen.sent = True
        if place == "before_answer":
            await asyncio.sleep(ask.hang_up.at)
            seen.left = True
            return False
        answer = _Answer()
        received = 0
        while not answer.whole:
            data = await line.reader.read(_READ_BYTES)
            if not data:
                answer.end()
                seen.broken = not answer.whole
                break
            received += len(data)
            answer.feed(data)
            if _leaves(ask, answer, received):
                seen.left = not answer.whole
                break
        _note(seen, answer)
        close = answer.headers.get("connection", "").lower() == "close" or not ask.keep_alive
        return answer.whole and not seen.left and not close and place == "nowhere"


def _leaves(ask: Ask, answer: _Answer, received: int) -> bool:
    place = ask.hang_up.place
    if place == "after_bytes":
        return received >= ask.hang_up.at
    if place == "at_usage":
        return b'"usage":{' in answer.body or b'"finish_reason":"stop"' in answer.body
    return bool(place == "at_done" and b"data: [DONE]" in answer.body)


def _note(seen: Seen, answer: _Answer) -> None:
    seen.status, seen.headers, seen.whole = answer.status, answer.headers, answer.whole
    seen.tail = bytes(answer.body[-400:])
    seen.done = b"data: [DONE]" in seen.tail
