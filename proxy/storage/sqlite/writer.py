"""The one thread that writes the ledger.

Fails closed: an operation is acknowledged only after its commit is on disk (WAL, synchronous=FULL). The writer commits
whatever is queued as soon as the last commit ended, so that a group is one row when idle and many rows under load.
When the disk refuses, new requests get LedgerUnavailableError and nothing is sent upstream; ends of requests stay in
memory and are tried again until they are on disk.
"""

import asyncio
import contextlib
import logging
import queue
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

from proxy.core.eager_task import InlineFuture
from proxy.core.limit_kinds import NO_PIECES
from proxy.core.thread_signal import ThreadSignal
from proxy.storage.ledger import Done, EndedTwiceError, LedgerUnavailableError
from proxy.storage.rows import (
    DOUBTLESS,
    AttemptEnd,
    GenerationNote,
    NewAttempt,
    OpenRow,
    RequestEnd,
    ended_id,
    hourly_counts,
    hourly_flagged,
    hourly_pieces,
    hourly_row,
    hourly_rows,
    id_text,
    kind_of,
    opened_id,
    pieces_of,
    storable,
)
from proxy.storage.sqlite import statements
from proxy.storage.sqlite.late_lookups import add_lookups
from proxy.storage.sqlite.statements import BatchStatement, Row
from proxy.storage.sqlite.usage_daily import add_to_days, days_until_ms

log = logging.getLogger("tollkeeper.ledger")

_RETRY_S = 0.25  # how often ends that could not be committed are tried again while nothing else arrives
_MARK_EVERY_S = 1.0
# Under load a group waits a moment for more, as with PostgreSQL's commit_delay: what a transaction costs whatever is
# in it is then shared by more (-10 % CPU a request at 64 connections). Alone nobody waits: groups are of one or two.
_GATHER_S = 0.001
_GATHER_FROM = 4
_RIDE_S = 0.02  # how long what nobody waits for waits for others, whose transaction it shares
_GROUP_MAX = 1000  # operations in one transaction: beyond this the time of a commit grows with nothing gained


_PRIMARY = 0xFF  # the part of a result code that says which kind of error it is
_DISK_CODES = frozenset(
    {
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_NOTADB,
    }
)
_BROKEN = "the thread that writes the ledger has broken"


Call = Callable[[sqlite3.Connection], Any]  # a rarer change, in a savepoint of its own
What = OpenRow | RequestEnd | NewAttempt | GenerationNote | Call


# One whole thing to be written, all of it or nothing; who waits for the commit; and what is called in the event loop
# after it, or with what refused it, also when nobody waits any more. A plain tuple: a request makes two.
Operation = tuple[What, InlineFuture[Any], Done | None]
# The result of a call, or what refused an operation; all others simply succeeded.
Outcomes = dict[InlineFuture[Any], tuple[Any, Exception | None]]
_WRITTEN = (None, None)


class _Rows:
    """What one group writes, by kind, in the order in which it came."""

    def __init__(self, operations: list[Operation]) -> None:
        self.opened: list[OpenRow] = []
        self.opened_ids: list[int] = []
        self.ends: list[RequestEnd] = []
        self.finished: list[RequestEnd] = []  # of the ends: those whose cost is not awaited
        self.several: list[RequestEnd] = []  # with rows of their attempts
        self.counted: list[RequestEnd] = []  # with rarer counts
        self.billed: list[RequestEnd] = []  # with the names of a bill
        self.with_pieces: list[OpenRow] = []  # that hold what few requests take any of
        self.with_uncounted: list[RequestEnd] = []  # that took more of it than is counted
        self.flagged: list[RequestEnd] = []  # of the finished: those whose figures are in doubt
        self.generations: list[GenerationNote] = []
        self.attempts: list[NewAttempt] = []
        self.calls: list[tuple[Call, InlineFuture[Any]]] = []
        self.outcomes: Outcomes = {}
        for what, waiter, _ in operations:
            if isinstance(what, OpenRow):
                self.opened.append(what)
                self.opened_ids.append(opened_id(what))
                if pieces_of(what) is not NO_PIECES:
                    self.with_pieces.append(what)
            elif isinstance(what, RequestEnd):
                self._add_end(what)
            elif isinstance(what, GenerationNote):
                self.generations.append(what)
            elif isinstance(what, NewAttempt):
                self.attempts.append(what)
            else:
                self.calls.append((what, waiter))

    def _add_end(self, end: RequestEnd) -> None:
        self.ends.append(end)
        state, attempt_ends, counts, uncounted, flags, billed = kind_of(end)
        if state != "pending":
            self.finished.append(end)
            if flags is not None and flags != DOUBTLESS:
                self.flagged.append(end)
        if attempt_ends:
            self.several.append(end)
        if counts is not None:
            self.counted.append(end)
        if billed is not None:
            self.billed.append(end)
        if uncounted is not NO_PIECES:
            self.with_uncounted.append(end)


def _must_land(what: What) -> bool:
    """Return whether money may have been spent: then it may wait for the disk, but is never dropped."""
    return isinstance(what, RequestEnd | GenerationNote)


def _request_of(what: What) -> str | None:
    """Return the id of the request that an operation belongs to, as users see it; None for a call."""
    if isinstance(what, NewAttempt):
        return id_text(what.attempt.request_id)
    if isinstance(what, GenerationNote):
        return id_text(what.request_id)
    return id_text(what.id) if isinstance(what, OpenRow | RequestEnd) else None


def _is_the_disk(error: Exception) -> bool:
    """Return whether the file or what it lies on has refused, so that waiting may help.

    All else is a fault of what was to be written, also a statement that SQLite cannot run: it fails alone.
    """
    if isinstance(error, MemoryError):
        return True
    code = getattr(error, "sqlite_errorcode", None) if isinstance(error, sqlite3.Error) else None
    return code is not None and code & _PRIMARY in _DISK_CODES


def _write_nothing_new(connection: sqlite3.Connection) -> None:
    connection.execute("INSERT INTO meta VALUES ('probe', '')")  # an UPDATE to the same value would write no page
    connection.execute("DELETE FROM meta WHERE name = 'probe'")


class Writer:
    """Owns the connection; everything that changes the ledger goes through submit()."""

    def __init__(self, connection: sqlite3.Connection, loop: asyncio.AbstractEventLoop, queue_max: int) -> None:
        self._connection = connection
        self._cursor = connection.cursor()  # for the hot path: execute() of a connection makes one each time
        self._loop = loop
        # None ends the thread. Operations are handed over once a turn of the loop: a wake-up costs more than a row.
        self._queue: queue.SimpleQueue[list[Operation] | None] = queue.SimpleQueue()
        self._queue_max = queue_max
        self._incoming: list[Operation] = []
        self._at_turn = self._hand_over  # made once, as two of each request ask for it
        self._riders: list[Operation] = []  # what goes with the next group
        self._is_ride_due = False  # a timer runs that hands them over alone
        self._nobody: InlineFuture[Any] = InlineFuture(loop)
        self._nobody.set_result(None)
        self._waiting = 0  # submitted and not yet resolved operations
        self._kept: list[Operation] = []
        self._finished = False  # of the loop: no more is accepted
        self._stopping = False  # of the thread: everything accepted has arrived
        self._signal: ThreadSignal  # from start() on
        self._resolved: deque[tuple[list[Operation], Outcomes]] = deque()  # what the thread has done, for the loop
        self._runner = threading.Thread(target=self._run, name="ledger-writer", daemon=True)
        self._mark_id, self._newest_id = connection.execute(statements.MARKED).fetchone()
        self.days_until_ms = days_until_ms(connection)  # no hour from then on is in a day that is summed
        self._unfinished = {row[0] for row in connection.execute(statements.UNFINISHED, (None,)).fetchall()}
        self._mark_due_s = 0.0
        self._last_count = 0  # operations that came for the last group
        self._under_way: list[Operation] = []  # of the thread: accepted and not yet resolved
        self._lost = 0  # ends of requests that the thread left unwritten when it broke
        self.has_broken = False  # the thread died of a bug: nothing is written any more
        self.problem: str | None = None  # the disk's last error; None while commits succeed

    @property
    def queued(self) -> int:
        """Return how many operations were submitted and are not written yet."""
        return self._waiting

    def is_idle(self) -> bool:
        return not self._waiting and self.problem is None

    def start(self) -> None:
        self._signal = ThreadSignal(self._loop, self._take_results)
        self._runner.start()

    def submit(
        self, what: What, call_done: Done | None = None, waiter: InlineFuture[Any] | None = None
    ) -> InlineFuture[Any]:
        """Queue what is to be written; what is given back is done after the commit.

        waiter: what was given back before, and nobody awaits any more; where it is done it is given back again. Raises
        LedgerUnavailableError where the ledger is closed, and for new requests where the queue is full.
        """
        if self._waiting >= self._queue_max:
            self._check_room(what)
        if waiter is None or not waiter.is_done or waiter.error is not None:  # who was cut off left it behind
            waiter = InlineFuture(self._loop)
        else:
            waiter.renew()
        self._waiting += 1
        incoming = self._incoming
        if not incoming:
            self._loop.call_soon(self._at_turn)
        incoming.append((what, waiter, call_done))
        return waiter

    def submit_with_next(self, what: GenerationNote) -> None:
        """Queue what nobody waits for: it is committed with the next group, or by itself a fiftieth of a second later.

        What refuses it goes to the log. Raises as submit() does.
        """
        if self._waiting >= self._queue_max:
            self._check_room(what)
        self._riders.append((what, self._nobody, None))
        if not self._is_ride_due:
            self._is_ride_due = True
            self._loop.call_later(_RIDE_S, self._end_ride)

    def _end_ride(self) -> None:
        self._is_ride_due = False
        self._hand_over()

    def _check_room(self, what: What) -> None:
        if self.has_broken:
            raise LedgerUnavailableError(self.problem or _BROKEN)
        if self._finished:
            raise LedgerUnavailableError("the ledger is closed")
        if not _must_land(what):
            raise LedgerUnavailableError(f"{self._queue_max} operations already wait for the disk")

    def _hand_over(self) -> None:
        riders = self._riders
        if riders:
            self._waiting += len(riders)
            self._incoming = riders + self._incoming
            self._riders = []
        if self._incoming:
            self._queue.put(self._incoming)
            self._incoming = []

    def finish(self) -> None:
        """Accept no more operations. Call it in the event loop, the only one to submit any."""
        if not self._finished:
            self._finished = True
            self._queue_max = 0  # so that submit() looks
            self._hand_over()
            self._queue.put(None)

    def join(self) -> int:
        """Wait until all that was taken is written; return how many ends could not be. Blocks: call it in a thread."""
        self._runner.join()
        return self._lost + sum(isinstance(what, RequestEnd) for what, _, _ in self._kept)

    def close(self) -> None:
        """Answer what is left; call it in the event loop after join()."""
        self._take_results()
        self._signal.close()

    def is_alive(self) -> bool:
        """Return whether the thread is running, or has ended because it was told to."""
        return self._runner.is_alive() or (self._finished and not self.has_broken)

    def _run(self) -> None:
        try:
            self._write_all()
        except BaseException as error:  # whatever it is, it must be known that nothing is written any more
            log.exception("ledger.writer_ended")
            self._break(error)

    def _write_all(self) -> None:
        while not self._stopping:
            operations = self._next_group()
            if operations:
                self._write(operations)
            elif self.problem is not None and not self._stopping:
                self._probe()
        self._under_way = []
        self._last_mark()

    def _break(self, error: BaseException) -> None:
        """Refuse whatever waits and whatever will come: at once, for it would wait for ever."""
        self.problem = f"{_BROKEN}: {error!r}"
        left = [*self._under_way, *self._kept]
        self._kept = []
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._refuse_all, left)

    def _refuse_all(self, left: list[Operation]) -> None:
        """Fail, in the event loop, all operations that the thread has left unanswered."""
        self.has_broken = True
        self._queue_max = 0  # so that submit() looks
        while True:
            try:
                left += self._queue.get_nowait() or ()
            except queue.Empty:
                break
        left += self._incoming + self._riders
        self._incoming, self._riders = [], []
        self._waiting = 0
        for what, waiter, _ in left:
            if not waiter.is_done:
                self._lost += isinstance(what, RequestEnd)
                waiter.set_exception(LedgerUnavailableError(self.problem or _BROKEN))

    def _next_group(self) -> list[Operation]:
        """Wait for something to do, then take all that is there, what was kept from a failure first."""
        group = self._under_way = self._kept  # the same list, so that nothing taken is ever lost sight of
        self._kept = []
        count = len(group)
        try:
            # kept operations are retried even if the disk has accepted others since
            batch = self._queue.get(timeout=_RETRY_S if group or self.problem is not None else None)
        except queue.Empty:
            self._last_count = 0
            return group
        if self._last_count >= _GATHER_FROM and batch is not None:
            time.sleep(_GATHER_S)
        while batch is not None:
            group += batch
            if len(group) >= _GROUP_MAX or self._queue.empty():
                break
            batch = self._queue.get()
        else:
            self._stopping = True
        self._last_count = len(group) - count
        return group

    def _write(self, operations: list[Operation]) -> None:
        try:
            outcomes = self._transaction(operations)
        except Exception as error:  # noqa: BLE001 - handed on to the one who asked, or kept and tried again
            if _is_the_disk(error):
                self._refuse(operations, error)
            elif len(operations) == 1:
                self._write_mended(operations[0], error)
            else:  # one bad operation must not fail its neighbours: a few halvings isolate it
                middle = len(operations) // 2
                self._write(operations[:middle])
                self._write(operations[middle:])
        else:
            self._note_success()
            self._resolve(operations, outcomes)

    def _write_mended(self, operation: Operation, error: Exception) -> None:
        """Write what must land and cannot be held as it is in the form that can; anything else is refused."""
        what, waiter, call_done = operation
        mended = storable(what) if isinstance(what, RequestEnd | GenerationNote | NewAttempt) else what
        if mended == what:
            self._resolve([operation], {waiter: (None, error)})
            return
        log.error("ledger.row_mended", extra={"request_id": _request_of(mended), "problem": repr(error)})
        self._write([(mended, waiter, call_done)])

    def _probe(self) -> None:
        """Test whether the disk takes writes again: while /readyz is red, nobody else may come and try."""
        try:
            self._transaction([(_write_nothing_new, InlineFuture(self._loop), None)])
        except sqlite3.DatabaseError as error:
            self.problem = str(error)
        else:
            self._note_success()

    def _last_mark(self) -> None:
        """Leave the next start as little to read as possible; a disk that refuses costs only time."""
        self._mark_due_s = 0.0
        try:
            self._transaction([])
        except sqlite3.DatabaseError as error:
            log.info("ledger.mark_failed", extra={"problem": str(error)})

    def _note_success(self) -> None:
        if self.problem is not None:
            log.warning("ledger.recovered", extra={"problem": self.problem})
            self.problem = None

    def _transaction(self, operations: list[Operation]) -> Outcomes:
        if len(operations) == 1 and time.monotonic() < self._mark_due_s and self._is_written_alone(operations[0][0]):
            return {}
        rows = _Rows(operations)
        execute = self._cursor.execute
        execute("BEGIN IMMEDIATE")
        try:
            self._apply(rows)
            mark_id = self._mark(rows.opened_ids)
            execute("COMMIT")
        except BaseException:
            self._roll_back()
            raise
        self._mark_id = mark_id
        if rows.opened_ids:
            self._unfinished.update(rows.opened_ids)
            self._newest_id = max(self._newest_id, *rows.opened_ids)
        self._unfinished.difference_update(map(ended_id, rows.finished))
        return rows.outcomes

    def _roll_back(self) -> None:
        if self._connection.in_transaction:
            self._cursor.execute("ROLLBACK")

    def _is_written_alone(self, what: What) -> bool:
        """Write a plain row that is alone in its group, as nearly all are where requests are few; False: it is not."""
        if isinstance(what, OpenRow):
            return self._is_opened_alone(what)
        return isinstance(what, RequestEnd) and self._is_ended_alone(what)

    def _is_opened_alone(self, row: OpenRow) -> bool:
        id_ = opened_id(row)
        if pieces_of(row) is not NO_PIECES or id_ < self._mark_id:
            return False
        self._cursor.execute(*statements.OPEN.one(row))  # a transaction of its own: committed when it returns
        self._unfinished.add(id_)
        self._newest_id = max(self._newest_id, id_)
        return True

    def _is_ended_alone(self, end: RequestEnd) -> bool:
        state, attempt_ends, counts, uncounted, flags, billed = kind_of(end)
        if (
            state == "pending"
            or attempt_ends
            or counts is not None
            or billed is not None
            or uncounted is not NO_PIECES
            or (flags is not None and flags != DOUBTLESS)
        ):
            return False
        hour = hourly_row(end)
        if hour[0] < self.days_until_ms:
            return False
        try:
            self._end_alone(end, hour)
        except BaseException:
            self._roll_back()
            raise
        self._unfinished.discard(ended_id(end))
        return True

    def _end_alone(self, end: RequestEnd, hour: Row) -> None:
        execute = self._cursor.execute
        execute("BEGIN IMMEDIATE")
        if execute(*statements.END.one(end)).rowcount != 1:
            raise EndedTwiceError("1 of 1 requests had ended already")
        execute(*statements.HOURLY.one(hour))
        execute("COMMIT")

    def _apply(self, rows: _Rows) -> None:
        """Run the statements in the order in which the rows of one request depend on each other."""
        self._run_all(statements.OPEN, rows.opened)
        if rows.with_pieces:
            self._run_all(statements.RESERVE_PIECES, [(row.id, *row.pieces) for row in rows.with_pieces])
        if rows.generations or rows.attempts:
            self._apply_further(rows.generations, rows.attempts)
        if rows.ends:
            self._apply_ends(rows)
        for call, waiter in rows.calls:
            rows.outcomes[waiter] = self._apply_call(call)

    def _apply_further(self, generations: list[GenerationNote], attempts: list[NewAttempt]) -> None:
        firsts = [(row.request_id, row.generation_id) for row in generations if row.n == 1]
        self._run_all(statements.FIRST_GENERATION, firsts)
        for row in attempts:
            if row.before.n == 1:
                self._connection.execute(statements.FIRST_ATTEMPT, (row.before.request_id,))
        self._run_all(statements.ATTEMPT, [row.attempt for row in attempts])
        reserved = [(row.attempt.request_id, *row.reserved) for row in attempts if row.reserved is not None]
        self._run_all(statements.EXTEND, reserved)
        self._run_all(statements.GENERATION, generations)
        self._end_attempts([row.before for row in attempts])

    def _apply_ends(self, rows: _Rows) -> None:
        if rows.several:
            self._end_attempts([row for end in rows.several for row in end.attempt_ends])
        ended = self._run_all(statements.END, rows.ends)
        if ended != len(rows.ends):
            raise EndedTwiceError(f"{len(rows.ends) - ended} of {len(rows.ends)} requests had ended already")
        if rows.several:
            uncounted = [(end.id, end.uncounted_tokens) for end in rows.several if end.state != "pending"]
            self._run_all(statements.UNCOUNTED, uncounted)
            add_lookups(self._connection, rows.several)
        hours = hourly_rows(rows.finished)
        is_late = bool(hours) and min(hours)[0] < self.days_until_ms  # type: ignore[operator] # an hour comes first
        self._add_hours(statements.HOURLY, hours, is_late=is_late)
        if rows.counted:
            self._run_all(statements.REQUEST_COUNTS, [(end.id, *(end.counts or ())) for end in rows.counted])
            self._add_hours(statements.HOURLY_COUNTS, hourly_counts(rows.finished), is_late=is_late)
        if rows.billed:
            self._run_all(statements.REQUEST_BILLED, [(end.id, *(end.billed or ())) for end in rows.billed])
        if rows.with_uncounted:
            pieces = [(end.id, *end.uncounted_pieces) for end in rows.with_uncounted]
            self._run_all(statements.UNCOUNTED_PIECES_OF, pieces)
            self._run_all(statements.HOURLY_PIECES, hourly_pieces(rows.with_uncounted))
        if rows.flagged:
            self._add_hours(statements.HOURLY_FLAGGED, hourly_flagged(rows.flagged), is_late=is_late)

    def _add_hours(self, statement: BatchStatement, rows: Sequence[Row], *, is_late: bool) -> None:
        """Add to the roll-up; is_late: some of the hours may be in a day that is summed."""
        self._run_all(statement, rows)
        if is_late:
            add_to_days(self._connection, statement.names, rows)

    def _end_attempts(self, ends: list[AttemptEnd]) -> None:
        self._run_all(statements.ATTEMPT_END, ends)
        counted = [(end.request_id, end.n, *end.counts) for end in ends if end.counts is not None]
        self._run_all(statements.ATTEMPT_COUNTS, counted)
        billed = [(end.request_id, end.n, *end.billed) for end in ends if end.billed is not None]
        self._run_all(statements.ATTEMPT_BILLED, billed)

    def _run_all(self, statement: BatchStatement, rows: Sequence[tuple[object, ...]]) -> int:
        """Run a statement for all rows; gives how many rows of its table it changed."""
        if not rows:
            return 0
        changed = 0
        for sql, values in statement.runs(rows):
            changed += self._cursor.execute(sql, values).rowcount
        return changed

    def _mark(self, opened_ids: list[int]) -> int:
        """Store, once a second, the id below which every request is finished, so that a start reads no more.

        Ids are assigned before requests are opened, so one may be opened late: then the mark goes back with it. Returns
        the mark on disk once the transaction is committed.
        """
        mark_id: int = self._mark_id
        if opened_ids and min(opened_ids) < mark_id:
            mark_id = min(opened_ids)
        elif time.monotonic() >= self._mark_due_s:
            self._mark_due_s = time.monotonic() + _MARK_EVERY_S
            mark_id = min(chain(self._unfinished, opened_ids), default=self._newest_id)
        if mark_id != self._mark_id:
            self._connection.execute(statements.MARK, (mark_id,))
        return mark_id

    def _apply_call(self, call: Call) -> tuple[Any, Exception | None]:
        """Run a rarer change in a savepoint, so that its failure is its own."""
        answer, failure = None, None
        self._connection.execute("SAVEPOINT call")
        try:
            answer = call(self._connection)
        except Exception as error:
            if _is_the_disk(error):
                raise
            self._connection.execute("ROLLBACK TO call")
            failure = error
        self._connection.execute("RELEASE call")
        return answer, failure

    def _refuse(self, operations: list[Operation], error: Exception) -> None:
        """Refuse new requests and keep ends, after the disk refused a commit."""
        if self.problem is None:
            log.error("ledger.unavailable", extra={"problem": str(error)})
        self.problem = str(error)
        refused = [o for o in operations if not _must_land(o[0])]
        self._kept = [*self._kept, *(o for o in operations if _must_land(o[0]))]
        self._resolve(refused, {waiter: (None, LedgerUnavailableError(str(error))) for _, waiter, _ in refused})

    def _resolve(self, operations: list[Operation], outcomes: Outcomes) -> None:
        self._resolved.append((operations, outcomes))
        try:
            self._signal.send()
        except RuntimeError:  # the loop is closed: nobody waits any more, and what is committed is committed
            log.info("ledger.unanswered", extra={"operations": len(operations)})

    def _take_results(self) -> None:
        resolved = self._resolved
        try:
            while resolved:
                operations, outcomes = resolved.popleft()
                self._set_results(operations, outcomes)
        finally:
            if resolved:  # one that went on has raised: the others are answered all the same
                self._loop.call_soon(self._take_results)

    def _set_results(self, operations: list[Operation], outcomes: Outcomes) -> None:
        self._waiting -= len(operations)
        if outcomes:
            self._set_outcomes(operations, outcomes)
            return
        for _, waiter, call_done in operations:  # nearly always: all that is in the group is written
            if call_done is not None:
                try:
                    call_done(None)
                except Exception:  # its failure must not leave the rest of the group unanswered
                    log.exception("ledger.callback_failed")
            if not waiter.is_done:
                waiter.set_result(None)

    def _set_outcomes(self, operations: list[Operation], outcomes: Outcomes) -> None:
        for _, waiter, call_done in operations:
            answer, error = outcomes.get(waiter, _WRITTEN)
            if call_done is not None:
                try:
                    call_done(error)
                except Exception:  # its failure must not leave the rest of the group unanswered
                    log.exception("ledger.callback_failed")
            if waiter.is_done:
                if error is not None:
                    log.error("ledger.write_refused", extra={"problem": str(error)})
            elif error is not None:
                waiter.set_exception(error)
            else:
                waiter.set_result(answer)
