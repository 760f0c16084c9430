"""A whole run of sealed keys: added, used, rotated, refused, killed. No key is in any file, log, answer or argument."""

import asyncio
import contextlib
import json
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from proxy.web.admin.resources import TABLE
from tests.support.canary import canary, files, found
from tests.support.control import Controls
from tests.support.installation import settings, token_hash_of, write_config
from tests.support.process import Process, clean_environment, serving
from tests.support.raw import Answer, connect_unix, request_bytes
from tests.support.stand import CHAT, MESSAGES, MODEL

SECRETS = {
    "first": f"sk-or-v1-{canary('first')}",
    "second": f"sk-or-v1-{canary('second')}",
    "own": f"sk-or-v1-{canary('own')}",
    "refused": canary("refused"),
    "mistyped": f"{canary('mistyped')} \u00e9",
    "passphrase": canary("passphrase"),
}


class Operator:
    """Everything that is done to keys, over the socket; answers are kept to be searched."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.answers: list[tuple[str, bytes]] = []

    async def ask(self, method: str, path: str, body: Any = None) -> Answer:
        async with await connect_unix(str(self.folder / "ledger.db.sock")) as client:
            await client.send(request_bytes(method, f"/admin/v1/{path}", body))
            answer = await client.read_answer()
        self.answers.append((f"{method} {path}", answer.body))
        return answer

    async def done(self, method: str, path: str, body: Any = None) -> Any:
        answer = await self.ask(method, path, body)
        assert answer.status in (200, 201), answer.body
        return answer.json()["data"]


async def _bad_input(operator: Operator) -> None:
    good = {"provider": "openrouter", "secret": SECRETS["first"]}
    for body in (
        {**good, "secret": SECRETS["refused"]},
        {**good, "secret": SECRETS["mistyped"]},
        {**good, "secret": [SECRETS["first"]]},
        {**good, "weight": SECRETS["first"]},
        {**good, SECRETS["first"]: 1},
        {**good, "api_key": SECRETS["first"]},
        {**good, "provider": "nobody"},
        {**good, "provider": SECRETS["first"]},
    ):
        assert (await operator.ask("POST", "keys", body)).status == 422
    assert (await operator.ask("POST", "keys/openrouter:nobody/rotate", {"secret": SECRETS["first"]})).status == 404
    assert (await operator.ask("POST", "master-key/import", {"text": f"tkmk1:{SECRETS['first']}"})).status == 422


async def _run(process: Process, operator: Operator, sim: Controls) -> bytes:
    """Do all that can be done to a key; return the copy of the master key."""
    await _bad_input(operator)
    await operator.done("POST", "keys", {"provider": "openrouter", "secret": SECRETS["first"]})
    await operator.done("POST", "keys", {"provider": "openrouter", "secret": SECRETS["own"], "user": "anna"})
    await operator.done("GET", "keys")
    await operator.done("POST", "keys/openrouter:main/test")
    body = {"model": MODEL, "messages": MESSAGES}
    for named in ("error-user-not-found", "error-credits-insufficient", "rst-before-headers", "hang-after-3-chunks"):
        quoted = {"error_message": f"no {SECRETS['own']}"} if "error" in named else {}
        await sim.behave(named=named, **quoted)
        await process.ask("POST", CHAT, body)
    await operator.done("POST", "keys/openrouter:main/rotate", {"secret": SECRETS["second"]})
    await process.ask("POST", CHAT, body)
    await operator.done("PATCH", "keys/openrouter:own-anna", {"disabled": True})
    await process.ask("POST", CHAT, body)
    await operator.done("POST", "master-key/rotate", {})
    exported = await operator.done("POST", "master-key/export", {"passphrase": SECRETS["passphrase"]})
    await operator.done("GET", "master-key")
    await operator.done("DELETE", "keys/openrouter:own-anna")
    operator.answers.append(("readyz", (await process.ask("GET", "/readyz?verbose")).body))
    for route in TABLE.routes:  # whatever else tells of the configuration, or of what was changed
        if route.method == "GET" and "{" not in route.path:
            await operator.ask("GET", route.path.removeprefix("/"))
    return str(exported["copy_text"]).encode()


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells what others see of a process")
async def test_no_sealed_key_is_written_down_anywhere(tmp_path: Path, sim: Controls) -> None:
    config = settings(sim.url, {"log": {"level": "debug", "format": "json"}})
    config["providers"] = {"openrouter": {"base_url": f"{sim.url}/api/v1", "keys": []}}
    config["users"] = {"anna": {"token_hash": token_hash_of("anna")}}
    path, operator = write_config(tmp_path, config), Operator(tmp_path)
    async with serving(tmp_path, path, environ={"PYTHONASYNCIODEBUG": "1"}) as process:
        copy = await _run(process, operator, sim)
        seen = list(_seen_by_others(process.pid))
        backup = await asyncio.to_thread(_command, tmp_path, "backup", "copy.db")
        running = list(files(tmp_path))  # with the WAL as it is
        process.signal(signal.SIGKILL)
        await process.ended()
    async with serving(tmp_path, path) as process:
        listed = await operator.done("GET", "keys")
        assert [(each["id"], each["state"]) for each in listed] == [("openrouter:main", "in use")]
        assert (await process.ask("POST", CHAT, {"model": MODEL, "messages": MESSAGES})).status == 200
        assert await process.stop() == 0
    places = [*running, *files(tmp_path), *seen, *operator.answers, ("backup", backup), ("copy", copy)]
    assert {"ledger.db", "ledger.db-wal", "copy.db", "serve.stderr", "ledger.db.master-key"} <= {n for n, _ in places}
    assert found(SECRETS, places) == []
    assert found(_halves(SECRETS), places) == []
    _master_key_is_only_in_its_file(tmp_path, places)


def _seen_by_others(pid: int) -> Iterator[tuple[str, bytes]]:
    """Yield what the system shows of a process; its environment only root may read."""
    for name in ("cmdline", "environ", "status"):
        with contextlib.suppress(PermissionError):
            yield name, (Path("/proc") / str(pid) / name).read_bytes()


def _halves(secrets: dict[str, str]) -> dict[str, str]:
    """Return both halves of each secret, and these the other way round: what cutting and joining would leave."""
    found: dict[str, str] = {}
    for name, text in secrets.items():
        middle = len(text) // 2
        found |= {f"{name} begin": text[:middle], f"{name} end": text[middle:-4]}
    return {name: text for name, text in found.items() if "canary" in text or len(text) >= 16}


def _master_key_is_only_in_its_file(folder: Path, places: list[tuple[str, bytes]]) -> None:
    ring = json.loads((folder / "ledger.db.master-key").read_text())
    keys = {f"master {n}": line.split(":")[1] for n, line in enumerate([ring["active"], *ring["archive"]])}
    others = [(name, data) for name, data in places if not name.endswith(".master-key")]
    assert found(keys, others) == []
    with sqlite3.connect(folder / "ledger.db") as connection:
        assert connection.execute("SELECT count(*) FROM audit WHERE action LIKE 'keys.%'").fetchone()[0] >= 4
    connection.close()


def _command(folder: Path, *command: str) -> bytes:
    done = subprocess.run(
        [sys.executable, "-m", "proxy", *command, "-c", "config.yaml"],
        cwd=folder,
        env=clean_environment(folder, {}),
        capture_output=True,
        check=True,
    )
    return done.stdout + done.stderr
