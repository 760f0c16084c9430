"""Wait for what must come true, without saying how soon."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

_GIVE_UP_S = 30.0  # far beyond what anything takes: it ends a broken test, it measures nothing


async def eventually(look: Callable[[], Awaitable[T]]) -> T:
    """Call look until it gives something true; raises AssertionError with the last it gave."""
    deadline_s = asyncio.get_running_loop().time() + _GIVE_UP_S
    while not (found := await look()):
        assert asyncio.get_running_loop().time() < deadline_s, f"it never came true; last: {found!r}"
        await asyncio.sleep(0.02)
    return found
