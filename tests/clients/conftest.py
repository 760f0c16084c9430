"""A proxy and a simulator for all turns of one client."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.clients.program import Program, running
from tests.support.installation import token_hash_of
from tests.support.stand import Stand
from tests.support.stand import stand as run_stand

pytest.register_assert_rewrite("tests.clients.matrix")

_CONFIG = {
    "users": {
        "anna": {"limits": {"cost": "$100/month"}},
        "spender": {"token_hash": token_hash_of("spender"), "limits": {"cost": "$0.01/month"}},
        "narrow": {"token_hash": token_hash_of("narrow"), "models": ["anthropic/*"]},
    }
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stand]:
    async with run_stand(tmp_path_factory.mktemp("proxy"), _CONFIG) as found:
        yield found


@pytest_asyncio.fixture(scope="class", loop_scope="module")
async def program(
    request: pytest.FixtureRequest, served: Stand, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Program]:
    del served  # ends after the program, so that no connection is left
    async with running(request.cls.program_file, tmp_path_factory.mktemp("home")) as found:
        yield found
