"""A stand with a route of two and one of six targets, for each test of its own."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.stand import Stand
from tests.support.stand import stand as run_stand

SIX = [f"openai/{name}" for name in ("gpt-5", "gpt-5-mini", "gpt-5-nano", "gpt-4o", "gpt-4.1-mini", "gpt-4o-mini")]


@pytest_asyncio.fixture(params=[True, False], ids=["lane", "general"])
async def stand(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Stand]:
    more = {"server": {"fast_path": request.param}, "presets": {"two": SIX[-2:], "six": SIX}}
    async with run_stand(tmp_path, more) as found:
        yield found
