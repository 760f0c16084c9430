"""One client in a process of its own, asked turn by turn."""

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-clients" / "bin" / "python"
_PATIENCE_S = 60  # no turn takes as long
_LINE_BYTES = 1 << 24  # a whole stream comes back as one line


@dataclass(frozen=True, slots=True)
class Turn:
    """What a client is asked to do; base_url ends in /v1, endpoint is chat, responses, messages or embeddings."""

    base_url: str
    token: str
    model: str
    endpoint: str
    stream: bool = False
    tool: bool = False
    retries: int | None = None  # None: as many as the client thinks right

    def line(self) -> bytes:
        fields = {name: getattr(self, name) for name in self.__slots__}
        return json.dumps(fields).encode() + b"\n"


class Program:
    """A running client."""

    def __init__(self, child: asyncio.subprocess.Process, stderr: Path) -> None:
        self._child = child
        self._stderr = stderr

    async def take(self, turn: Turn) -> Any:
        """Have it take one turn; gives the client's own object as JSON, or {"raised": {kind, status, text}}."""
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.write(turn.line())
        await self._child.stdin.drain()
        try:
            line = await asyncio.wait_for(self._child.stdout.readline(), _PATIENCE_S)
        except TimeoutError:
            self._child.kill()  # its answer would be taken for that of the next turn
            raise
        assert line, f"the client ended: {self._stderr.read_text(errors='replace')[-4000:]}"
        return json.loads(line)


@asynccontextmanager
async def running(program: str, folder: Path) -> AsyncIterator[Program]:
    """Run a program of tests/clients/python or /node in an empty home; it ends with the block.

    No client reaches beyond this machine: what looks for a proxy of the network finds a closed port.
    """
    source = Path(__file__).parent / program
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "HTTP_PROXY": "http://127.0.0.1:9",
        "HTTPS_PROXY": "http://127.0.0.1:9",
        "NO_PROXY": "127.0.0.1",
        "OPENAI_AGENTS_DISABLE_TRACING": "1",  # it would send traces to OpenAI with the user's token
    }
    stderr = folder / "client.stderr"
    with stderr.open("wb") as log:
        child = await asyncio.create_subprocess_exec(
            _interpreter(source),
            str(source),
            env=environ,
            cwd=folder,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
            limit=_LINE_BYTES,
        )
    try:
        yield Program(child, stderr)
    finally:
        assert child.stdin is not None
        child.stdin.close()
        try:
            await asyncio.wait_for(child.wait(), 20)
        except TimeoutError:
            child.kill()
            await child.wait()


def _interpreter(source: Path) -> str:
    if source.suffix == ".py":
        assert PYTHON.exists(), "the clients are not installed; run scripts/clients --setup"
        return str(PYTHON)
    node = shutil.which("node")
    if node is None or not (source.parent / "node_modules").is_dir():
        pytest.skip("node is missing, or was when scripts/clients --setup ran: its clients are not tried")
    return node
