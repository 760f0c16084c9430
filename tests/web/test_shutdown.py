"""A real process is started, stopped, cut and killed: what ran ends or is settled, and exit codes say what happened."""

import asyncio
import signal
import socket
from pathlib import Path
from typing import Any

from tests.support.control import Controls
from tests.support.installation import settings, write_config
from tests.support.patience import eventually
from tests.support.process import Process, serving, started
from tests.support.raw import Client, connect, request_bytes
from tests.support.stand import CHAT, MESSAGES, MODEL, read_rows


async def rows(folder: Path) -> list[dict[str, Any]]:
    return await asyncio.to_thread(read_rows, folder / "ledger.db", "SELECT * FROM usage ORDER BY request_id")


async def streaming(process: Process, sim: Controls, **behaviour: Any) -> Client:
    """Begin a stream that takes its time, and give its connection once content has come."""

    async def priced() -> bool:  # a request that comes before the first list of models reserves nothing
        return MODEL.encode() in (await process.ask("GET", "/v1/models")).body

    await eventually(priced)
    await sim.behave(**{"completion_tokens": 30, "pace_ms": 30, "provider": "OpenAI", **behaviour})
    client = await connect(process.port)
    body = {"model": MODEL, "messages": MESSAGES, "stream": True}
    await client.send(request_bytes("POST", CHAT, body, token=process.token))
    await client.read_until(b'"delta"')
    return client


async def refuses(process: Process) -> bool:
    try:
        await (await connect(process.port)).close()
    except ConnectionError:
        return True
    return False


async def test_sigterm_lets_streams_finish(tmp_path: Path, sim: Controls) -> None:
    """New connections and requests are refused meanwhile; the row is settled and the socket gone before exit 0."""
    path = write_config(tmp_path, settings(sim.url))
    async with serving(tmp_path, path) as process:
        stream = await streaming(process, sim)
        kept = await connect(process.port)
        await kept.send(request_bytes("GET", "/healthz"))
        assert (await kept.read_answer()).status == 200
        process.signal(signal.SIGTERM)
        await eventually(lambda: refuses(process))
        await kept.send(request_bytes("GET", "/readyz"))
        ready = await kept.read_answer()
        if ready.status:  # a kept connection may have been closed by then
            assert (ready.status, ready.json()["draining"]) == (503, "yes")
            await kept.send(request_bytes("POST", CHAT, {"model": MODEL, "messages": MESSAGES}, token=process.token))
            got = await kept.read_answer()
            if got.status:
                assert (got.status, got.json()["error"]["code"]) == (503, "draining")
                assert int(got.header("Retry-After") or 0) > 0
                assert await kept.at_end() == "fin"
        rest = await stream.read_until(b"[DONE]")
        assert b'"error"' not in rest
        assert await process.ended() == 0
        await stream.close()
        await kept.close()
    left = {file.name for file in tmp_path.iterdir()}  # noqa: ASYNC240 - nobody waits for this loop
    assert "ledger.db.sock" not in left
    assert "ledger.db-wal" not in left  # folded into the file, so that a copy of it is whole
    (row,) = await rows(tmp_path)
    assert (row["state"], row["cost_source"], row["output_tokens"]) == ("settled", "provider", 30)
    assert row["cost_pusd"] == (await sim.books())["total_pusd"]


async def test_a_second_sigterm_cuts(tmp_path: Path, sim: Controls) -> None:
    """The stream is cut, and the next start settles what is not known yet."""
    path = write_config(tmp_path, settings(sim.url))
    async with serving(tmp_path, path) as process:
        stream = await streaming(process, sim, completion_tokens=2000, generation_delay_ms=3000)
        process.signal(signal.SIGTERM)
        await eventually(lambda: refuses(process))
        process.signal(signal.SIGTERM)
        assert await process.ended() == 0
        await stream.close()
    (row,) = await rows(tmp_path)
    assert row["state"] != "open"
    assert (row["status"], row["error"]) == (503, "cut")
    await _settles_at_the_next_start(tmp_path, path, sim)


async def test_sigkill_leaves_a_row_that_is_settled_at_the_next_start(tmp_path: Path, sim: Controls) -> None:
    path = write_config(tmp_path, settings(sim.url))
    async with serving(tmp_path, path) as process:
        stream = await streaming(process, sim, completion_tokens=2000)
        process.signal(signal.SIGKILL)
        assert await process.ended() == -signal.SIGKILL
        await stream.close()
    (row,) = await rows(tmp_path)
    assert row["state"] == "open"
    assert row["reserved_pusd"] > 0
    (row,) = await _settles_at_the_next_start(tmp_path, path, sim)
    assert "crash" in row["flags"]


async def _settles_at_the_next_start(folder: Path, path: Path, sim: Controls) -> list[dict[str, Any]]:
    async with serving(folder, path) as process:

        async def settled() -> list[dict[str, Any]]:
            found = await rows(folder)
            return found if all(row["state"] == "settled" for row in found) else []

        found = await eventually(settled)
        assert sum(row["cost_pusd"] for row in found) == (await sim.books())["total_pusd"]
        assert [row["cost_source"] for row in found] == ["generation"]
        assert await process.stop() == 0
    return found


async def test_idle_keep_alive_connections_do_not_hold_the_end_up(tmp_path: Path, sim: Controls) -> None:
    path = write_config(tmp_path, settings(sim.url))
    async with serving(tmp_path, path) as process:
        idle = [await connect(process.port) for _ in range(3)]
        await idle[0].send(request_bytes("GET", "/healthz"))
        assert (await idle[0].read_answer()).status == 200
        await idle[1].send(b"GET /healthz HTT")
        process.signal(signal.SIGTERM)
        assert await process.ended() == 0
        for client in idle:
            assert await client.at_end() in ("fin", "rst")
            await client.close()


async def test_sighup_reads_the_configuration(tmp_path: Path, sim: Controls) -> None:
    path = write_config(tmp_path, settings(sim.url))
    async with serving(tmp_path, path) as process:
        write_config(tmp_path, settings(sim.url, {"presets": {"fast": [MODEL]}}))
        process.signal(signal.SIGHUP)

        async def listed() -> bool:
            return b'"fast"' in (await process.ask("GET", "/v1/models")).body

        await eventually(listed)
        assert await process.stop() == 0


async def test_a_taken_port(tmp_path: Path, sim: Controls) -> None:
    """Exit 3, with the name of who holds it and what to do; the ledger is free again."""
    path = write_config(tmp_path, settings(sim.url))
    async with serving(tmp_path, path) as first:
        other = tmp_path / "other"
        other.mkdir()
        second = write_config(other, settings(sim.url, {"server": {"port": first.port}}))
        async with started(other, "serve", "-c", str(second)) as process:
            assert await process.ended() == 3
            text = process.stderr()
        assert f"Port {first.port} on 127.0.0.1 is taken by process {first.pid} (" in text
        assert f"tollkeeper serve --port {first.port + 1}" in text
        assert "Traceback" not in text
        assert (await first.ask("GET", "/healthz")).status == 200
        async with serving(other, second, "--port", "0") as third:
            assert await third.stop() == 0


async def test_a_port_that_something_else_holds(tmp_path: Path, sim: Controls) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        path = write_config(tmp_path, settings(sim.url, {"server": {"port": port}}))
        async with started(tmp_path, "serve", "-c", str(path)) as process:
            assert await process.ended() == 3
            assert f"Port {port} on 127.0.0.1 is taken by process" in process.stderr()


async def test_a_second_proxy_on_the_same_ledger(tmp_path: Path, sim: Controls) -> None:
    """Exit 4, with the name of the first; the first serves on, and so does its socket."""
    path = write_config(tmp_path, settings(sim.url))
    async with serving(tmp_path, path) as first:
        async with started(tmp_path, "serve", "-c", str(path), name="second") as process:
            assert await process.ended() == 4
            text = process.stderr()
        assert "is in use by tollkeeper serve" in text
        assert f"process {first.pid}" in text
        assert "Traceback" not in text
        assert (await first.ask("GET", "/readyz")).status == 200
        assert (tmp_path / "ledger.db.sock").exists()
        assert await first.stop() == 0


async def test_a_broken_configuration_at_the_start(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("serverr: {port: 1}\n")
    path.chmod(0o600)
    async with started(tmp_path, "serve", "-c", str(path)) as process:
        assert await process.ended() == 2
        assert "config.yaml:1:1" in process.stderr()
        assert 'Did you mean "server"' in process.stderr()
        assert "Traceback" not in process.stderr()


async def test_a_ledger_that_is_none(tmp_path: Path, sim: Controls) -> None:
    (tmp_path / "ledger.db").write_bytes(b"not a database, but long enough to be taken for one" * 100)
    path = write_config(tmp_path, settings(sim.url))
    async with started(tmp_path, "serve", "-c", str(path)) as process:
        assert await process.ended() == 4
        assert "ledger.db" in process.stderr()
        assert "Traceback" not in process.stderr()
