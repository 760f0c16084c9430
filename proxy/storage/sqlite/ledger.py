"""The ledger in one SQLite file: requests, attempts, adjustments and the hourly roll-up, written by one thread."""

import asyncio
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from proxy.core.eager_task import InlineFuture
from proxy.policy.day_span import DaySpan
from proxy.storage.adjustment import Booked, Correction, Tell, UnattachedCost
from proxy.storage.admin_operations import CHANGES
from proxy.storage.admin_posts import PostClaim
from proxy.storage.alerts import AlertNotes
from proxy.storage.audit import Actor
from proxy.storage.labels import Labels
from proxy.storage.late_lookup import LookupNote
from proxy.storage.ledger import Done
from proxy.storage.master_keys import MasterKeys, keys_beside
from proxy.storage.reconciliation import DayResult
from proxy.storage.refusals import RefusalRow
from proxy.storage.rows import (
    AttemptEnd,
    AttemptRow,
    GenerationNote,
    KeyHash,
    KeyHashes,
    NewAttempt,
    OpenRow,
    RequestEnd,
    RequestIds,
    Reserved,
    RowState,
    StoredKey,
    UnfinishedRequest,
)
from proxy.storage.sqlite.adjustments import book_unattached, correct
from proxy.storage.sqlite.admin_posts import claim_post, keep_answer
from proxy.storage.sqlite.alerts import write_alert_notes
from proxy.storage.sqlite.connect import connect_owner, make_private_file
from proxy.storage.sqlite.idempotency import find_key, note_key
from proxy.storage.sqlite.key_hashes import note_keys
from proxy.storage.sqlite.labels import set_labels
from proxy.storage.sqlite.late_lookups import note_lookups
from proxy.storage.sqlite.lock import OwnerLock
from proxy.storage.sqlite.reconciliation import write_day, write_pairs
from proxy.storage.sqlite.refusals import add_refusals, remove_refusals
from proxy.storage.sqlite.retention import remove_rows
from proxy.storage.sqlite.sessions import note_sessions
from proxy.storage.sqlite.stores import SqliteStores
from proxy.storage.sqlite.unfinished import read_state, read_unfinished
from proxy.storage.sqlite.usage_daily import sum_days
from proxy.storage.sqlite.users import SqliteUsers
from proxy.storage.sqlite.writer import Writer

T = TypeVar("T")

# an id is that of one request, whichever of the tables it is in
_LAST_IDS = ("SELECT ifnull(max(id), 0) FROM requests", "SELECT ifnull(max(id), 0) FROM refusals")


class WriteEnd(Protocol):
    """Ledger.end(), without a frame of its own."""

    def __call__(
        self, end: RequestEnd, done: Done | None = None, waiter: InlineFuture[None] | None = None, /
    ) -> InlineFuture[None]:
        """Settle, release or set pending."""
        ...


class SqliteLedger:
    """The ledger on one SQLite file with one writer thread; opened by open_ledger()."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        lock: OwnerLock,
        writer: Writer,
        loop: asyncio.AbstractEventLoop,
        master: MasterKeys,
    ) -> None:
        self._connection = connection
        self._lock = lock
        self._writer = writer
        self._loop = loop
        last = max(connection.execute(query).fetchone()[0] for query in _LAST_IDS)
        self._master = master
        self.ids = RequestIds(last)
        self.open: Callable[[OpenRow], InlineFuture[None]] = writer.submit
        self.end: WriteEnd = writer.submit
        self.is_idle: Callable[[], bool] = writer.is_idle

    @property
    def problem(self) -> str | None:
        return self._writer.problem

    @property
    def queued(self) -> int:
        return self._writer.queued

    def is_alive(self) -> bool:
        """Return whether the writer is still running."""
        return self._writer.is_alive()

    def add_attempt(
        self, attempt: AttemptRow, before: AttemptEnd, reserved: Reserved | None = None
    ) -> InlineFuture[None]:
        return self._writer.submit(NewAttempt(attempt, before, reserved))

    def note_generation(self, request_id: int, n: int, generation_id: str) -> None:
        self._writer.submit_with_next(GenerationNote(request_id, n, generation_id))

    async def change(self, call: Callable[[sqlite3.Connection], T]) -> T:
        """Run a rarer change in the writer's transaction, after all that was queued before."""
        waiter = self._writer.submit(call)
        await waiter
        result: T = waiter.result()
        return result

    async def unfinished(self, request_id: int | None = None) -> list[UnfinishedRequest]:
        return await self.change(lambda connection: read_unfinished(connection, request_id))

    async def state(self, request_id: int) -> RowState | None:
        return await self.change(lambda connection: read_state(connection, request_id))

    async def find_key(self, key_hash: bytes, since_id: int) -> StoredKey | None:
        return await self.change(lambda connection: find_key(connection, key_hash, since_id))

    async def claim_key(self, hashes: KeyHashes, request_id: int, since_id: int) -> None:
        await self.change(lambda connection: note_key(connection, hashes, request_id, since_id))

    async def add_end_user(self, *, now_ms: int, name: str, token_id: str, users_max: int) -> dict[str, Any]:
        return await self.change(
            lambda connection: SqliteUsers(connection).add_end_user(
                now_ms=now_ms, name=name, token_id=token_id, users_max=users_max
            )
        )

    async def operate(
        self, operation: str, *, now_ms: int, actor: Actor, fields: Mapping[str, Any], claim: PostClaim | None = None
    ) -> Any:
        change = CHANGES[operation]
        master = self._master

        def run(connection: sqlite3.Connection) -> Any:
            if claim is not None:
                claim_post(connection, claim, now_ms)
            return change(SqliteStores(connection, master), now_ms, actor, fields)

        return await self.change(run)

    async def keep_answer(self, claim: PostClaim, now_ms: int, status: int | None, answer: bytes | None) -> None:
        await self.change(lambda connection: keep_answer(connection, claim, now_ms, status, answer))

    async def sum_days(self, days: Sequence[DaySpan], count: int) -> bool:
        until_ms = max((day.end_ms for day in days), default=0)
        self._writer.days_until_ms = max(self._writer.days_until_ms, until_ms)  # before any of them is begun
        return await self.change(lambda connection: sum_days(connection, days, count))

    async def set_labels(self, labels: Labels, now_ms: int) -> None:
        await self.change(lambda connection: set_labels(connection, labels, now_ms))

    async def note_keys(self, keys: Sequence[KeyHash], now_ms: int) -> None:
        await self.change(lambda connection: note_keys(connection, keys, now_ms))

    async def remove_rows(self, ids: Sequence[int]) -> int:
        return await self.change(lambda connection: remove_rows(connection, ids))

    async def add_refusals(self, rows: Sequence[RefusalRow]) -> None:
        await self.change(lambda connection: add_refusals(connection, rows))

    async def remove_refusals(self, upto_id: int, count: int) -> int:
        return await self.change(lambda connection: remove_refusals(connection, upto_id, count))

    async def correct(
        self, corrections: Sequence[Correction], now_ms: int, tell: Tell | None = None, actor: Actor | None = None
    ) -> tuple[Booked, ...]:
        return await self._book(lambda connection: correct(connection, corrections, now_ms, actor), tell)

    async def book_unattached(
        self, costs: Sequence[UnattachedCost], now_ms: int, tell: Tell | None = None
    ) -> tuple[Booked, ...]:
        return await self._book(lambda connection: book_unattached(connection, costs, now_ms), tell)

    async def _book(
        self, call: Callable[[sqlite3.Connection], tuple[Booked, ...]], tell: Tell | None
    ) -> tuple[Booked, ...]:
        found: tuple[Booked, ...] = ()

        def run(connection: sqlite3.Connection) -> tuple[Booked, ...]:
            nonlocal found
            found = call(connection)
            return found

        def written(error: Exception | None) -> None:
            if error is None and tell is not None:
                tell(found)

        await self._writer.submit(run, written)
        return found

    async def note_lookups(self, notes: Sequence[LookupNote]) -> None:
        await self.change(lambda connection: note_lookups(connection, notes))

    async def note_sessions(self, seen: Mapping[str, int]) -> None:
        await self.change(lambda connection: note_sessions(connection, seen))

    async def note_reconciliation(self, result: DayResult) -> None:
        await self.change(lambda connection: write_day(connection, result))

    async def note_matched_calls(self, provider: str, pairs: Mapping[str, int]) -> None:
        await self.change(lambda connection: write_pairs(connection, provider, pairs))

    async def note_alerts(self, notes: AlertNotes, now_ms: int) -> None:
        await self.change(lambda connection: write_alert_notes(connection, notes, now_ms))

    async def flush(self) -> None:
        await self.change(lambda _: None)

    async def close(self) -> int:
        """Write what is queued, fold the WAL into the file, free the lock; give how many ends could not be written."""
        self._writer.finish()
        unwritten = await asyncio.to_thread(self._writer.join)
        self._writer.close()
        try:
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except (
            sqlite3.OperationalError
        ):  # a full disk or a reader: the WAL stays beside the file and is read at the next start
            pass
        finally:
            self._connection.close()
            self._lock.release()
        return unwritten


def open_ledger(
    path: Path,
    loop: asyncio.AbstractEventLoop,
    *,
    purpose: str,
    busy_timeout_s: float,
    queue_max: int,
    master: MasterKeys | None = None,
) -> SqliteLedger:
    """Open or make the ledger as its one owner. purpose says who we are to the next one who tries.

    master: what seals secrets; None: the master key that stands in the file beside the ledger.
    """
    make_private_file(path)
    lock = OwnerLock(path)
    lock.acquire(purpose)
    try:
        connection = connect_owner(path, busy_timeout_s)
    except BaseException:
        lock.release()
        raise
    writer = Writer(connection, loop, queue_max)
    ledger = SqliteLedger(connection, lock, writer, loop, master or keys_beside(path))
    writer.start()
    return ledger
