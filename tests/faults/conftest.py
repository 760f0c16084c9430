"""Fixtures for faults: a proxy with raw providers behind it, held against all books at its end."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.faults.place import Place, place

Open = Callable[..., Awaitable[Place]]


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncIterator[Open]:
    """Give a function that opens the test's proxy with a configuration."""
    async with AsyncExitStack() as stack:

        async def open_(*args: Any, **more: Any) -> Place:
            return await stack.enter_async_context(place(tmp_path, *args, **more))

        yield open_
