"""A request that a kill of the proxy cut is found and explained after the next start."""

import asyncio
import signal
from pathlib import Path

from click.testing import CliRunner

from proxy.cli import tollkeeper
from tests.support.installation import settings, token_of, write_config
from tests.support.patience import eventually
from tests.support.process import serving
from tests.support.raw import connect, request_bytes
from tests.support.stand import CHAT, MESSAGES, MODEL, read_rows, simulator


async def test_why_after_a_kill(tmp_path: Path) -> None:
    database = tmp_path / "ledger.db"
    body = {"model": MODEL, "messages": MESSAGES, "max_tokens": 50}
    async with simulator() as sim:
        config = write_config(tmp_path, settings(sim.url, {"users": {"anna": {"limits": {"cost": "$5/day"}}}}))

        async def why(id_: str) -> str:
            ran = await asyncio.to_thread(CliRunner().invoke, tollkeeper, ["why", id_, "-c", str(config)])
            assert ran.exit_code == 0, ran.output
            return ran.stdout

        async def look() -> list[str]:
            rows = await asyncio.to_thread(read_rows, database, "SELECT id FROM refusals")
            return [f"req_{row['id']:016x}" for row in rows]

        async with serving(tmp_path, config) as process:
            answer = await process.ask("POST", CHAT, body, token=token_of("nobody"))
            assert [answer.header("x-request-id")] == await eventually(look)
            await sim.behave("next", delay_ms=60_000)
            async with await connect(process.port) as client:
                await client.send(request_bytes("POST", CHAT, body, token=process.token))

                async def arrived() -> bool:
                    return len(await sim.requests()) == 1

                await eventually(arrived)
                [row] = await asyncio.to_thread(read_rows, database, "SELECT request_id, state FROM usage")
                assert "It has not ended" in await why(row["request_id"])
                process.signal(signal.SIGKILL)
                await process.ended()
        await sim.normal()
        async with serving(tmp_path, config):
            assert "status 401 (invalid_api_key)" in await why(str(answer.header("x-request-id")))

            async def ended() -> str:
                text = await why(row["request_id"])
                return text if "Noted with it" in text else ""

            text = await eventually(ended)
            assert "was cut when the proxy was killed" in text
            assert "the amount set aside, because nobody can tell any more" in text
            assert "the proxy was killed while the request ran" in text
