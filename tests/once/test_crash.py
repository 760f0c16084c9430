"""A proxy that is killed in the middle of a request knows its Idempotency-Key when it is there again."""

import asyncio
import signal
from pathlib import Path

import pytest

from tests.quotas.place import body_of
from tests.support.control import Controls
from tests.support.installation import settings, write_config
from tests.support.patience import eventually
from tests.support.process import Process, serving
from tests.support.raw import connect, request_bytes
from tests.support.stand import CHAT, read_rows

HEADERS = [("Idempotency-Key", "order-66")]


async def _killed_with_one_open(folder: Path, config: Path, sim: Controls) -> None:
    async with serving(folder, config) as process:
        await sim.behave("next", delay_ms=60_000)
        async with await connect(process.port) as client:
            await client.send(request_bytes("POST", CHAT, body_of(), token=process.token, headers=HEADERS))

            async def arrived() -> bool:
                return len(await sim.requests()) == 1

            await eventually(arrived)
            process.signal(signal.SIGKILL)
            await process.ended()
    await sim.normal()


async def _ended(folder: Path) -> None:
    async def look() -> bool:
        (row,) = await asyncio.to_thread(read_rows, folder / "ledger.db", "SELECT state FROM requests")
        return bool(row["state"] in ("settled", "released"))

    await eventually(look)


@pytest.mark.parametrize("after_crash", ["charge", "release"])
async def test_after_a_kill(tmp_path: Path, sim: Controls, after_crash: str) -> None:
    """What may have been billed is not sent again; where the operator calls it free, it is."""
    more = {"ledger": {"after_crash": after_crash}}
    config = write_config(tmp_path, settings(sim.url, more))
    await _killed_with_one_open(tmp_path, config, sim)

    async def ask(process: Process, **fields: object) -> int:
        return (await process.ask("POST", CHAT, body_of(**fields), headers=HEADERS)).status

    async with serving(tmp_path, config) as process:
        await _ended(tmp_path)
        assert await ask(process, temperature=1) == 422
        assert await ask(process) == (409 if after_crash == "charge" else 200)
        assert len(await sim.requests()) == (1 if after_crash == "charge" else 2)
