"""A whole proxy on a disk that is full, or that another program holds: it refuses, says so, loses nothing, resumes."""

import asyncio
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from proxy.core.errors import LedgerError
from proxy.storage.sqlite.connect import connect_owner
from tests.support.patience import eventually
from tests.support.stand import Stand, read_rows
from tests.support.stand import stand as run_stand

MORE: dict[str, Any] = {"ledger": {"busy_timeout_s": 0.1, "settlement_timeout_s": 0.2}}
NOBODY = 65534
PAUSE_MS = 1500  # what the provider waits in the middle of its answer: time to break the disk in

HOLDER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def _small_disk(folder: Path) -> Iterator[None]:
    """Lay a file system of 4 MB over a folder; needs the right to mount."""
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m,mode=700", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("a small disk can only be mounted by root")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@contextmanager
def _full(database: Path) -> Iterator[None]:
    """Fill the small disk to its last byte (ENOSPC), then free it."""
    filler = database.with_name("filler")
    with filler.open("wb", buffering=0) as file:
        try:
            while file.write(b"x" * 4096) > 0:
                pass
        except OSError:
            pass
    yield
    filler.unlink()


@contextmanager
def _at_its_limit(database: Path) -> Iterator[None]:
    """Let no file of this process grow beyond what the WAL is now (EFBIG), then let them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (database.with_name(f"{database.name}-wal").stat().st_size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def _locked(database: Path) -> Iterator[None]:
    """Hold the write lock in another process, as a shell with an open transaction does."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(database)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stdout.readline() == b"held\n"
        yield
        child.stdin.close()


FAULTS = {"full": _full, "limit": _at_its_limit, "locked": _locked}


@pytest.fixture(params=list(FAULTS))
def fault(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    if request.param == "full":
        with _small_disk(tmp_path):
            yield FAULTS[request.param]
    else:
        yield FAULTS[request.param]


async def _readyz(stand: Stand) -> tuple[int, str]:
    answer = await stand.ask("GET", "/readyz")
    return answer.status, answer.json()["ledger"]


async def _is_ready(stand: Stand) -> None:
    async def look() -> bool:
        return await _readyz(stand) == (200, "ok")

    await eventually(look)


async def test_nothing_goes_upstream_without_a_reservation_on_disk(tmp_path: Path, fault: Any) -> None:
    async with run_stand(tmp_path, MORE) as stand:
        assert (await stand.chat()).status == 200
        await stand.settled(1)
        await stand.sim.forget()
        with fault(stand.database):
            for answer in await asyncio.gather(*(stand.chat() for _ in range(5))):
                assert answer.status == 503
                assert answer.json()["error"]["code"] == "ledger_unavailable"
                assert "nothing was sent" in answer.json()["error"]["message"]
                assert answer.header("Retry-After") is not None
            assert await stand.sim.requests() == []
            status, problem = await _readyz(stand)
            assert status == 503
            assert problem in ("database or disk is full", "disk I/O error", "database is locked")
            assert (await stand.ask("GET", "/healthz")).status == 200
            assert (await stand.ask("GET", "/v1/me/usage")).status == 200  # reading goes on
        await _is_ready(stand)  # by itself: nothing was asked meanwhile
        assert (await stand.chat()).status == 200
        rows = await stand.settled(2)
        assert all(row["cost_source"] == "provider" for row in rows)
        assert len(await stand.sim.requests()) == 1


async def test_an_end_that_cannot_be_written_holds_nobody_up_and_lands_later(tmp_path: Path, fault: Any) -> None:
    async with run_stand(tmp_path, MORE) as stand:
        await stand.sim.behave(stop_at="before_usage", stop_with="hang", hang_ms=PAUSE_MS)
        async with await stand.begin_chat({"stream": True}) as client:
            await client.read_until(b'"finish_reason":"stop"')
            [before] = await stand.rows()
            with fault(stand.database):
                await client.read_until(b"[DONE]")  # after settlement_timeout_s, the disk as broken as before
                [row] = await stand.rows()
                assert row["state"] == "open"
                assert row["reserved_pusd"] == before["reserved_pusd"] > 0  # and counts in full

                async def red() -> bool:
                    return (await _readyz(stand))[0] == 503

                await eventually(red)
        [row] = await stand.settled(1)
        books = await stand.sim.books()
        assert row["cost_pusd"] == books["total_pusd"] > 0
        assert row["cost_source"] == "provider"
        await _is_ready(stand)


async def test_a_start_on_a_full_disk_is_refused_and_harmless(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with _small_disk(tmp_path):
        with closing(connect_owner(path, 1.0)) as connection:
            connection.execute("INSERT INTO meta VALUES ('a', 'b')")
        with _full(path), pytest.raises(LedgerError, match="Free space on its disk"):
            connect_owner(path, 1.0)
        with closing(connect_owner(path, 1.0)):
            pass
        assert read_rows(path, "SELECT value FROM meta WHERE name = 'a'") == [{"value": "b"}]


@contextmanager
def _home_of_a_plain_user() -> Iterator[Path]:
    """Make a folder and be its owner for a while; root, who may write everywhere, becomes nobody."""
    with tempfile.TemporaryDirectory() as name:
        if os.geteuid() != 0:
            yield Path(name)
            return
        os.chown(name, NOBODY, NOBODY)
        os.seteuid(NOBODY)
        try:
            yield Path(name)
        finally:
            os.seteuid(0)


@pytest.mark.parametrize("what", ["file", "folder"])
def test_a_place_that_is_read_only_is_named(what: str) -> None:
    with _home_of_a_plain_user() as folder:
        path = folder / "home" / "ledger.db"
        path.parent.mkdir()
        with closing(connect_owner(path, 1.0)):
            pass
        target, mode = (path, 0o400) if what == "file" else (path.parent, 0o500)
        target.chmod(mode)
        try:
            with pytest.raises(LedgerError, match=r"cannot be opened for writing: .*Check its owner and mode"):
                connect_owner(path, 1.0)
        finally:
            target.chmod(0o700)
