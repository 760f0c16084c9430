"""Write a long export as CSV in several processes: each takes every so-manieth part of the rows, and the order stays.

It begins in this process, so that a short export waits for none to start. Each process reads on a connection of its
own, a slice at a time, and tells its lines through a pipe; nobody gets further ahead than some megabytes.
"""

import contextlib
import queue
import sqlite3
import struct
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Final, NamedTuple

import orjson
from msgspec.structs import asdict

from proxy.core.child_python import background_command, child_command, child_environ
from proxy.core.errors import LedgerError
from proxy.core.pacer import Pacer
from proxy.storage.export import Chunk, Selection
from proxy.storage.rows import ms_of
from proxy.storage.sqlite.csv_lines import CsvLines, IdSpan, csv_head
from proxy.storage.sqlite.csv_parts import parts_of
from proxy.storage.sqlite.export import SLICE_IDS
from proxy.storage.sqlite.usage import id_range

_HOUR_MS: Final = 3_600_000
_ALONE_S: Final = 0.5  # about what it takes to start the others
_AHEAD: Final = 8  # chunks of each process that wait for their turn: two parts
HEAD: Final = struct.Struct("<QQ")  # of a chunk in the pipe: bytes and rows
PART_END: Final = (1 << 64) - 1  # in the place of the bytes: the part is done
_HOURS: Final = "SELECT hour_ms, sum(requests) FROM usage_hourly WHERE hour_ms BETWEEN ? AND ? GROUP BY 1 ORDER BY 1"


class CsvPart(NamedTuple):
    """What one process is told: the file, what is selected, the ids of its parts."""

    path: Path
    selection: Selection
    parts: Sequence[IdSpan]

    def write(self) -> bytes:
        parts = [[*part] for part in self.parts]
        return orjson.dumps({"path": str(self.path), "selection": asdict(self.selection), "parts": parts})

    @classmethod
    def read(cls, text: bytes) -> "CsvPart":
        told = orjson.loads(text)
        chosen: dict[str, Any] = {
            name: tuple(one) if isinstance(one, list) else one for name, one in told["selection"].items()
        }
        parts = [IdSpan(*each) for each in told["parts"]]
        return cls(Path(told["path"]), Selection(**chosen), parts)


def shared_csv_chunks(
    connection: sqlite3.Connection,
    path: Path,
    selection: Selection,
    processes: int,
    alone_s: float = _ALONE_S,
    ids_at_once: int = SLICE_IDS,
) -> Iterator[Chunk]:
    """Write what csv_chunks() would; begins alone, and shares what is left after alone_s seconds.

    That is seconds in which it did not stand still for others: beside requests on the same processors it stays alone,
    for they would feel each process that starts, and two that compute more than one.
    """
    yield csv_head(selection)
    first, last = id_range(connection, selection.since_ms, selection.until_ms)
    whole, due_s = last - first + 1, time.monotonic() + alone_s
    after, pacer = first - 1, Pacer.of_this_process()
    for upto, chunk in CsvLines(connection, selection).of(IdSpan(after, last), ids_at_once):
        yield chunk
        after = upto
        if pacer is not None and pacer.is_pausing:
            due_s = time.monotonic() + alone_s
        elif time.monotonic() >= due_s:
            break
    if after >= last:
        return
    done = (after - first + 1) / whole
    with contextlib.ExitStack() as stack:
        lines = [stack.enter_context(contextlib.closing(_CsvProcess(path))) for _ in range(processes)]
        left = IdSpan(after, last)
        parts = parts_of(left, connection.execute(_HOURS, (ms_of(after) - _HOUR_MS, ms_of(last))))  # while they start
        for n, one in enumerate(lines):
            one.tell(CsvPart(path.absolute(), selection, parts[n::processes]))
        for n in range(len(parts)):
            for data, rows in lines[n % processes].chunks():
                yield Chunk(data, rows, done + (1 - done) * (n + 1) / len(parts))


def _start(**options: Any) -> subprocess.Popen[bytes]:
    """Start a process that gives way to others where this one does."""
    module, pacer = "proxy.storage.sqlite.csv_process", Pacer.of_this_process()
    if pacer is not None:
        return pacer.start_process(background_command(module), **options)
    return subprocess.Popen(child_command(module), **options)  # noqa: S603 - constants


class _CsvProcess:
    """One process, and the thread that takes up what it tells: of the ledger at path, once it is told what."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._process = _start(stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=child_environ())
        self._queue: queue.Queue[tuple[bytes, int] | None] = queue.Queue(_AHEAD)
        self._closed = False
        self._thread = threading.Thread(target=self._take, name="export", daemon=True)
        self._thread.start()

    def tell(self, told: CsvPart) -> None:
        """Have it write its parts."""
        stdin = self._pipe(self._process.stdin)
        with contextlib.suppress(BrokenPipeError):  # its end says so too
            stdin.write(told.write())
            stdin.close()

    def chunks(self) -> Iterator[tuple[bytes, int]]:
        """Yield lines and their number up to the end of a part; raises LedgerError where the process has failed."""
        while True:
            found = self._queue.get()
            if found is None:
                self._queue.put(None)
                raise LedgerError(self._failure(self._process.wait()))
            if found[1] == PART_END:
                return
            yield found

    def _failure(self, code: int) -> str:
        if code < 0:  # the ledger is not to blame
            return (
                f"The export of {self._path} is not complete: a process of it was ended by signal {-code}."
                " A system that runs out of memory does that. Try again."
            )
        return f"{self._path} cannot be read: a process of the export ended with {code}. tollkeeper check tells more."

    def close(self) -> None:
        self._closed = True
        self._process.kill()
        self._process.wait()
        with contextlib.suppress(queue.Empty):
            while True:
                self._queue.get_nowait()
        self._thread.join()
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(BrokenPipeError):
                self._pipe(pipe).close()

    def _take(self) -> None:
        pipe = self._pipe(self._process.stdout)
        while not self._closed:
            head = pipe.read(HEAD.size)
            if len(head) < HEAD.size:
                break
            size, rows = HEAD.unpack(head)
            data = b"" if size == PART_END else pipe.read(size)
            if size != PART_END and len(data) < size:
                break
            self._put((data, PART_END if size == PART_END else rows))
        self._put(None)

    def _put(self, what: tuple[bytes, int] | None) -> None:
        while not self._closed:
            with contextlib.suppress(queue.Full):
                self._queue.put(what, timeout=0.2)
                return

    @staticmethod
    def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
        assert pipe is not None
        return pipe
