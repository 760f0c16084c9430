"""python -m proxy.simulator: says that it is ready, serves, stops on a signal."""

import asyncio
import contextlib
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator

import httpx
import pytest

COMMAND = (sys.executable, "-m", "proxy.simulator")


@contextlib.asynccontextmanager
async def running(*arguments: str) -> AsyncIterator[tuple[Process, str]]:
    process = await asyncio.create_subprocess_exec(*COMMAND, *arguments, stdout=PIPE, stderr=PIPE)
    assert process.stdout is not None
    try:
        line = (await process.stdout.readline()).decode()
        assert line.startswith("simulator ready http://127.0.0.1:")
        yield process, line.split()[-1]
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@pytest.mark.skipif(sys.platform == "win32", reason="no signals")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_serves_and_stops(number: signal.Signals) -> None:
    async with running("--port", "0", "--seed", "3") as (process, url), httpx.AsyncClient(base_url=url) as client:
        assert (await client.get("/api/v1/models")).status_code == 200
        assert (await client.post("/_sim/reset", json={})).json()["seed"] == 3
        process.send_signal(number)
        assert await process.wait() == 0


@pytest.mark.skipif(sys.platform == "win32", reason="Windows lets two listen")
async def test_a_taken_port_is_told() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        process = await asyncio.create_subprocess_exec(*COMMAND, "--port", port, stdout=PIPE, stderr=PIPE)
        _, stderr = await process.communicate()
    assert process.returncode == 3
    assert f"cannot listen on 127.0.0.1:{port}" in stderr.decode()
