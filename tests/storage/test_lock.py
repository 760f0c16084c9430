"""One process owns a ledger; another one is told which, and the lock dies with its owner."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from proxy.core.errors import LedgerError
from proxy.storage.sqlite.ledger import open_ledger
from proxy.storage.sqlite.lock import OwnerLock
from tests.storage.made_requests import running

ROOT = Path(__file__).parents[2]
OWNER = """
import sys, time
from pathlib import Path
from proxy.storage.sqlite.lock import OwnerLock
OwnerLock(Path(sys.argv[1])).acquire("tollkeeper serve")
print("held", flush=True)
time.sleep(600)
"""


def _owner(path: Path) -> "subprocess.Popen[bytes]":
    child = subprocess.Popen([sys.executable, "-c", OWNER, str(path)], stdout=subprocess.PIPE, cwd=ROOT)
    assert child.stdout is not None
    assert child.stdout.readline() == b"held\n"
    return child


async def test_a_second_process_is_refused_with_the_name_of_the_first(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    loop = asyncio.get_running_loop()
    with _owner(path) as child:
        try:
            with pytest.raises(LedgerError) as refused:
                open_ledger(path, loop, purpose="another", busy_timeout_s=1.0, queue_max=9)
        finally:
            os.kill(child.pid, signal.SIGKILL)
    assert f"in use by tollkeeper serve, process {child.pid} on " in str(refused.value)
    assert "database:" in str(refused.value)
    async with running(path):  # the kill freed it, and the stale text is overwritten
        text = path.with_name("ledger.db.lock").read_text()
        assert f"a test, process {os.getpid()} on " in text
        assert str(child.pid) not in text.split(" on ")[0]


async def test_the_same_process_is_refused_too(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    async with running(path):
        with pytest.raises(LedgerError, match=f"in use by a test, process {os.getpid()}"):
            OwnerLock(path).acquire("another")
    lock = OwnerLock(path)
    lock.acquire("after it")
    lock.release()
    lock.release()  # a second release is nothing


async def test_a_start_that_fails_frees_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    path.write_bytes(b"no ledger at all" * 100)
    for _ in range(2):
        with pytest.raises(LedgerError, match="damaged or not an SQLite file"):
            open_ledger(path, asyncio.get_running_loop(), purpose="a test", busy_timeout_s=1.0, queue_max=9)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match=r"cannot be opened \(No such file or directory\)"):
        OwnerLock(tmp_path / "nowhere" / "ledger.db").acquire("a test")
