"""A process that gives way stands still beside others that want its processor, and only there."""

import json
import os
import statistics
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from proxy.core.pacer import Pacer
from proxy.storage.sqlite.connect import open_reader
from tests.cli.command_line import ROOT
from tests.storage.made_rows import fill, ledger

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has the clock")

_COMPUTED_S = 0.2
# What it computes by SQL or in Python, or reads for an export, with each pause: how long, and what the thread that
# computes went on with in it nevertheless. With each pause of an export's own: whether a transaction was open in it.
_WORK = """
import json, os, sys, threading, time
from pathlib import Path
from proxy.core import pacer, pauses
from proxy.core.process_priority import put_back
from proxy.storage.export import Selection
from proxy.storage.sqlite.connect import connect_owner, open_reader
from proxy.storage.sqlite.csv_lines import csv_chunks
from proxy.storage.sqlite.export import slices

path, processor, how, computed_s = sys.argv[1], int(sys.argv[2]), sys.argv[3], float(sys.argv[4])
os.sched_setaffinity(0, {processor})
pauses._SIGNS_WITHIN_S = 10.0  # on a busy machine it looks seldom
if how != "start":
    pacer._START_S = 0.0
found, make, sleep, are_open = [], pacer._sleeps, time.sleep, []

def worker_s():
    return time.clock_gettime(time.pthread_getcpuclockid(threading.main_thread().ident))

def noted():
    sleeps = make()
    def holding(time_s):
        begun_s = worker_s()
        sleeps.holding(time_s)
        found.append((time_s, worker_s() - begun_s))
    return sleeps._replace(holding=holding)

def sleep_noted(time_s):
    if threading.current_thread() is threading.main_thread():
        found.append((time_s, 0.0))
        are_open.append(reader.in_transaction)
    sleep(time_s)

pacer._sleeps = noted
prompt = put_back()
prompt.call(pacer.Pacer(prompt).start)
if how == "owner":
    connect_owner(Path(path), 5.0).close()
reader = None
if how != "start":
    reader = open_reader(Path(path))
    time.sleep = sleep_noted
end_s = time.process_time() + computed_s
if how == "sql":
    reader.create_function("is_over", 0, lambda: time.process_time() >= end_s)
    go_on = "x % 200000 <> 0 OR NOT is_over()"  # rarely: SQLite itself has to come back
    numbers = f"WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE {go_on})"
    reader.execute(numbers + "SELECT sum(x) FROM n").fetchall()
export = {"lines": csv_chunks, "values": slices}.get(how, lambda *_: ())
while time.process_time() < end_s:
    for _ in export(reader, Selection(users=("anna",))):  # others have a cell that is written as a value
        pass
is_idle = os.sched_getscheduler(os.getpid()) == os.SCHED_IDLE
print(json.dumps([time.process_time() - end_s + computed_s, found, are_open, is_idle]))
"""
_NEIGHBOUR = """
import os, sqlite3, sys, time
os.sched_setaffinity(0, {int(sys.argv[2])})
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=5.0)
connection.execute("PRAGMA journal_mode = WAL")
connection.execute("PRAGMA synchronous = OFF")
connection.execute("CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT)")
for n in range(10**9):
    connection.execute("INSERT OR REPLACE INTO meta VALUES ('neighbour', ?)", (str(n),))
    end_s = time.monotonic() + 0.001
    while time.monotonic() < end_s:
        pass
    time.sleep(0.001)
"""


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a ledger that is open, so that it has a WAL."""
    path = tmp_path_factory.mktemp("ledger") / "tollkeeper.db"
    with ledger(path) as connection:
        fill(connection, 2000)
        yield path


@pytest.fixture
def processor() -> str:
    return str(max(os.sched_getaffinity(0)))


# How much of some short times of computing the process itself knows of, as shares, while the thread that looks sleeps.
_COUNT = """
import json, threading, time
from proxy.core import pacer

threading.Thread(target=pacer._sleeps().until_computed, args=(0.9,), daemon=True).start()
time.sleep(0.1)
found = []
for _ in range(20):
    begun_s, used = time.thread_time(), pacer._used()
    for _ in range(20_000):
        pass
    computed_s = pacer._used().computed_s - used.computed_s
    found.append(computed_s / (time.thread_time() - begun_s))
print(json.dumps(found))
"""


class Worked(NamedTuple):
    """How many seconds it has computed, how many it was to stand still, how many its work went on meanwhile."""

    computed_s: float
    paused_s: float
    meanwhile_s: float
    are_open: list[bool]
    is_idle: bool


def worked(path: Path, processor: str, how: str) -> Worked:
    command = [sys.executable, "-c", _WORK, str(path), processor, how, str(_COMPUTED_S)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    computed_s, pauses, are_open, is_idle = json.loads(ran.stdout)
    paused_s, meanwhile_s = (sum(each) for each in zip(*pauses, strict=True)) if pauses else (0.0, 0.0)
    return Worked(computed_s, paused_s, meanwhile_s, are_open, is_idle)


@contextmanager
def neighbour(written: Path, processor: str) -> Iterator[None]:
    """Compute on the same processor half of the time, and write a database again and again."""
    command = [sys.executable, "-c", _NEIGHBOUR, str(written), processor]
    with subprocess.Popen(command, cwd=ROOT) as process:
        try:
            yield
        finally:
            process.kill()


@pytest.mark.parametrize("how", ["python", "sql"])
def test_beside_who_writes_the_ledger_it_stands_still(path: Path, processor: str, how: str) -> None:
    """Three times as long as it computes, whatever it computes with."""
    with neighbour(path, processor):
        found = worked(path, processor, how)
    assert found.computed_s >= _COMPUTED_S
    assert found.paused_s > 2 * found.computed_s
    assert found.meanwhile_s < found.computed_s / 5


@pytest.mark.parametrize("how", ["lines", "values"])
def test_an_export_stands_still_between_its_transactions(path: Path, processor: str, how: str) -> None:
    """Else the WAL would grow for as long as it lasts. The first slices are long: nothing was known of others."""
    with neighbour(path, processor):
        found = worked(path, processor, how)
    assert found.paused_s > 2 * found.computed_s
    assert len(found.are_open) > 20
    assert found.are_open[4:].count(True) < len(found.are_open) / 10


def test_at_its_start_it_stands_still_beside_anybody(path: Path, processor: str, tmp_path: Path) -> None:
    """It knows of no ledger yet. Where the machine was full it is not put back so far, and goes on."""
    other = tmp_path / "other"
    with neighbour(other, processor):
        found = worked(path, processor, "start")
    assert (found.paused_s > found.computed_s) == found.is_idle


def test_beside_others_it_goes_on(path: Path, processor: str, tmp_path: Path) -> None:
    other = tmp_path / "other"
    with neighbour(other, processor):
        assert worked(path, processor, "sql").paused_s == 0


def test_who_writes_the_ledger_itself_goes_on(path: Path, processor: str) -> None:
    with neighbour(path, processor):
        assert worked(path, processor, "owner").paused_s == 0


def test_one_that_was_told_of_nobody_waits(path: Path) -> None:
    """A process that gives way to nobody reads without any of it."""
    assert Pacer.of_this_process() is None
    open_reader(path).close()
    assert not [thread for thread in threading.enumerate() if isinstance(thread, Pacer)]


def test_it_knows_what_it_has_computed_to_less_than_a_tick() -> None:
    command = [sys.executable, "-c", _COUNT]
    found = json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout)
    assert statistics.median(found) >= 0.8
