"""Wake the event loop from another thread, by a descriptor of one's own.

loop.call_soon_threadsafe() makes two calls of the system and raises an error each time it wakes the loop, and a request
waits for the ledger's thread twice.
"""

import asyncio
import os
import sys
from collections.abc import Callable

_ONE = (1).to_bytes(8, sys.byteorder)  # what an eventfd takes; of a pipe it is eight bytes like any others
_READ_BYTES = 4096


class ThreadSignal:
    """Calls a function in the event loop after send(), which any thread may call; several may come to one call."""

    def __init__(self, loop: asyncio.AbstractEventLoop, called: Callable[[], None]) -> None:
        self._loop = loop
        self._called = called
        if hasattr(os, "eventfd"):
            self._reader = self._writer = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        else:  # macOS
            self._reader, self._writer = os.pipe()
            os.set_blocking(self._reader, False)
            os.set_blocking(self._writer, False)
        loop.add_reader(self._reader, self._read)

    def send(self) -> None:
        """Have the function called; raises RuntimeError where the loop is closed."""
        if self._loop.is_closed():
            raise RuntimeError("the event loop is closed")
        try:  # noqa: SIM105 - it would make an object for each commit
            os.write(self._writer, _ONE)
        except BlockingIOError:  # it is full of calls that are due already
            pass

    def close(self) -> None:
        """Stop; call it in the event loop, once no thread sends any more."""
        self._loop.remove_reader(self._reader)
        os.close(self._reader)
        if self._writer != self._reader:
            os.close(self._writer)

    def _read(self) -> None:
        try:
            os.read(self._reader, _READ_BYTES)
        except BlockingIOError:  # another wake-up has read it
            return
        self._called()
