"""A queue with a bound and the thread that empties it, for work that must not slow down whoever hands it in."""

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

log = logging.getLogger("tollkeeper.batch_thread")

_GATHER_S = 0.2  # items are handled together: a wake-up for each would cost more than most work on one


class BatchThread(Generic[T]):
    """Calls handle on a thread of its own with the items that have gathered. What finds no room is dropped and counted.

    put() is for one thread only. handle is told how many were dropped since it was called last.
    """

    def __init__(self, name: str, handle: Callable[[list[T], int], None], items_max: int) -> None:
        """Start the thread; what handle raises is logged, and the items it was given are lost."""
        self.items: deque[T] = deque()
        self._handle = handle
        self._items_max = items_max
        self._dropped = 0
        self._is_idle = True  # the thread waits to be woken
        self._wake = threading.Event()
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def put(self, item: T) -> None:
        """Queue an item."""
        items = self.items
        if len(items) >= self._items_max:
            self._dropped += 1
            return
        items.append(item)
        if self._is_idle:
            self._is_idle = False
            self._wake.set()

    @property
    def is_alive(self) -> bool:
        """Return whether items are handled; also true once it was closed."""
        return self._is_closed or self._thread.is_alive()

    def close(self) -> None:
        """Handle what is queued and end the thread."""
        self._is_closed = True
        self._wake.set()
        self._thread.join()

    def _run(self) -> None:
        pause = threading.Event()  # never set, so that nothing ends this wait early
        while not self._is_closed:
            self._wake.wait()
            self._wake.clear()
            if not self._is_closed:
                pause.wait(_GATHER_S)
            self._is_idle = True  # cleared before the queue is emptied: later entries wake the thread again
            self._empty()
        self._empty()

    def _empty(self) -> None:
        take = self.items.popleft
        items = [take() for _ in range(len(self.items))]
        dropped, self._dropped = self._dropped, 0
        if not items and not dropped:
            return
        try:
            self._handle(items, dropped)
        except Exception:
            log.exception("batch.failed", extra={"queue": self._thread.name, "items": len(items)})
