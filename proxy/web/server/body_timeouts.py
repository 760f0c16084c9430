"""How long the lane waits for the rest of a body: one timer for all connections, in place of two for each request.

Many clients send head and body one after the other, so that a request of theirs comes in two pieces.
"""

import asyncio
from typing import Protocol

_WAIT_S = 0.25  # a body follows its head at once


class WaitingConnection(Protocol):
    """A connection that waits for a body."""

    def body_is_late(self) -> None:
        """Stop waiting for the rest of the body."""
        ...


class BodyTimeouts:
    """Connections whose body is incomplete, in the order in which their heads came."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._due_s: dict[WaitingConnection, float] = {}  # in the loop's time
        self._is_timed = False

    def expect(self, connection: WaitingConnection) -> None:
        """Call body_is_late() unless came() is called within a quarter of a second, or little later."""
        self._due_s[connection] = self._loop.time() + _WAIT_S
        if not self._is_timed:
            self._is_timed = True
            self._loop.call_later(_WAIT_S, self._look)

    def remove(self, connection: WaitingConnection) -> None:
        """Remove a connection: its body is complete, or nobody waits for it any more."""
        self._due_s.pop(connection, None)

    def _look(self) -> None:
        now_s = self._loop.time()
        late = [connection for connection, due_s in self._due_s.items() if due_s <= now_s]
        for connection in late:
            del self._due_s[connection]
        self._is_timed = bool(self._due_s)
        if self._due_s:
            self._loop.call_at(next(iter(self._due_s.values())), self._look)
        for connection in late:
            connection.body_is_late()
