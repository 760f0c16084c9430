"""A stop of everything while 500 requests run, wait and fall back, on a real process: none is admitted any more."""

import asyncio
import signal
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.control import Controls
from tests.support.installation import ADMIN_TOKEN, settings, token_hash_of, token_of, write_config
from tests.support.patience import eventually
from tests.support.process import Process, serving
from tests.support.raw import Client, connect, request_bytes
from tests.support.stand import CHAT, MESSAGES, MODEL, read_rows

COUNT = 500
STREAMS = 60
STOPS = "/admin/v1/stops"
CONFIG: dict[str, Any] = {
    "users": {"bob": {"token_hash": token_hash_of("bob"), "limits": {"cost": "$0.02/day"}}},
    "presets": {"both": {"targets": ["openai/gpt-4o", MODEL]}},
    "quotas": {"wait_s": 60, "on_over_budget": "refuse"},
    "server": {"shutdown_timeout_s": 5},
}
KINDS: list[tuple[str, dict[str, Any]]] = [
    ("anna", {}),
    ("anna", {"stream": True}),
    ("anna", {"model": "both"}),  # its first target fails
    ("bob", {"max_tokens": 3000}),  # waits for room most of the time
]


@dataclass
class Load:
    """500 clients that ask again and again until they are told to end."""

    port: int
    statuses: Counter[str] = field(default_factory=Counter)
    is_over: bool = False

    async def client(self, n: int) -> None:
        user, fields = KINDS[n % len(KINDS)]
        body = {"model": MODEL, "messages": MESSAGES, **fields}
        while not self.is_over:
            async with await connect(self.port) as client:
                await client.send(request_bytes("POST", CHAT, body, token=token_of(user)))
                answer = await client.read_answer(patience_s=60)
            assert answer.end == "complete"
            is_stopped = answer.status == 503 and answer.json()["error"]["code"] == "stopped"
            self.statuses["stopped" if is_stopped else str(answer.status)] += 1
            if is_stopped:
                await asyncio.sleep(0.5)


async def admin(process: Process, method: str, path: str, body: Any = None) -> Any:
    answer = await process.ask(method, path, body, token=ADMIN_TOKEN)
    assert answer.status in (200, 201), answer.body
    return answer.json()["data"]


async def rows(folder: Path, query: str = "SELECT * FROM usage ORDER BY request_id") -> list[dict[str, Any]]:
    return await asyncio.to_thread(read_rows, folder / "ledger.db", query)


async def settled(folder: Path) -> list[dict[str, Any]]:
    async def look() -> list[dict[str, Any]]:
        found = await rows(folder)
        return found if all(row["state"] in ("settled", "released") for row in found) else []

    return await eventually(look)


async def test_none_is_admitted_after_a_stop_and_every_cent_is_booked(tmp_path: Path, sim: Controls) -> None:
    path = write_config(tmp_path, settings(sim.url, CONFIG))
    async with serving(tmp_path, path) as process:
        await _priced(process)
        await sim.behave("all", delay_ms=150, completion_tokens=20, pace_ms=5, provider="OpenAI")
        await sim.behave("model:openai/gpt-4o", error="provider-error", delay_ms=50)
        await _stop_under_load(tmp_path, sim, process)
        process.signal(signal.SIGKILL)
        await process.ended()
    async with serving(tmp_path, path) as process:
        refused = await process.ask("POST", CHAT, {"model": MODEL, "messages": MESSAGES})
        assert (refused.status, refused.json()["error"]["code"]) == (503, "stopped")
        await settled(tmp_path)
        (stop,) = await admin(process, "GET", STOPS)
        await admin(process, "DELETE", f"{STOPS}/{stop['id']}")
        await _priced(process)
        await _cut_streams(tmp_path, sim, process)
        assert (await admin(process, "GET", "/admin/v1/audit/verification"))["is_whole"]


async def _stop_under_load(folder: Path, sim: Controls, process: Process) -> None:
    load = Load(process.port)
    clients = [asyncio.ensure_future(load.client(n)) for n in range(COUNT)]

    async def is_busy() -> bool:
        return load.statuses["200"] > COUNT // 2

    await eventually(is_busy)
    await admin(process, "POST", STOPS, {"kind": "all", "reason": "A test"})

    async def counts() -> tuple[int, int]:
        return len(await sim.requests()), len(await rows(folder))

    async def is_still() -> bool:
        before = await counts()
        await asyncio.sleep(0.5)
        return await counts() == before

    await eventually(is_still)  # on a busy machine some were still on their way
    before = await counts()
    await asyncio.sleep(1.0)
    assert load.statuses["stopped"] > 0
    load.is_over = True
    await asyncio.gather(*clients)
    assert await counts() == before
    assert set(load.statuses) <= {"200", "402", "stopped"}, load.statuses
    found = await settled(folder)
    assert sum(row["cost_pusd"] for row in found) == (await sim.books())["total_pusd"]
    assert [row for row in found if row["flags"]] == []  # all ran to their ends


async def _cut_streams(folder: Path, sim: Controls, process: Process) -> None:
    await sim.behave("all", completion_tokens=3000, pace_ms=20, provider="OpenAI")
    clients: list[Client] = []
    for _ in range(STREAMS):
        client = await connect(process.port)
        body = {"model": MODEL, "messages": MESSAGES, "stream": True}
        await client.send(request_bytes("POST", CHAT, body, token=process.token))
        clients.append(client)
    await asyncio.gather(*(client.read_until(b'"delta"') for client in clients))
    before = {row["request_id"] for row in await rows(folder) if row["state"] in ("settled", "released")}
    await admin(process, "POST", STOPS, {"kind": "all", "reason": "A leak", "cut": True})
    ends = await asyncio.gather(*(client.read_until(b"\r\n0\r\n\r\n") for client in clients))
    assert all(b"A leak" in end for end in ends)
    await asyncio.gather(*(client.close() for client in clients))
    found = await settled(folder)
    cut = [row for row in found if row["request_id"] not in before]
    assert {(row["error"], row["flags"]) for row in cut} == {("stopped", "stopped")}
    assert len(cut) == STREAMS
    assert sum(row["cost_pusd"] for row in found) == (await sim.books())["total_pusd"]


async def _priced(process: Process) -> None:
    """Wait for the first list of models: a request that comes before it reserves nothing."""

    async def look() -> bool:
        return MODEL.encode() in (await process.ask("GET", "/v1/models")).body

    await eventually(look)
