"""One rendering at a time, however many ask: those who come while one is made share the next."""

import asyncio
from collections.abc import Awaitable, Callable


class SharedRendering:
    """Renderings by their kind. Each begins after whoever gets it has asked, so that none is old."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._next: dict[str, asyncio.Task[bytes]] = {}

    async def get(self, kind: str, render: Callable[[], Awaitable[bytes]]) -> bytes:
        """Return the rendering of a kind that begins next; whoever comes first has its render called."""
        task = self._next.get(kind)
        if task is None:
            task = self._next[kind] = asyncio.ensure_future(self._rendered(kind, render))
        return await asyncio.shield(task)

    async def _rendered(self, kind: str, render: Callable[[], Awaitable[bytes]]) -> bytes:
        async with self._turn:
            del self._next[kind]
            return await render()
