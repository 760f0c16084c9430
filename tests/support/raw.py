"""HTTP on a bare socket: sends what no HTTP library would, and shows the answer byte for byte."""

import asyncio
import contextlib
import json
import socket
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

_PATIENCE_S = 20.0  # how long a read waits before it is called silence; no test measures it


@dataclass(slots=True)
class Answer:
    """One response. end: complete, or how the connection ended before (fin, rst, silence, garbage)."""

    status: int = 0
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    end: str = "complete"
    interim: list[int] = field(default_factory=list)  # statuses of 1xx before it

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    @property
    def content_type(self) -> str | None:
        return self.header("Content-Type")

    def json(self) -> Any:
        return json.loads(self.body)


class _EndError(Exception):
    def __init__(self, end: str) -> None:
        super().__init__(end)
        self.end = end


class Client:
    """One connection. read_answer() reads the next response; raw bytes read beyond it are kept for the one after."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._buffer = b""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        with contextlib.suppress(ConnectionError):  # refused before all was read; the answer can still be read
            await self._writer.drain()

    async def read_some(self, patience_s: float = _PATIENCE_S) -> bytes:
        """Give what comes next, b"" at the end (FIN)."""
        if self._buffer:
            taken, self._buffer = self._buffer, b""
            return taken
        return await asyncio.wait_for(self._reader.read(1 << 16), patience_s)

    async def read_until(self, mark: bytes) -> bytes:
        """Read until mark has come; gives all from the start of reading, raises EOFError at the end before it."""
        got = b""
        while mark not in got:
            piece = await self.read_some()
            if not piece:
                raise EOFError(f"the end came before {mark!r}; got {got[-200:]!r}")
            got += piece
        return got

    async def read_answer(self, *, head_only: bool = False, patience_s: float = _PATIENCE_S) -> Answer:
        """Read one response, framing decoded. Never raises for an early end: Answer.end tells it."""
        answer = Answer()
        try:
            await self._read_head(answer, patience_s)
            while 100 <= answer.status < 200:
                answer.interim.append(answer.status)
                await self._read_head(answer, patience_s)
            if not head_only:
                await self._read_body(answer, patience_s)
        except _EndError as error:
            answer.end = error.end
        return answer

    async def _more(self, patience_s: float) -> None:
        try:
            piece = await asyncio.wait_for(self._reader.read(1 << 16), patience_s)
        except ConnectionError:
            raise _EndError("rst") from None
        except TimeoutError:
            raise _EndError("silence") from None
        if not piece:
            raise _EndError("fin")
        self._buffer += piece

    async def _take(self, size: int, patience_s: float) -> bytes:
        while len(self._buffer) < size:
            await self._more(patience_s)
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        return taken

    async def _take_line(self, patience_s: float) -> bytes:
        while b"\r\n" not in self._buffer:
            await self._more(patience_s)
        line, _, self._buffer = self._buffer.partition(b"\r\n")
        return line

    async def _read_head(self, answer: Answer, patience_s: float) -> None:
        first = await self._take_line(patience_s)
        if not first.startswith(b"HTTP/1."):
            raise _EndError("garbage")
        answer.status = int(first.split(b" ")[1])
        answer.headers = []
        while line := await self._take_line(patience_s):
            name, _, value = line.decode("latin-1").partition(":")
            answer.headers.append((name, value.strip()))

    async def _read_body(self, answer: Answer, patience_s: float) -> None:
        length = answer.header("Content-Length")
        if answer.status in (204, 304):  # these have no body, whatever their head says
            return
        if (answer.header("Transfer-Encoding") or "").lower() == "chunked":
            while size := int(await self._take_line(patience_s), 16):
                await self._pour(answer, size, patience_s)
                await self._take(2, patience_s)
            await self._take(2, patience_s)
        elif length is not None:
            await self._pour(answer, int(length), patience_s)
        else:
            try:
                while True:
                    answer.body += self._buffer
                    self._buffer = b""
                    await self._more(patience_s)
            except _EndError as error:
                answer.end = "complete" if error.end == "fin" else error.end

    async def _pour(self, answer: Answer, size: int, patience_s: float) -> None:
        """Move size bytes into the body as they come, so that a cut body shows what came of it."""
        while size:
            if not self._buffer:
                await self._more(patience_s)
            part, self._buffer = self._buffer[:size], self._buffer[size:]
            answer.body += part
            size -= len(part)

    async def at_end(self, patience_s: float = _PATIENCE_S) -> str:
        """Wait for the end of the connection and tell how it ended; what still comes is dropped."""
        try:
            while True:
                self._buffer = b""
                await self._more(patience_s)
        except _EndError as error:
            return error.end

    async def hang_up(self, *, reset: bool = True) -> None:
        """Leave now: with RST as a killed process, or with FIN as one that closes its socket."""
        if reset:
            sock = self._writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._writer.transport.abort()
        await self.close()

    async def close(self) -> None:
        self._writer.close()
        with contextlib.suppress(ConnectionError):  # the other side was faster
            await self._writer.wait_closed()


async def connect(port: int, host: str = "127.0.0.1") -> Client:
    return Client(*await asyncio.open_connection(host, port))


async def connect_unix(path: str) -> Client:
    return Client(*await asyncio.open_unix_connection(path))


def request_bytes(
    method: str,
    path: str,
    body: bytes | Mapping[str, Any] | None = None,
    *,
    token: str | None = None,
    headers: Iterable[tuple[str, str]] = (),
    host: str | None = "127.0.0.1",
) -> bytes:
    """Write one correct request; what is wrong with it is put in by headers. A mapping is sent as JSON."""
    lines = [f"{method} {path} HTTP/1.1"]
    if host is not None:
        lines.append(f"Host: {host}")
    if token is not None:
        lines.append(f"Authorization: Bearer {token}")
    if body is not None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        given = {name.lower() for name, _ in headers}
        if "content-type" not in given:
            lines.append("Content-Type: application/json")
        if not given & {"content-length", "transfer-encoding"}:
            lines.append(f"Content-Length: {len(data)}")
    else:
        data = b""
    lines += [f"{name}: {value}" for name, value in headers]
    return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape") + data


async def exchange(port: int, data: bytes, *, head_only: bool = False) -> Answer:
    """Send bytes on a fresh connection and read the first response."""
    async with await connect(port) as client:
        await client.send(data)
        return await client.read_answer(head_only=head_only)


async def ask(
    port: int,
    method: str,
    path: str,
    body: bytes | Mapping[str, Any] | None = None,
    *,
    token: str | None = None,
    headers: Iterable[tuple[str, str]] = (),
    host: str | None = "127.0.0.1",
) -> Answer:
    """Make one request on a fresh connection."""
    data = request_bytes(method, path, body, token=token, headers=list(headers), host=host)
    return await exchange(port, data, head_only=method == "HEAD")
