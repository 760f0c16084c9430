"""Answers that took long, kept for a while: a ledger of millions is not read anew for every look at a page."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from msgspec import Struct

from proxy.core.clock import Clock

T = TypeVar("T")
_FRESH_S: Final = 30.0
_STALE_MAX_S: Final = 600.0  # so long an old one is shown while it is read again
_KEPT_MAX: Final = 20


class _KeptAnswer(Struct):
    value: Any
    read_s: float
    reading: "asyncio.Task[Any] | None" = None


class AnswerCache:
    """The last answer for each key, the same for all who ask. One writer: the event loop."""

    def __init__(self) -> None:
        self._entries: dict[str, _KeptAnswer] = {}
        self._first: dict[str, asyncio.Task[Any]] = {}

    async def read(self, key: str, clock: Clock, make: Callable[[], Awaitable[T]]) -> T:
        """Return an answer: one that is kept while it is fresh, or for some minutes while it is read again."""
        now_s = clock.monotonic_s()
        entry = self._entries.get(key)
        if entry is None or now_s > entry.read_s + _STALE_MAX_S:
            task = self._first.get(key)
            if task is None:  # whoever asks meanwhile waits for the same
                task = self._first[key] = asyncio.ensure_future(self._make(key, clock, make))
                task.add_done_callback(lambda done: self._forget(key, done))
            found: T = await asyncio.shield(task)
            return found
        if now_s > entry.read_s + _FRESH_S and entry.reading is None:
            entry.reading = asyncio.ensure_future(self._make(key, clock, make))
            entry.reading.add_done_callback(_heard)
        kept: T = entry.value
        return kept

    async def close(self) -> None:
        """Stop reading."""
        tasks = [*self._first.values(), *(entry.reading for entry in self._entries.values() if entry.reading)]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _make(self, key: str, clock: Clock, make: Callable[[], Awaitable[T]]) -> T:
        try:
            value = await make()
        except BaseException:
            self._entries.pop(key, None)  # so that the next one asks, and sees why
            raise
        if len(self._entries) >= _KEPT_MAX and key not in self._entries:
            del self._entries[next(iter(self._entries))]
        self._entries[key] = _KeptAnswer(value, clock.monotonic_s())
        return value

    def _forget(self, key: str, done: "asyncio.Task[Any]") -> None:
        self._first.pop(key, None)
        _heard(done)


def _heard(done: "asyncio.Task[Any]") -> None:
    """Read a failure that nobody may be waiting for any more."""
    if not done.cancelled():
        done.exception()
