"""Power cuts at every write of the ledger: the writer's own transactions, on a disk that forgets what was not synced.

One life of a ledger is recorded: it is opened as the proxy opens it, transactions run, it is closed. Then, for every
point of the recording, states that the disk may be in are built as real files, opened as at the next start, and held
against what had been acknowledged by then. The next life goes on from one of those states, so that recoveries are cut
as well.
"""

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from proxy.core.errors import LedgerError
from proxy.storage.sqlite.connect import _prepare, connect_owner
from proxy.storage.sqlite.writer import Writer
from tests.storage.made_requests import ROLLUP, ROLLUP_OF_ROWS

from .cursor import Connection, Cursor
from .disk import Disk
from .recorder import Acknowledged, Note, Recorder
from .workload import Request, State, Workload

Progress = Callable[[int, str], None]

_NAME = "ledger.db"
_TRANSACTIONS = 40  # in one life
_TEXTS_MAX = 20


@dataclass(slots=True)
class PowerCuts:
    """What came of it. A state counts once, under the worst that was found in it."""

    seed: int
    synchronous: str
    states: int = 0
    lives: int = 0
    commits: int = 0
    writes: int = 0
    unopened: int = 0  # states that could not be opened or failed quick_check
    lost: int = 0  # states in which something acknowledged is missing or older than acknowledged
    wrong: int = 0  # states that no sequence of commits ever had, or whose roll-up is not the sum of its rows
    took_s: float = 0.0
    texts: list[str] = field(default_factory=list)

    @property
    def failures(self) -> int:
        return self.unopened + self.lost + self.wrong


@dataclass(slots=True)
class _Life:
    """One recording: the files at its start, all notes, and what the ledger holds after each commit."""

    files: dict[str, bytes]
    notes: list[Note]
    held: list[State]


def run_power_cuts(
    seed: int,
    states: int,
    progress: Progress,
    *,
    synchronous: str | None = None,
    a_point: int = 3,
    enough: Callable[[PowerCuts], object] = lambda _: False,
) -> PowerCuts:
    """Try so many states, a_point of them at each point of a recording. The same seed tries the same ones.

    A life gets at most half of the states, drawn from its points where they are fewer, so that recoveries are cut too.
    synchronous is the default of the ledger where it is None. progress is told the states so far, and a text.
    enough: ends the search at the state that has shown what was looked for.
    """
    rng = Random(seed)
    report = PowerCuts(seed, synchronous or "as the ledger sets it")
    begun_s = time.monotonic()
    with _fast_folder() as folder:
        files: dict[str, bytes] = {}
        rows: State = {}
        while report.states < states and not enough(report):
            life = _live(folder, files, rows, rng, synchronous)
            report.lives += 1
            report.commits += len(life.held) - 1
            report.writes += sum(not isinstance(note, Acknowledged) for note in life.notes)
            share = min(a_point * len(life.notes), -(-states // 2), states - report.states)
            goes_on = _cut_everywhere(folder, life, rng, report, share, enough)
            # a ledger grows from life to life; now and then one begins anew, so that its making is cut too
            files, rows = goes_on if goes_on is not None and rng.random() < 0.7 else ({}, {})
            report.took_s = time.monotonic() - begun_s
            progress(report.states, f"{report.lives} lives, {report.failures} failures")
    return report


@contextmanager
def _fast_folder() -> Iterator[Path]:
    """Give a folder in memory where there is one: which writes were synced is in the notes, not on this disk."""
    memory = Path("/dev/shm")  # noqa: S108 - a folder of its own is made in it
    with TemporaryDirectory(prefix="power-cut-", dir=memory if memory.is_dir() else None) as folder:
        yield Path(folder)


def _write_files(folder: Path, files: dict[str, bytes]) -> None:
    for old in folder.iterdir():
        old.unlink()
    for name, data in files.items():
        (folder / name).write_bytes(data)


def _live(folder: Path, files: dict[str, bytes], rows: State, rng: Random, synchronous: str | None) -> _Life:
    _write_files(folder, files)
    path = folder / _NAME
    held = [dict(rows)]
    loop = asyncio.new_event_loop()  # the writer wants one; its thread is not started, so that nothing runs in it
    workload = Workload(rng, rows, loop)
    with closing(loop), Recorder() as recorder:
        connection = Connection(str(path), vfs=recorder.name)
        connection.cursor_factory = Cursor
        _prepare(connection, path)  # type: ignore[arg-type]  # apsw has all of sqlite3's surface that is used here
        if synchronous is not None:
            connection.execute(f"PRAGMA synchronous = {synchronous}")
        # small enough that every life has several checkpoints; 1000 pages are SQLite's default
        connection.execute(f"PRAGMA wal_autocheckpoint = {rng.choice((10, 40, 1000))}")
        writer = Writer(connection, loop, 1)  # type: ignore[arg-type]  # as above
        for number in range(1, _TRANSACTIONS + 1):
            group = workload.group()
            writer._transaction(group)
            recorder.acknowledge(number)
            held.append(dict(workload.rows))
        if rng.random() < 0.5:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # as SqliteLedger.close()
        connection.close()
    return _Life(files, recorder.notes, held)


def _cut_everywhere(
    folder: Path, life: _Life, rng: Random, report: PowerCuts, states: int, enough: Callable[[PowerCuts], object]
) -> tuple[dict[str, bytes], State] | None:
    """Cut a life so many times, at every point where that is enough; return a good state to go on from."""
    disk = Disk(life.files)
    acknowledged = 0
    points = len(life.notes)
    each, more = divmod(states, points)
    one_more = set(rng.sample(range(points), more))
    goes_on: tuple[dict[str, bytes], State] | None = None
    for at, note in enumerate(life.notes):
        if enough(report):
            break
        disk.follow(note)
        if isinstance(note, Acknowledged):
            acknowledged = note.commit
        for _ in range(each + (at in one_more)):
            files = disk.left_by_cut(rng)
            found = _examine(folder, files, life.held, acknowledged, report, f"life {report.lives}, point {at}")
            if found is not None and rng.random() < 0.05:
                goes_on = files, found
    return goes_on


def _examine(
    folder: Path, files: dict[str, bytes], held: list[State], acknowledged: int, report: PowerCuts, where: str
) -> State | None:
    """Start on what the cut left, and compare; give what was found if it is as it must be."""
    report.states += 1
    _write_files(folder, files)
    try:
        with closing(connect_owner(folder / _NAME, 1.0)) as connection:
            found = _read(connection)
            sums = [connection.execute(sql).fetchall() for sql in (ROLLUP, ROLLUP_OF_ROWS)]
    except (LedgerError, sqlite3.Error) as error:
        report.unopened += 1
        _tell(report, f"{where}: {error}")
        return None
    if sums[0] != sums[1]:
        report.wrong += 1
        _tell(report, f"{where}: usage_hourly is not the sum of the rows")
        return None
    if found in held[acknowledged : acknowledged + 2]:  # the commit under way may have come through or not
        return found
    if found in held[:acknowledged]:
        report.lost += 1
        _tell(report, f"{where}: {_missing(found, held[acknowledged])} acknowledged changes are gone")
    else:
        report.wrong += 1
        _tell(report, f"{where}: half of a transaction, or rows that were never written")
    return None


def _missing(found: State, held: State) -> int:
    return sum(found.get(id_) != row for id_, row in held.items())


def _tell(report: PowerCuts, text: str) -> None:
    if len(report.texts) < _TEXTS_MAX:
        report.texts.append(text)


def _read(connection: sqlite3.Connection) -> State:
    attempts: dict[int, list[tuple[str, str | None]]] = {}
    for id_, outcome, generation_id in connection.execute(
        "SELECT request_id, outcome, generation_id FROM attempts ORDER BY request_id, n"
    ):
        attempts.setdefault(id_, []).append((outcome, generation_id))
    late: dict[int, list[int]] = {}
    for id_, amount_pusd in connection.execute("SELECT request_id, amount_pusd FROM adjustments ORDER BY id"):
        late.setdefault(id_, []).append(amount_pusd)
    found: State = {}
    for id_, started_ms, user, state, reserved_pusd, cost_pusd, source in connection.execute(
        "SELECT id, started_ms, user, state, reserved_pusd, cost_pusd, cost_source FROM requests"
    ):
        tried = tuple(attempts.pop(id_, ()))
        booked = tuple(late.pop(id_, ()))
        found[id_] = Request(started_ms, user, state, reserved_pusd, cost_pusd, source, tried, booked)
    for id_ in (*attempts, *late):
        found[id_] = Request(0, "", "an attempt or an adjustment without its request", 0, None, "", ())
    return found
