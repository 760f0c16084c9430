"""Clients that do not read their answer: unsent bytes take memory, so their connection is closed in the end."""

import asyncio
import struct
import sys

if sys.platform != "win32":
    import fcntl
    import termios


class UnreadAnswers:
    """Watch over a connection with much that is unsent: nothing of it taken by the client within stall_s cuts it.

    A client that reads slowly may do so for as long as it reads. Made when asyncio calls pause_writing(), stopped
    at resume_writing() and at the connection's end.
    """

    __slots__ = ("_loop", "_stall_s", "_timer", "_transport", "_unsent_bytes")

    def __init__(self, loop: asyncio.AbstractEventLoop, transport: asyncio.Transport, stall_s: float) -> None:
        self._loop = loop
        self._transport = transport
        self._stall_s = stall_s
        self._unsent_bytes = unsent_bytes(transport)
        self._timer = loop.call_later(stall_s, self._look)

    def stop(self) -> None:
        self._timer.cancel()

    def _look(self) -> None:
        left_bytes = unsent_bytes(self._transport)
        if left_bytes >= self._unsent_bytes:
            self._transport.abort()
            return
        self._unsent_bytes = left_bytes
        self._timer = self._loop.call_later(self._stall_s, self._look)


def unsent_bytes(transport: asyncio.Transport) -> int:
    """Return what waits here and, where the system tells it, in the kernel.

    Linux takes more only when a third of its own buffer, often a megabyte, has gone out: by that measure alone a slow
    reader would look like one that reads nothing.
    """
    waiting_bytes = transport.get_write_buffer_size()
    if sys.platform == "win32":
        return waiting_bytes
    sock = transport.get_extra_info("socket")
    try:
        queued = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, struct.pack("i", 0))
    except OSError:
        return waiting_bytes
    return waiting_bytes + int(struct.unpack("i", queued)[0])
