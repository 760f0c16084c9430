"""A provider on a bare socket: it sends bytes, pauses, breaks off, and keeps books of what it would charge.

What it does with a request is a Turn: steps that are played once the request is there (or before it was read). It knows
nothing of the proxy's code; what it writes need not be HTTP.
"""

import asyncio
import contextlib
import json
import re
import ssl
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple

from tests.faults.told import END, Told, plain
from tests.providers.scripted import Peer

CHAT: Final = "/chat/completions"
MODELS: Final = "/models"
GENERATION: Final = "/generation"
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)", re.IGNORECASE)
_TLS_HANDSHAKE: Final = b"\x16"
PRICED: Final[dict[str, Any]] = {
    "id": "openai/gpt-4o-mini",
    "context_length": 128_000,
    "pricing": {"prompt": "0.00000015", "completion": "0.0000006"},
    "top_provider": {"max_completion_tokens": 16_384},
}


class Pause(NamedTuple):
    """Send nothing for a while."""

    s: float


class Hang(NamedTuple):
    """Send nothing until the other side has left."""


class Reset(NamedTuple):
    """End the connection with RST."""


class Close(NamedTuple):
    """End the connection with FIN."""


class Drip(NamedTuple):
    """Send byte after byte, with a pause after each."""

    data: bytes
    pause_s: float


Step = bytes | Pause | Hang | Reset | Close | Drip


class Turn(NamedTuple):
    """What is done with one request. charged: generation id -> pico-USD that it is billed with.

    unread: it is played as soon as the request has begun to arrive, without reading the rest. After the last step the
    connection waits for the next request.
    """

    steps: tuple[Step, ...]
    charged: Mapping[str, int] = {}
    unread: bool = False


def good_turn(told: Told, *, streamed: bool) -> Turn:
    return Turn((told.stream() + END if streamed else told.answer(),), {told.id: told.charged_pusd})


class Heard(NamedTuple):
    """One request as it arrived. connection: 1 for the first that the server accepted."""

    connection: int
    method: str
    path: str
    head: bytes
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class RawUpstream:
    """turns: what comes next on a path; a path without a turn is answered well. charged: all that it ever billed."""

    def __init__(self, tls: ssl.SSLContext | None = None, charge_pusd: int = 1_000_000) -> None:
        self.tls = tls
        self.port = 0
        self.turns: dict[str, deque[Turn]] = {CHAT: deque(), MODELS: deque(), GENERATION: deque()}
        self.always: dict[str, Turn] = {}  # instead of the good answer
        self.choose: Callable[[Heard], Turn | None] = lambda _: None  # what is done with a chat, ahead of all else
        self.ending: Callable[[], tuple[Step, ...]] = tuple  # what follows each good answer
        self.models: list[dict[str, Any]] = [PRICED]
        self.requests: list[Heard] = []
        self.begun = 0  # requests of which a byte has come
        self.connections = 0
        self.received = b""  # what came on connections that sent no whole request
        self.charged: dict[str, int] = {}
        self.records: dict[str, int] = {}  # what GET /generation tells, where it differs from what was charged
        self.told: list[Told] = []
        self._charge_pusd = charge_pusd
        self._server: asyncio.Server | None = None
        self._peers: set[Peer] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    def next(self, *turns: Turn, path: str = CHAT) -> None:
        self.turns[path].extend(turns)

    def chats(self) -> list[Heard]:
        return [heard for heard in self.requests if heard.path.endswith(CHAT)]

    async def up(self) -> None:
        """Listen, on the port of before if there was one."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=self.tls, limit=1 << 20)
        self.port = self._server.sockets[0].getsockname()[1]

    async def down(self) -> None:
        """Close the port and all connections."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await asyncio.sleep(0)

    async def drop_idle(self) -> None:
        """End all connections as a server does that keeps none alive; the port stays open."""
        for peer in list(self._peers):
            peer.writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        peer = Peer(self.connections, reader, writer)
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._peers.add(peer)
        try:
            while await self._answer_one(peer):
                pass
        except (ConnectionError, asyncio.CancelledError, ssl.SSLError):
            pass  # the other side left, or the test is over
        finally:
            self._tasks.discard(task)
            self._peers.discard(peer)
            writer.close()

    async def _answer_one(self, peer: Peer) -> bool:
        """Read one request and play its turn; False when the connection is over."""
        begun = await peer.reader.read(1)
        if not begun:
            return False
        self.begun += 1
        if begun == _TLS_HANDSHAKE:  # a client that speaks TLS to a port without it
            self.received += begun + await peer.reader.read(1 << 16)
            return await _play(peer, Turn((b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n", Close())))
        if self.turns[CHAT] and self.turns[CHAT][0].unread:
            turn = self.turns[CHAT].popleft()
            self._bill(turn)
            return await _play(peer, turn)
        head = begun
        try:
            head += await peer.reader.readuntil(b"\r\n\r\n")
            found = _LENGTH.search(head)
            body = await peer.reader.readexactly(int(found[1]) if found else 0)
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            self.received += head + (error.partial if isinstance(error, asyncio.IncompleteReadError) else b"")
            return False
        method, path = head.split(b" ", 2)[:2]
        heard = Heard(peer.n, method.decode(), path.decode(), head, body)
        self.requests.append(heard)
        turn = self._turn(heard)
        self._bill(turn)
        return await _play(peer, turn)

    def _bill(self, turn: Turn) -> None:
        assert not set(turn.charged) & set(self.charged), "a generation is billed twice"
        self.charged.update(turn.charged)

    def _turn(self, heard: Heard) -> Turn:
        path = heard.path.partition("?")[0]
        kind = next((end for end in (MODELS, GENERATION) if path.endswith(end)), CHAT)  # all that asks for tokens
        if kind == CHAT and (chosen := self.choose(heard)) is not None:
            return chosen
        if self.turns[kind]:
            return self.turns[kind].popleft()
        if kind in self.always:
            return self.always[kind]
        if kind == MODELS:
            return Turn((plain({"data": self.models}),))
        if kind == GENERATION:
            return Turn((self.record(heard.path.partition("?id=")[2]),))
        turn = good_turn(self.good(), streamed=heard.json().get("stream") is True)
        return turn._replace(steps=(*turn.steps, *self.ending()))

    def good(self) -> Told:
        """Make a new answer, with an id and a cost that no other has."""
        told = Told(f"gen-{self.port}-{len(self.told) + 1}", self._charge_pusd + len(self.told))
        self.told.append(told)
        return told

    def record(self, id_: str) -> bytes:
        """Write what GET /generation says."""
        cost_pusd = self.records.get(id_, self.charged.get(id_))
        if cost_pusd is None:
            return plain({"error": {"code": 404, "message": "Generation not found"}}, status=404)
        return plain({"data": Told(id_, cost_pusd).record()})


async def _play(peer: Peer, turn: Turn) -> bool:
    for step in turn.steps:
        if isinstance(step, bytes):
            await peer.send(step)
        elif isinstance(step, Pause):
            await asyncio.sleep(step.s)
        elif isinstance(step, Drip):
            for at in range(len(step.data)):
                await peer.send(step.data[at : at + 1])
                await asyncio.sleep(step.pause_s)
        elif isinstance(step, Hang):
            await peer.ended()
            return False
        elif isinstance(step, Reset):
            peer.reset()
            return False
        else:
            with contextlib.suppress(ConnectionError):
                peer.writer.write_eof() if peer.writer.can_write_eof() else peer.writer.close()
                await peer.ended()
            return False
    return True


@asynccontextmanager
async def raw_upstream(**more: Any) -> AsyncIterator[RawUpstream]:
    upstream = RawUpstream(**more)
    await upstream.up()
    try:
        yield upstream
    finally:
        await upstream.down()
