"""Where the answer to a request goes, and where its body comes from: a socket, a line of a file, memory.

Bytes in, bytes out: framing and transport are known only to the implementation.
"""

from collections.abc import Callable, Mapping
from typing import Protocol

from proxy.pipeline.values.request_headers import RequestHeaders
from proxy.providers.transport.base import Room


class BodyTooLargeError(Exception):
    """A body that is larger than allowed."""


class BodyIncompleteError(Exception):
    """A body that ended before it was complete."""


class Reply(Protocol):
    """An answer as its downstream returns it, complete or begun. The server sends the rest."""


class Downstream(Protocol):
    """One request of a client and the way back. What is written to a client that has gone raises ConnectionError."""

    request_headers: RequestHeaders

    @property
    def path(self) -> str:
        """Return the path that is asked for, as it was sent."""
        ...

    @property
    def address(self) -> str:
        """Return where the client is, of IPv6 its network; empty where it is on this machine without an address."""
        ...

    @property
    def body(self) -> bytes | None:
        """Return all of the body, or None where it is still to be read."""
        ...

    async def read_body(self, max_bytes: int, timeout_s: float) -> bytes:
        """Read the body as it comes; raises BodyTooLargeError, BodyIncompleteError or TimeoutError."""
        ...

    def whole(self, status: int, headers: Mapping[str, str], body: bytes, now_ms: int, *, close: bool = False) -> Reply:
        """Return a complete answer, which the server writes. close: no further request is read from this client."""
        ...

    def whole_of_lines(self, status: int, lines: str, body: bytes, now_ms: int) -> Reply:
        """Return a complete answer, which the server writes. lines: its headers, each with its end."""
        ...

    def send_ahead(self, status: int, lines: str, body: bytes, held: int, now_ms: int) -> Reply | None:
        """Write a complete answer but its last bytes, as many as held says, and return what has these alone left.

        lines: as of whole_of_lines(). None: nothing was written, as nobody reads it yet.
        """
        ...

    def begin(self, status: int, lines: str, now_ms: int) -> Reply:
        """Write the head of an answer whose pieces follow; the server writes its end.

        lines: as of whole_of_lines().
        """
        ...

    def write(self, data: bytes) -> bool:
        """Write a piece, which is not empty, of the answer that was begun; False: await drained() before the next."""
        ...

    def chunks_writer(self) -> tuple[Callable[[bytes], object], Room] | None:
        """Return what writes pieces that have the framing of chunks of HTTP/1.1, and the room for them; None: nothing.

        Written to a client that has gone they are lost: the request is told of that.
        """
        ...

    async def drained(self) -> None:
        """Wait until most is sent or the client is gone."""
        ...

    def cut(self) -> None:
        """Drop the client, with all that is unsent."""
        ...

    def interrupt(self) -> None:
        """Raise CancelledError where the request waits."""
        ...
