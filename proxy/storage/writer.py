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
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from operator import add
from typing import Any, cast

from proxy.core.errors import TollkeeperError
from proxy.core.waiter import Waiter
from proxy.storage import statements
from proxy.storage.rows import Generation, NewAttempt, OpenRow, RequestEnd

log = logging.getLogger("tollkeeper.ledger")

_RETRY_S = 0.25  # how often ends that could not be committed are tried again while nothing else arrives
_MARK_EVERY_S = 1.0
# Under load a group waits a moment for more, as with PostgreSQL's commit_delay: what a transaction costs whatever is
# in it is then shared by more (-10 % CPU a request at 64 connections). Alone nobody waits: groups are of one or two.
_GATHER_S = 0.001
_GATHER_FROM = 4
_GROUP_MAX = 1000  # operations in one transaction: beyond this the time of a commit grows with nothing gained


class LedgerUnavailableError(TollkeeperError):
    """The disk refused, or the queue is full; nothing was written."""


class EndedTwiceError(TollkeeperError):
    """A second end for one request: a fault of ours, never written."""


Done = Callable[[Exception | None], None]


Call = Callable[[sqlite3.Connection], Any]  # a rarer change, in a savepoint of its own
What = OpenRow | RequestEnd | NewAttempt | Generation | Call


class Operation:
    """One whole thing to be written, all of it or nothing.

    done is called in the event loop after the commit, or with what refused it, also when nobody awaits future any
    more.
    """

    result: Any = None
    error: Exception | None = None

    def __init__(self, what: What, future: Waiter[Any] | None = None, done: Done | None = None) -> None:
        self.what = what
        self.future = future
        self.done = done

    @property
    def must_land(self) -> bool:
        """Tell whether money may have been spent: then it may wait for the disk, but is never dropped."""
        return isinstance(self.what, RequestEnd | Generation)


@dataclass(slots=True)
class _Rows:
    """The rows of one group, by statement. unfinished and finished are ids of requests."""

    opened: list[Sequence[object]] = field(default_factory=list)
    first_generations: list[Sequence[object]] = field(default_factory=list)
    firsts: list[int] = field(default_factory=list)
    attempts: list[Sequence[object]] = field(default_factory=list)
    extensions: list[Sequence[object]] = field(default_factory=list)
    generations: list[Sequence[object]] = field(default_factory=list)
    attempt_ends: list[Sequence[object]] = field(default_factory=list)
    ends: list[Sequence[object]] = field(default_factory=list)
    uncounted: list[Sequence[object]] = field(default_factory=list)
    hourly: dict[tuple[object, ...], Sequence[int]] = field(default_factory=dict)  # sums by the key of a row
    calls: list[Operation] = field(default_factory=list)
    unfinished: list[int] = field(default_factory=list)
    finished: list[int] = field(default_factory=list)

    def add(self, operation: Operation) -> None:
        what = operation.what
        if isinstance(what, OpenRow):
            self.opened.append(what)
            self.unfinished.append(what.id)
        elif isinstance(what, RequestEnd):
            self._add_end(what)
        elif isinstance(what, Generation):
            if what.n == 1:
                self.first_generations.append((what.request_id, what.generation_id))
            self.generations.append(what)
        elif isinstance(what, NewAttempt):
            self._add_attempt(what)
        else:
            self.calls.append(operation)

    def _add_end(self, end: RequestEnd) -> None:
        self.ends.append(end.columns())
        self.attempt_ends += end.attempt_ends
        if end.state != "pending":
            self.finished.append(end.id)
            if end.attempt_ends:
                self.uncounted.append((end.id, end.uncounted_tokens))
            key, amounts = end.hourly_key(), end.hourly_amounts()
            held = self.hourly.get(key)
            self.hourly[key] = amounts if held is None else tuple(map(add, held, amounts))

    def _add_attempt(self, what: NewAttempt) -> None:
        id_ = what.attempt.request_id
        if what.before.n == 1:
            self.firsts.append(id_)
        self.attempts.append(what.attempt)
        self.attempt_ends.append(what.before)
        if what.reserved is not None:
            self.extensions.append((id_, *what.reserved))


def _collect(operations: list[Operation]) -> _Rows:
    rows = _Rows()
    for operation in operations:
        rows.add(operation)
    return rows


def _is_the_disk(error: Exception) -> bool:
    """Full, locked, read-only, broken: waiting may help. A row that the schema refuses is not that."""
    return isinstance(error, sqlite3.DatabaseError) and not isinstance(
        error, sqlite3.IntegrityError | sqlite3.DataError | sqlite3.ProgrammingError
    )


def _write_nothing_new(connection: sqlite3.Connection) -> None:
    connection.execute("INSERT INTO meta VALUES ('probe', '')")  # an UPDATE to the same value would write no page
    connection.execute("DELETE FROM meta WHERE name = 'probe'")


class Writer:
    """Owns the connection; everything that changes the ledger goes through submit()."""

    def __init__(self, connection: sqlite3.Connection, loop: asyncio.AbstractEventLoop, queue_max: int) -> None:
        self._connection = connection
        self._loop = loop
        # None ends the thread. Operations are handed over once a turn of the loop: a wake-up costs more than a row.
        self._queue: queue.SimpleQueue[list[Operation] | None] = queue.SimpleQueue()
        self._queue_max = queue_max
        self._incoming: list[Operation] = []
        self._waiting = 0  # operations that were submitted and not yet resolved
        self._kept: list[Operation] = []
        self._finished = False  # of the loop: nothing more is taken
        self._stopping = False  # of the thread: all that was taken is here
        self._thread = threading.Thread(target=self._run, name="ledger-writer", daemon=True)
        self._mark_id, self._newest_id = connection.execute(statements.MARKED).fetchone()
        self._unfinished = {row[0] for row in connection.execute(statements.UNFINISHED, (None,)).fetchall()}
        self._mark_due_s = 0.0
        self._last_count = 0  # operations that came for the last group
        self.problem: str | None = None  # what the disk said last; None while commits succeed

    def start(self) -> None:
        self._thread.start()

    def submit(self, operation: Operation) -> None:
        """Queue an operation; its future is resolved after the commit. A full queue refuses new requests."""
        if self._finished:
            raise LedgerUnavailableError("the ledger is closed")
        if self._waiting >= self._queue_max and not operation.must_land:
            raise LedgerUnavailableError(f"{self._queue_max} operations already wait for the disk")
        self._waiting += 1
        self._incoming.append(operation)
        if len(self._incoming) == 1:
            self._loop.call_soon(self._hand_over)

    def _hand_over(self) -> None:
        if self._incoming:
            self._queue.put(self._incoming)
            self._incoming = []

    def finish(self) -> None:
        """Take nothing more. Call it in the loop, which alone hands operations over."""
        if not self._finished:
            self._finished = True
            self._hand_over()
            self._queue.put(None)

    def join(self) -> list[Operation]:
        """Wait until all that was taken is written and give back what could not be. Blocks: call it in a thread."""
        self._thread.join()
        return self._kept

    def _run(self) -> None:
        while not self._stopping:
            operations = self._next_group()
            if operations:
                self._write(operations)
            elif self.problem is not None and not self._stopping:
                self._probe()
        self._last_mark()

    def _next_group(self) -> list[Operation]:
        """Wait for something to do, then take all that is there, what was kept from a failure first."""
        group, self._kept = self._kept, []
        count = len(group)
        try:
            # what was kept is tried again also where the disk has taken something else since
            batch = self._queue.get(timeout=_RETRY_S if group or self.problem is not None else None)
            if self._last_count >= _GATHER_FROM and batch is not None:
                time.sleep(_GATHER_S)
            while batch is not None:
                group += batch
                if len(group) >= _GROUP_MAX:
                    break
                batch = self._queue.get_nowait()
            else:
                self._stopping = True
        except queue.Empty:
            pass
        self._last_count = len(group) - count
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
            self._note_success()
            self._resolve(operations)

    def _probe(self) -> None:
        """Learn whether the disk takes writes again: while /readyz is red, nobody else may come and try."""
        try:
            self._transaction([Operation(_write_nothing_new)])
        except sqlite3.DatabaseError as error:
            self.problem = str(error)
        else:
            self._note_success()

    def _last_mark(self) -> None:
        """Leave the next start as little to read as can be; it only costs time where the disk refuses."""
        self._mark_due_s = 0.0
        try:
            self._transaction([])
        except sqlite3.DatabaseError as error:
            log.info("ledger.unmarked", extra={"problem": str(error)})

    def _note_success(self) -> None:
        if self.problem is not None:
            log.warning("ledger.recovered", extra={"problem": self.problem})
            self.problem = None

    def _transaction(self, operations: list[Operation]) -> None:
        rows = _collect(operations)
        execute = self._connection.execute
        execute("BEGIN IMMEDIATE")
        try:
            self._apply(rows)
            mark_id = self._mark(rows)
            execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                execute("ROLLBACK")
            raise
        self._mark_id = mark_id
        self._unfinished.update(rows.unfinished)
        self._unfinished.difference_update(rows.finished)
        self._newest_id = max(self._newest_id, max(rows.unfinished, default=0))

    def _apply(self, rows: _Rows) -> None:
        """Run the statements in the order in which the rows of one request depend on each other."""
        execute = self._connection.execute
        for statement, group in (
            (statements.OPEN, rows.opened),
            (statements.FIRST_GENERATION, rows.first_generations),
        ):
            for sql, values in statement.runs(group):
                execute(sql, values)
        for id_ in rows.firsts:
            execute(statements.FIRST_ATTEMPT, (id_,))
        for statement, group in (
            (statements.ATTEMPT, rows.attempts),
            (statements.EXTEND, rows.extensions),
            (statements.GENERATION, rows.generations),
            (statements.ATTEMPT_END, rows.attempt_ends),
        ):
            for sql, values in statement.runs(group):
                execute(sql, values)
        if rows.ends:
            ended = 0
            for sql, values in statements.END.runs(rows.ends):
                ended += execute(sql, values).rowcount
            if ended != len(rows.ends):
                raise EndedTwiceError(f"{len(rows.ends) - ended} of {len(rows.ends)} requests had ended already")
            for sql, values in statements.UNCOUNTED.runs(rows.uncounted):
                execute(sql, values)
        for sql, values in statements.HOURLY.runs([(*key, *amounts) for key, amounts in rows.hourly.items()]):
            execute(sql, values)
        for operation in rows.calls:
            self._apply_call(operation)

    def _mark(self, rows: _Rows) -> int:
        """Note on disk below which id every request is finished, once a second, so that a start reads no more.

        Ids are given before requests are opened, so one may be opened late: then the mark goes back with it. Gives what
        the disk has once the transaction is committed.
        """
        mark_id: int = self._mark_id
        if min(rows.unfinished, default=mark_id) < mark_id:
            mark_id = min(rows.unfinished)
        elif time.monotonic() >= self._mark_due_s:
            self._mark_due_s = time.monotonic() + _MARK_EVERY_S
            mark_id = min(chain(self._unfinished, rows.unfinished), default=self._newest_id)
        if mark_id != self._mark_id:
            self._connection.execute(statements.MARK, (mark_id,))
        return mark_id

    def _apply_call(self, operation: Operation) -> None:
        """Run a rarer change in a savepoint, so that its failure is its own."""
        call = cast(Call, operation.what)
        self._connection.execute("SAVEPOINT call")
        try:
            operation.result = call(self._connection)
        except Exception as error:
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
        self._kept = [*self._kept, *(o for o in operations if o.must_land)]
        for operation in refused:
            operation.error = LedgerUnavailableError(str(error))
        self._resolve(refused)

    def _resolve(self, operations: list[Operation]) -> None:
        try:
            self._loop.call_soon_threadsafe(self._set_results, operations)
        except RuntimeError:  # the loop is closed: nobody waits any more, and what is committed is committed
            log.info("ledger.unheard", extra={"operations": len(operations)})

    def _set_results(self, operations: list[Operation]) -> None:
        self._waiting -= len(operations)
        for operation in operations:
            error = operation.error
            if operation.done is not None:
                self._call_done(operation.done, error)
            future = operation.future
            if future is None or future.done():
                if error is not None:
                    log.error("ledger.refused", extra={"problem": str(error)})
            elif error is not None:
                future.set_exception(error)
            else:
                future.set_result(operation.result)

    def _call_done(self, done: Done, error: Exception | None) -> None:
        """Call one operation's callback, whose failure must not leave the rest of the group without an answer."""
        try:
            done(error)
        except Exception:
            log.exception("ledger.callback")
