"""/healthz tells that the process answers; /readyz whether traffic may be sent here, and if not, why."""

import asyncio
import sqlite3
from pathlib import Path

import pytest

from tests.support.patience import eventually
from tests.support.stand import Stand
from tests.support.stand import stand as run_stand


@pytest.mark.parametrize("token", [None, "tk-wrong"])
async def test_nobody_needs_a_token(stand: Stand, token: str | None) -> None:
    for path, word in (("/healthz", "ok"), ("/readyz", "ready")):
        got = await stand.ask("GET", path, token=token)
        assert (got.status, got.content_type, got.json()["status"]) == (200, "application/json", word)


async def test_more_words(stand: Stand) -> None:
    body = (await stand.ask("GET", "/readyz?verbose")).json()
    assert body["catalogue"]["openrouter"]["models"] > 5
    assert body["catalogue"]["plain"]["models"] > 5
    assert body["catalogue"]["plain"]["problem"] is None
    assert body["pending"] == 0
    assert stand.token not in str(body)


async def test_a_broken_configuration(stand: Stand) -> None:
    """The old one stays in force and serves; /readyz quotes the mistake, /healthz is not concerned."""
    path = stand.folder / "config.yaml"
    good = path.read_text()
    path.write_text(good.replace("users:", "userz:"))

    async def stale() -> bool:
        return (await stand.ask("GET", "/readyz")).status == 503

    await eventually(stale)
    body = (await stand.ask("GET", "/readyz")).json()
    assert body["status"] == "not ready"
    assert body["config"].startswith("stale: ")
    assert "userz" in body["config"]
    assert (await stand.ask("GET", "/healthz")).status == 200
    assert (await stand.chat()).status == 200
    path.write_text(good)

    async def ready() -> bool:
        return (await stand.ask("GET", "/readyz")).status == 200

    await eventually(ready)


async def test_a_ledger_that_cannot_be_written(tmp_path: Path) -> None:
    """Without a durable row nothing is sent: 503 that says so, and all is well again when the lock is gone."""
    async with run_stand(tmp_path, {"ledger": {"busy_timeout_s": 0.2}}) as stand:
        blocker = await asyncio.to_thread(_lock, stand.database)
        got = await stand.chat()
        assert got.status == 503
        assert got.json()["error"]["code"] == "ledger_unavailable"
        assert got.json()["error"]["type"] == "server_error"
        assert 0 < int(got.header("Retry-After") or 0) <= 60
        assert await stand.sim.requests() == []
        ready = await stand.ask("GET", "/readyz")
        assert ready.status == 503
        assert "locked" in ready.json()["ledger"]
        assert (await stand.ask("GET", "/healthz")).status == 200
        blocker.close()

        async def works() -> bool:
            return (await stand.chat()).status == 200

        await eventually(works)

        async def well() -> bool:
            return (await stand.ask("GET", "/readyz")).status == 200

        await eventually(well)
        assert len(await stand.sim.requests()) == len(await stand.settled(len(await stand.rows())))


def _lock(database: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(database, isolation_level=None, check_same_thread=False)
    connection.execute("BEGIN EXCLUSIVE")
    return connection
