"""The demo as a process: a proxy with weeks of made-up people, for a browser to look at."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import orjson

from tests.support.patience import eventually
from tests.support.raw import Answer, ask

ROOT: Final = Path(__file__).resolve().parents[3]


@dataclass(frozen=True, slots=True)
class DemoProxy:
    """A running demo. tokens: of the made-up people, by name."""

    folder: Path
    port: int
    admin_token: str
    user_token: str
    tokens: Mapping[str, str]

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def admin(self, method: str, path: str, body: Any = None) -> Any:
        """Ask the operator's API below /admin/v1; return the data of the answer."""
        answer = await self.ask(method, f"/admin/v1{path}", body, token=self.admin_token)
        assert answer.status < 400, answer.body
        return answer.json()["data"]

    async def ask(self, method: str, path: str, body: Any = None, *, token: str) -> Answer:
        return await ask(self.port, method, path, body, token=token)


@asynccontextmanager
async def demo_proxy(folder: Path, *arguments: str) -> AsyncIterator[DemoProxy]:
    """Run the demo in a folder on a free port."""
    with (folder / "out.log").open("w") as out, (folder / "err.log").open("w") as err:
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "proxy", "demo", "--port", "0", "--dir", str(folder), *arguments),
            cwd=folder,
            env={"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=out,
            stderr=err,
        )

        async def is_ready() -> bool:
            assert child.returncode is None, (folder / "err.log").read_text()
            return "Ctrl-C ends it." in (folder / "out.log").read_text()

        try:
            await eventually(is_ready)
            yield _read(folder)
        finally:
            if child.returncode is None:
                child.send_signal(signal.SIGTERM)
            await child.wait()


def _read(folder: Path) -> DemoProxy:
    env = dict(line.split("=", 1) for line in (folder / "demo.env").read_text().splitlines())
    weeks = folder / "weeks.json"
    tokens = orjson.loads(weeks.read_bytes())["tokens"] if weeks.exists() else {}
    return DemoProxy(
        folder,
        urlsplit(env["OPENAI_BASE_URL"]).port or 0,
        env["TOLLKEEPER_ADMIN_TOKEN"],
        env["OPENAI_API_KEY"],
        {name: one["token"] for name, one in tokens.items()},
    )
