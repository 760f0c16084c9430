"""`tollkeeper serve` as a real process."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.support.installation import token_of
from tests.support.patience import eventually
from tests.support.raw import Answer, ask

_READY = re.compile(r"API\s+http://\S+?:(\d+)/v1")


class Process:
    """One started command; stderr is collected in a file."""

    def __init__(self, child: asyncio.subprocess.Process, stderr: Path) -> None:
        self.child = child
        self._stderr = stderr
        self.port = 0
        self.token = token_of("anna")

    @property
    def pid(self) -> int:
        return self.child.pid

    def stderr(self) -> str:
        return self._stderr.read_text(errors="replace")

    async def ready(self) -> None:
        """Wait for the start screen; raises AssertionError with stderr when the process ends before it."""

        async def look() -> bool:
            assert self.child.returncode is None, f"it ended with {self.child.returncode}: {self.stderr()}"
            return "Ready in" in self.stderr()

        await eventually(look)
        found = _READY.search(self.stderr())
        assert found is not None, self.stderr()
        self.port = int(found[1])

    def signal(self, number: signal.Signals) -> None:
        self.child.send_signal(number)

    async def ended(self) -> int:
        """Wait for the end and give the exit code."""
        return await asyncio.wait_for(self.child.wait(), 60)

    async def stop(self) -> int:
        if self.child.returncode is None:
            self.signal(signal.SIGTERM)
        return await self.ended()

    async def ask(self, method: str, path: str, body: Any = None, **more: Any) -> Answer:
        return await ask(self.port, method, path, body, **{"token": self.token, **more})


def clean_environment(folder: Path, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Give an environment without the settings and keys of whoever runs the tests."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("TOLLKEEPER_", "OPENROUTER_", "OPENAI_")) and name != "STATE_DIRECTORY"
    }
    return {**kept, "HOME": str(folder), "PYTHONPATH": str(Path(__file__).parents[2]), **(more or {})}


@asynccontextmanager
async def started(
    folder: Path,
    *arguments: str,
    environ: Mapping[str, str] | None = None,
    name: str = "serve",
    program: tuple[str, ...] = ("-m", "proxy"),
) -> AsyncIterator[Process]:
    """Start `python <program> <arguments>` in folder; it is killed at the end if it still runs."""
    stderr = folder / f"{name}.stderr"
    with stderr.open("wb") as log:
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            *program,
            *arguments,
            cwd=folder,
            env=clean_environment(folder, environ),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=log,
        )
    process = Process(child, stderr)
    try:
        yield process
    finally:
        if child.returncode is None:
            child.kill()
        await child.wait()


@asynccontextmanager
async def serving(
    folder: Path, config: Path, *arguments: str, environ: Mapping[str, str] | None = None
) -> AsyncIterator[Process]:
    """Run `serve` with a configuration on a free port until the end of the block; it is ready when the block begins."""
    async with started(folder, "serve", "-c", str(config), *arguments, environ=environ) as process:
        await process.ready()
        yield process
