"""Fixtures for quotas: installations that a test configures, restarts and moves through time."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.quotas.place import Place
from tests.quotas.place import place as run_place

Open = Callable[..., Any]


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncIterator[Open]:
    """Give a function that opens the test's installation with a configuration, and closes it at the end."""
    async with AsyncExitStack() as stack:

        async def open_(more: Mapping[str, Any] | None = None) -> Place:
            return await stack.enter_async_context(run_place(tmp_path, more))

        yield open_
