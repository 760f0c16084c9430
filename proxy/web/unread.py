"""A client that does not read its answer: what is unsent for it is memory, and its connection is cut in the end."""

import asyncio


class Unread:
    """Watch over a connection with much that is unsent: nothing of it sent within stall_s cuts it.

    A client that reads slowly is left alone for as long as it reads. Made when asyncio calls pause_writing(), stopped
    at resume_writing() and at the connection's end.
    """

    __slots__ = ("_loop", "_stall_s", "_timer", "_transport", "_unsent_bytes")

    def __init__(self, loop: asyncio.AbstractEventLoop, transport: asyncio.Transport, stall_s: float) -> None:
        self._loop = loop
        self._transport = transport
        self._stall_s = stall_s
        self._unsent_bytes = transport.get_write_buffer_size()
        self._timer = loop.call_later(stall_s, self._look)

    def stop(self) -> None:
        self._timer.cancel()

    def _look(self) -> None:
        unsent_bytes = self._transport.get_write_buffer_size()
        if unsent_bytes >= self._unsent_bytes:
            self._transport.abort()
            return
        self._unsent_bytes = unsent_bytes
        self._timer = self._loop.call_later(self._stall_s, self._look)
