"""A running simulator with frozen time, and a plain HTTP client for it."""

from collections.abc import AsyncIterator

import httpx
import pytest

from proxy.simulator.server import Simulator

SEED = 7
CREATED = 1_793_539_200
KEY = "sk-or-v1-0000000000000000000000000000000000000000000000000000000000000007"
MANAGEMENT_KEY = "sk-or-v1-management-0001"


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    simulator = Simulator(seed=SEED)
    await simulator.start()
    try:
        yield simulator
    finally:
        await simulator.close()


@pytest.fixture
async def client(simulator: Simulator) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"Authorization": f"Bearer {KEY}"}
    async with httpx.AsyncClient(base_url=simulator.url, headers=headers, timeout=10, trust_env=False) as client:
        answer = await client.post("/_sim/reset", json={"seed": SEED, "created": CREATED})
        assert answer.status_code == 200
        yield client


@pytest.fixture
def manager() -> dict[str, str]:
    return {"Authorization": f"Bearer {MANAGEMENT_KEY}"}
