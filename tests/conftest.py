"""Fixtures for every test: a whole installation, in the test's loop or as a process (tests/support/ has the parts)."""

import gc
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support.compiled import pytest_runtest_setup
from tests.support.control import Controls
from tests.support.sampling import pytest_collection_modifyitems
from tests.support.stand import Stand
from tests.support.stand import simulator as run_simulator
from tests.support.stand import stand as run_stand

# how long an example takes says how busy the machine is
settings.register_profile("untimed", parent=settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

# leave out what a sampled run does not take, and what the compiled build cannot
__all__ = ["pytest_collection_modifyitems", "pytest_runtest_setup"]


# a shell lets what it starts in the background ignore Ctrl-C, and so would every process that a test ends by it
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish() -> None:
    """Keep the modules and items out of the collections to come: they live as long as the process."""
    gc.collect()
    gc.freeze()


@pytest.fixture
async def stand(tmp_path: Path) -> AsyncIterator[Stand]:
    """A proxy and its simulator in the test's loop; nothing may be left of them."""
    async with run_stand(tmp_path) as found:
        yield found


@pytest.fixture
async def sim() -> AsyncIterator[Controls]:
    """A simulator alone, for a proxy that runs as a process."""
    async with run_simulator() as found:
        yield found
