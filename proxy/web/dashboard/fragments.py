"""Parts of pages that many viewers look at at once: made once for all of them within a short time."""

import asyncio
from collections.abc import Awaitable, Callable
from hashlib import blake2b
from typing import Final, NamedTuple

from proxy.core.clock import Clock

_FRESH_S: Final = 1.0
_KEPT_MAX: Final = 200
_ETAG_BYTES: Final = 12

FragmentKey = tuple[str, str]  # an address with its query, and who may see it: a role, or a user's name
Stamp = tuple[int, ...]  # numbers that differ whenever something has happened that pages show


class MadeFragment(NamedTuple):
    """A fragment's bytes, their ETag, the event of a stream that brings them, and the stamp before they were made."""

    content: bytes
    etag: str
    event: bytes
    stamp: Stamp


class FragmentCache:
    """What was made within the last second, by address. One writer: the event loop."""

    def __init__(self) -> None:
        self._made: dict[FragmentKey, tuple[float, asyncio.Future[MadeFragment]]] = {}

    async def read(
        self, key: FragmentKey, clock: Clock, make: Callable[[], Awaitable[str]], stamp: Stamp = ()
    ) -> MadeFragment:
        """Return a fragment that is at most a second old; whoever asks while it is being made waits for the same.

        stamp: of this moment. A fragment that was kept has that of the moment at which its making began.
        """
        now_s = clock.monotonic_s()
        found = self._made.get(key)
        if found is None or now_s - found[0] > _FRESH_S or _has_failed(found[1]):
            self._forget_old(now_s)
            found = (now_s, asyncio.ensure_future(_marked(make, stamp)))
            found[1].add_done_callback(_has_failed)  # else a failure that nobody waits for any more would be logged
            self._made[key] = found
        made = found[1]
        return made.result() if made.done() else await asyncio.shield(made)

    def _forget_old(self, now_s: float) -> None:
        if len(self._made) < _KEPT_MAX:
            return
        self._made = {key: each for key, each in self._made.items() if now_s - each[0] <= _FRESH_S}
        while len(self._made) >= _KEPT_MAX:
            del self._made[next(iter(self._made))]


async def _marked(make: Callable[[], Awaitable[str]], stamp: Stamp) -> MadeFragment:
    return await asyncio.to_thread(_fragment_of, await make(), stamp)


def _fragment_of(text: str, stamp: Stamp) -> MadeFragment:
    content = text.encode()
    # a line of the event each: a browser joins them again, and HTML knows no other ends of lines either
    lines = text.replace("\r\n", "\n").replace("\r", "\n").replace("\n", "\ndata: ")
    etag = blake2b(content, digest_size=_ETAG_BYTES).hexdigest()
    return MadeFragment(content, f'"{etag}"', f"event: part\ndata: {lines}\n\n".encode(), stamp)


def _has_failed(made: "asyncio.Future[MadeFragment]") -> bool:
    return made.done() and (made.cancelled() or made.exception() is not None)
