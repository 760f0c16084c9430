"""A proxy that is killed while it answers, before the end of its request is on disk: a process of its own.

python killed_request.py FOLDER NOW_MS: runs the configuration of FOLDER at that time, asks for a stream, and is gone
as soon as the ledger has the provider's id of it.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path

from proxy.app import App
from proxy.config.load import load_file
from tests.support.installation import token_of
from tests.support.moved_clock import MovedClock
from tests.support.patience import eventually
from tests.support.raw import connect, request_bytes
from tests.support.stand import CHAT, MESSAGES, MODEL, models_known, read_rows


async def main(folder: Path, now_ms: int) -> None:
    loaded = load_file(folder / "config.yaml", {})
    app = App(lambda: loaded, clock=MovedClock(now_ms))
    await app.start(loaded)
    await models_known(app)
    client = await connect(app.port)
    body = {"model": MODEL, "messages": MESSAGES, "stream": True, "max_tokens": 200}
    await client.send(request_bytes("POST", CHAT, body, token=token_of("anna")))
    await client.read_until(b"data: {")

    async def is_noted() -> bool:
        query = "SELECT 1 FROM requests WHERE state = 'open' AND generation_id IS NOT NULL"
        return bool(read_rows(folder / "ledger.db", query))

    await eventually(is_noted)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
