"""Connections to providers, behind one small interface: send a request, read the answer piece by piece, or abort.

TransportError says where it broke and whether a byte of the request may have reached the provider.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

from proxy.providers.deadlines import Deadlines
from proxy.providers.transport.errors import Kind, TransportError

__all__ = ["Kind", "TransportError"]


class SentHeaders(dict[str, str]):
    """Final headers of a request, so that a transport may cache what it makes of them."""

    __slots__ = ("made",)

    def __init__(self, headers: Mapping[str, str]) -> None:
        super().__init__(headers)
        # method and URL, the transport that sends them, and the head of the request up to the body's length
        self.made: tuple[str, str, object, bytes] | None = None


class ConnectionCounts(NamedTuple):
    """Connections of one transport: those open, of these idle, busy with an exchange; and those being opened."""

    open: int = 0
    idle: int = 0
    active: int = 0
    connecting: int = 0


NO_CONTENT = "the provider sent keep-alives, but no content within the first-token time-out"

Take = Callable[[bytes], bool]  # takes the next piece; False: no more for now
Knows = Callable[[bytes], bool]
"""Returns whether a read that begins between two chunks of HTTP/1.1 is whole ones that need no reading."""
MayEnd = Callable[[], Awaitable[None]]
"""Awaited once, before the last bytes of a body leave: what goes out before them is no request that can be acted on.

What it raises ends the exchange and is raised by send(); the provider has been asked for nothing then.
"""


class Room(Protocol):
    """Whether a client reads. choked: there is something to wait for before the next piece."""

    @property
    def choked(self) -> bool: ...


class ChunkPassage:
    """The way of chunks that go to the client as they came, framing and all, without a step between.

    write does nothing to a client that has gone. Once nothing is to pass, close() it.
    """

    __slots__ = ("knows", "room", "write")

    def __init__(self, knows: Knows, write: Callable[[bytes], object], room: Room) -> None:
        self.knows = knows
        self.write = write
        self.room = room

    def close(self) -> None:
        self.knows = _knows_nothing


def _knows_nothing(_read: bytes) -> bool:
    return False


async def read_to(answer: "UpstreamResponse", take: Take) -> bool:
    """Pass pieces as pump() does, one read after the other."""
    while piece := await answer.read():
        if not take(piece):
            return False
    return True


class UpstreamResponse(Protocol):
    """An answer whose headers have arrived. awaits_content: first_token_s still applies, as no content has come.

    status: 200 to 599; an answer with any other has failed as one that is no HTTP.
    """

    status: int
    awaits_content: bool

    @property
    def headers(self) -> Sequence[tuple[str, str]]:
        """Return the headers in their order, names in lower case."""
        ...

    def header(self, name: str) -> str | None:
        """Return the first value of a header; its name in lower case."""
        ...

    def passed(self, secret: str) -> dict[str, str]:
        """Return the headers that a client gets, without those that quote the secret (wire/headers.py)."""
        ...

    def passed_lines(self, secret: str) -> str:
        """Return the same as HTTP writes them, each line with its end."""
        ...

    @property
    def is_read(self) -> bool:
        """Return whether it has surely been read to its end; False where that is not known yet."""
        ...

    @property
    def is_at_hand(self) -> bool:
        """Return whether content came together with the head; False also if that is unknown."""
        ...

    def whole(self) -> bytes | None:
        """Return the body if all of it is here in one piece without leading padding; None: use read()."""
        ...

    async def read(self) -> bytes:
        """Return the next piece as it came, b"" at the end; raises TransportError if the answer breaks."""
        ...

    async def pump(self, take: Take, passage: ChunkPassage | None = None) -> bool:
        """Pass each piece to take as it comes; return True at the end, False as soon as take does. Raises as read().

        passage: for what it knows, in place of take, by a transport that sees the framing.
        """
        ...

    def abort(self) -> None:
        """Close the connection now; a pending read() raises."""
        ...


class Transport(Protocol):
    """The way to one provider."""

    async def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None,
        deadlines: Deadlines,
        may_end: MayEnd | None = None,
    ) -> UpstreamResponse:
        """Send a request and return the head of its answer; raises TransportError.

        The last bytes of the body leave only once may_end has returned; all before them may leave meanwhile. Only the
        wait for a connection counts for the deadlines until then.
        """
        ...

    def connections(self) -> ConnectionCounts:
        """Return how many connections there are now."""
        ...

    async def close(self) -> None: ...
