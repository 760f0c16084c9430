"""The whole proxy on a ledger in memory: requests, limits, users and usage need no file and no SQL."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from proxy.app.storage import Storage
from proxy.config.schema import Settings
from tests.contracts.memory_ledger import MemoryLedger, MemoryReports, Store
from tests.support.installation import ADMIN_TOKEN
from tests.support.patience import eventually
from tests.support.raw import Answer, ask
from tests.support.stand import CHAT, MESSAGES, MODEL, Stand, stand

LIMITED = {"users": {"anna": {"limits": {"requests": "3/day", "cost": "$5/day"}}}}


@asynccontextmanager
async def in_memory(folder: Path, store: Store) -> AsyncIterator[Stand]:
    def open_storage(_settings: Settings, loop: asyncio.AbstractEventLoop) -> Storage:
        return Storage(MemoryLedger(store, loop), MemoryReports(store))

    async with stand(folder, LIMITED, open_storage=open_storage) as found:
        yield found


async def admin(found: Stand, operation: str, body: dict[str, Any]) -> Any:
    answer = await ask(found.port, "POST", f"/admin/v1/{operation}", body, token=ADMIN_TOKEN)
    assert answer.status == 200, answer.body
    return json.loads(answer.body)["data"]


async def settled(store: Store, count: int) -> int:
    """Wait until so many requests have ended; return what they cost, in pico-USD."""

    async def look() -> bool:
        return sum(booked.has_ended for booked in store.requests.values()) == count

    await eventually(look)
    return sum(booked.cost_pusd for booked in store.requests.values())


def body_of(answer: Answer) -> Any:
    assert answer.status == 200, answer.body
    return json.loads(answer.body)


async def test_requests_limits_and_usage_need_no_file(tmp_path: Path) -> None:
    store = Store()
    async with in_memory(tmp_path, store) as found:
        first = await found.chat()
        assert first.status == 200
        streamed = await found.chat({"stream": True})
        assert streamed.status == 200
        cost_pusd = await settled(store, 2)
        assert cost_pusd > 0
        books = await found.sim.books()
        assert cost_pusd == sum(entry["charged_pusd"] for entry in books["generations"].values())
        usage = body_of(await found.ask("GET", "/v1/me/usage"))
        assert (usage["requests"], usage["cost_pusd"]) == (2, cost_pusd)
        id_ = json.loads(first.body)["id"]
        shown = body_of(await found.ask("GET", f"/v1/generation?id={id_}"))
        assert shown["data"]["total_cost"] > 0
        assert body_of(await found.ask("GET", "/v1/key"))["data"]["usage"] > 0
        assert (await found.chat()).status == 200
        assert (await found.chat()).status == 402
        await settled(store, 3)
        assert not found.database.exists()


async def test_a_restart_counts_what_was_booked(tmp_path: Path) -> None:
    store = Store()
    async with in_memory(tmp_path, store) as found:
        for _ in range(3):
            assert (await found.chat()).status == 200
        await settled(store, 3)
    async with in_memory(tmp_path, store) as found:
        assert (await found.chat()).status == 402


async def test_users_and_keys_of_requests(tmp_path: Path) -> None:
    store = Store()
    async with in_memory(tmp_path, store) as found:
        await admin(found, "users/add", {"name": "eve"})
        token = (await admin(found, "tokens/add", {"user": "eve"}))["token"]
        assert [user["name"] for user in await admin(found, "users/list", {})] == ["eve"]
        body, headers = {"model": MODEL, "messages": MESSAGES}, [("Idempotency-Key", "k-1")]
        assert (await ask(found.port, "POST", CHAT, body, token=token, headers=headers)).status == 200
        await settled(store, 1)
        again = await ask(found.port, "POST", CHAT, body, token=token, headers=headers)
        assert (again.status, json.loads(again.body)["error"]["code"]) == (409, "idempotency_finished")
        assert len(await found.sim.requests()) == 1
