"""The one thread that writes the ledger.

Fails closed: an operation is acknowledged only after its commit is on disk (WAL, synchronous=FULL). The writer commits
whatever is queued as soon as the last commit ended, so that a group is one row when idle and many rows under load.
When the disk refuses, new requests get LedgerUnavailableError and nothing is sent upstream; ends of requests stay in
memory and are tried again until they are on disk.
"""

import asyncio
import logging
import queue
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import orjson

from proxy.core.errors import TollkeeperError
from proxy.storage import statements
from proxy.storage.rows import AttemptEnd, AttemptRow, OpenRow, RequestEnd

log = logging.getLogger("tollkeeper.ledger")

_RETRY_S = 0.25  # how often ends that could not be committed are tried again while nothing else arrives
_GROUP_MAX = 1000  # rows in one transaction: beyond this the time of a commit grows with nothing gained


class LedgerUnavailableError(TollkeeperError):
    """The disk refused, or the queue is full; nothing was written."""


class EndedTwiceError(TollkeeperError):
    """A second end for one request: a fault of ours, never written."""


@dataclass(slots=True)
class Operation:
    """One whole thing to be written, all of it or nothing."""

    future: asyncio.Future[Any] | None
    opened: OpenRow | None = None
    attempt: AttemptRow | None = None
    attempt_end: AttemptEnd | None = None
    generation: tuple[int, int, str] | None = None
    extend: tuple[int, int] | None = None
    end: RequestEnd | None = None
    call: Callable[[sqlite3.Connection], Any] | None = None
    result: Any = None
    error: Exception | None = None

    @property
    def must_land(self) -> bool:
        """Money may have been spent: this may wait, but is never dropped."""
        return self.end is not None or self.attempt_end is not None or self.generation is not None


@dataclass(slots=True)
class _Group:
    operations: list[Operation] = field(default_factory=list)
    stop: bool = False


def _json(rows: list[tuple[object, ...]]) -> str:
    return orjson.dumps(rows).decode()


def _is_the_disk(error: Exception) -> bool:
    """Full, locked, read-only, broken: waiting may help. A row that the schema refuses is not that."""
    return isinstance(error, sqlite3.DatabaseError) and not isinstance(
        error, sqlite3.IntegrityError | sqlite3.DataError | sqlite3.ProgrammingError
    )


class Writer:
    """Owns the connection; everything that changes the ledger goes through submit()."""

    def __init__(self, connection: sqlite3.Connection, loop: asyncio.AbstractEventLoop, queue_max: int) -> None:
        self._connection = connection
        self._loop = loop
        self._queue: queue.SimpleQueue[Operation | None] = queue.SimpleQueue()
        self._queue_max = queue_max
        self._kept: list[Operation] = []
        self._thread = threading.Thread(target=self._run, name="ledger-writer", daemon=True)
        self.problem: str | None = None  # what the disk said last; None while commits succeed

    def start(self) -> None:
        self._thread.start()

    def submit(self, operation: Operation) -> None:
        """Queue an operation; its future is resolved after the commit. A full queue refuses new requests."""
        if not operation.must_land and self._queue.qsize() >= self._queue_max:
            raise LedgerUnavailableError(f"{self._queue_max} operations already wait for the disk")
        self._queue.put(operation)

    def stop(self) -> list[Operation]:
        """Write what is queued, end the thread and give back what could not be written."""
        self._queue.put(None)
        self._thread.join()
        return self._kept

    def _run(self) -> None:
        while True:
            group = self._next_group()
            if group.operations:
                self._write(group.operations)
            if group.stop:
                return

    def _next_group(self) -> _Group:
        """Wait for something to do, then take all that is there, what was kept from a failure first."""
        group = _Group()
        try:
            first = self._queue.get(timeout=_RETRY_S) if self._kept else self._queue.get()
            group.stop = first is None
            if first is not None:
                group.operations.append(first)
            while len(group.operations) < _GROUP_MAX:
                more = self._queue.get_nowait()
                if more is None:
                    group.stop = True
                else:
                    group.operations.append(more)
        except queue.Empty:
            pass
        if self._kept:
            group.operations[:0] = self._kept
            self._kept = []
        return group

    def _write(self, operations: list[Operation]) -> None:
        try:
            self._transaction(operations)
        except Exception as error:  # noqa: BLE001 - handed on to the one who asked, or kept and tried again
            if _is_the_disk(error):
                self._refuse(operations, error)
            elif len(operations) == 1:
                operations[0].error = error
                self._resolve(operations)
            else:  # one bad operation must not take its neighbours along
                for operation in operations:
                    self._write([operation])
        else:
            if self.problem is not None:
                log.warning("ledger.recovered", extra={"problem": self.problem})
                self.problem = None
            self._resolve(operations)

    def _transaction(self, operations: list[Operation]) -> None:
        execute = self._connection.execute
        execute("BEGIN IMMEDIATE")
        try:
            self._apply(operations)
            execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                execute("ROLLBACK")
            raise

    def _apply(self, operations: list[Operation]) -> None:
        execute = self._connection.execute
        opened = [o.opened.columns() for o in operations if o.opened is not None]
        if opened:
            execute(statements.OPEN, (_json(opened),))
        attempts = [o.attempt.columns() for o in operations if o.attempt is not None]
        if attempts:
            execute(statements.ATTEMPT, (_json(attempts),))
        extensions = [o.extend for o in operations if o.extend is not None]
        if extensions:
            execute(statements.EXTEND, (_json(list(extensions)),))
        generations = [o.generation for o in operations if o.generation is not None]
        if generations:
            execute(statements.GENERATION, (_json(list(generations)),))
        attempt_ends = [o.attempt_end.columns() for o in operations if o.attempt_end is not None]
        attempt_ends += [
            o.end.last_attempt.columns() for o in operations if o.end is not None and o.end.last_attempt is not None
        ]
        if attempt_ends:
            execute(statements.ATTEMPT_END, (_json(attempt_ends),))
        self._apply_ends([o for o in operations if o.end is not None])
        for operation in operations:
            if operation.call is not None:
                self._apply_call(operation)

    def _apply_ends(self, operations: list[Operation]) -> None:
        ends = [o.end for o in operations if o.end is not None]
        if not ends:
            return
        rows = self._connection.execute(statements.END, (_json([end.columns() for end in ends]),)).fetchall()
        if len(rows) != len(ends):
            raise EndedTwiceError(f"{len(ends) - len(rows)} of {len(ends)} requests had ended already")
        hourly = [end.hourly_columns() for end in ends if end.state != "pending"]
        if hourly:
            self._connection.execute(statements.HOURLY, (_json(hourly),))

    def _apply_call(self, operation: Operation) -> None:
        """Run a rarer change in a savepoint, so that its failure is its own."""
        assert operation.call is not None
        self._connection.execute("SAVEPOINT call")
        try:
            operation.result = operation.call(self._connection)
        except Exception as error:  # noqa: BLE001 - handed on to the one who asked, or kept and tried again
            if _is_the_disk(error):
                raise
            self._connection.execute("ROLLBACK TO call")
            operation.error = error
        self._connection.execute("RELEASE call")

    def _refuse(self, operations: list[Operation], error: Exception) -> None:
        """The disk said no: new requests are refused, ends are kept."""
        if self.problem is None:
            log.error("ledger.unavailable", extra={"problem": str(error)})
        self.problem = str(error)
        refused = [o for o in operations if not o.must_land]
        self._kept = [o for o in operations if o.must_land]
        for operation in refused:
            operation.error = LedgerUnavailableError(str(error))
        self._resolve(refused)

    def _resolve(self, operations: list[Operation]) -> None:
        try:
            self._loop.call_soon_threadsafe(_set_results, operations)
        except RuntimeError:  # the loop is closed: nobody waits any more, and what is committed is committed
            log.info("ledger.unheard", extra={"operations": len(operations)})


def _set_results(operations: list[Operation]) -> None:
    for operation in operations:
        future = operation.future
        if future is None or future.done():
            if operation.error is not None:
                log.error("ledger.refused", extra={"problem": str(operation.error)})
        elif operation.error is not None:
            future.set_exception(operation.error)
        else:
            future.set_result(operation.result)
