"""The ledger as those see it who write to it: operations by name, whatever holds the rows.

Fails closed: what is awaited here is durable when the await ends, or it raises LedgerUnavailableError and nothing was
written. Operations take effect in the order in which they were asked for. What only reads is in reports.py.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from proxy.core.eager_task import InlineFuture
from proxy.core.errors import TollkeeperError
from proxy.policy.day_span import DaySpan
from proxy.storage.adjustment import Booked, Correction, Tell, UnattachedCost
from proxy.storage.admin_posts import PostClaim
from proxy.storage.alerts import AlertNotes
from proxy.storage.audit import Actor
from proxy.storage.labels import Labels
from proxy.storage.late_lookup import LookupNote
from proxy.storage.reconciliation import DayResult
from proxy.storage.refusals import RefusalRow
from proxy.storage.rows import (
    AttemptEnd,
    AttemptRow,
    KeyHash,
    KeyHashes,
    OpenRow,
    RequestEnd,
    RequestIds,
    Reserved,
    RowState,
    StoredKey,
    UnfinishedRequest,
)


class LedgerUnavailableError(TollkeeperError):
    """The disk refused, or the queue is full; nothing was written."""


class EndedTwiceError(TollkeeperError):
    """A second end for one request: a fault of ours, never written."""


Done = Callable[[Exception | None], None]


class Ledger(Protocol):
    """Where requests are booked, once each; one process owns it."""

    ids: RequestIds

    @property
    def problem(self) -> str | None:
        """Return what the disk said last; None while commits succeed."""
        ...

    @property
    def queued(self) -> int:
        """Return how many operations wait to be written."""
        ...

    def is_alive(self) -> bool:
        """Return whether it still writes."""
        ...

    def is_idle(self) -> bool:
        """Return whether nothing waits to be written, and the disk has not refused the last."""
        ...

    def open(self, row: OpenRow, /) -> InlineFuture[None]:
        """Write the request and its first attempt durably: only then may a byte go upstream."""
        ...

    def add_attempt(
        self, attempt: AttemptRow, before: AttemptEnd, reserved: Reserved | None = None
    ) -> InlineFuture[None]:
        """Write another attempt durably, with the end of the one before it.

        The request's reservation is raised to reserved where it is given.
        """
        ...

    def note_generation(self, request_id: int, n: int, generation_id: str) -> None:
        """Queue the provider's id of an attempt, so that a crash leaves something to look up.

        It is on disk after a fiftieth of a second, or with what is written before.
        """
        ...

    def end(
        self, end: RequestEnd, done: Done | None = None, waiter: InlineFuture[None] | None = None, /
    ) -> InlineFuture[None]:
        """Settle, release or set pending; raises EndedTwiceError if the request has ended already.

        done is called after the commit, also when the awaiting one has given up. waiter: what open() gave, and nobody
        awaits any more; where that has raised nothing it may be given back, to be awaited again.
        """
        ...

    async def unfinished(self, request_id: int | None = None) -> list[UnfinishedRequest]:
        """List what is open or pending, oldest first; only one request where its id is given."""
        ...

    async def state(self, request_id: int) -> RowState | None:
        """Return how far a request is once all that was queued before is written; None where it has no row."""
        ...

    async def find_key(self, key_hash: bytes, since_id: int) -> StoredKey | None:
        """Return the last request that had an Idempotency-Key; None if none has had it since since_id."""
        ...

    async def claim_key(self, hashes: KeyHashes, request_id: int, since_id: int) -> None:
        """Assign an Idempotency-Key to a request: before its row, and so before anything is sent.

        Keys of requests before since_id are forgotten, some at a time.
        """
        ...

    async def add_end_user(self, *, now_ms: int, name: str, token_id: str, users_max: int) -> dict[str, Any]:
        """Return the row of an end user whom a token named, created if there is none.

        Raises TooManyUsersError where users_max were made so already.
        """
        ...

    async def operate(
        self, operation: str, *, now_ms: int, actor: Actor, fields: Mapping[str, Any], claim: PostClaim | None = None
    ) -> Any:
        """Run one of admin_operations.CHANGES by its name, all of it or nothing; raises UserError.

        claim: of the POST that asks for it, written with the change.
        """
        ...

    async def keep_answer(self, claim: PostClaim, now_ms: int, status: int | None, answer: bytes | None) -> None:
        """Write what a POST was answered; None where that is not to be kept."""
        ...

    async def sum_days(self, days: Sequence[DaySpan], count: int) -> bool:
        """Add up the next rows, about so many, until sums of these days and no others are kept.

        Returns False once it is so; a ledger that keeps none returns it at once. Reports are the same with and without.
        """
        ...

    async def set_labels(self, labels: Labels, now_ms: int) -> None:
        """Store what reports show; a new rate of the currency holds from the next full hour on."""
        ...

    async def note_keys(self, keys: Sequence[KeyHash], now_ms: int) -> None:
        """Store what keys the ids in rows stand for: before the first row that has one."""
        ...

    async def remove_rows(self, ids: Sequence[int]) -> int:
        """Remove requests that have ended, with all that is theirs; return how many went. Their sums stay."""
        ...

    async def add_refusals(self, rows: Sequence[RefusalRow]) -> None:
        """Write requests that were refused and have no row; one that is there already stays as it is."""
        ...

    async def remove_refusals(self, upto_id: int, count: int) -> int:
        """Remove the oldest refusals, up to an id and count at most; return how many went."""
        ...

    async def correct(
        self, corrections: Sequence[Correction], now_ms: int, tell: Tell | None = None, actor: Actor | None = None
    ) -> tuple[Booked, ...]:
        """Book what requests that have ended cost after all, all of it or nothing; one result each, in order.

        actor: the person who says so, for the audit trail; None: the proxy itself has learnt it. What a request is
        booked at already is the starting point, so that the same truth twice changes nothing. jobs/late_truths.py calls
        it, and moves what is kept in memory.
        """
        ...

    async def book_unattached(
        self, costs: Sequence[UnattachedCost], now_ms: int, tell: Tell | None = None
    ) -> tuple[Booked, ...]:
        """Book what belongs to no request, as correct() does, by its reference."""
        ...

    async def note_lookups(self, notes: Sequence[LookupNote]) -> None:
        """Write what became of attempts whose cost may be told later; ends of requests note new ones themselves."""
        ...

    async def note_sessions(self, seen: Mapping[str, int]) -> None:
        """Write when sessions were used last, in ms since 1970, by their ids."""
        ...

    async def note_reconciliation(self, result: DayResult) -> None:
        """Write what a comparison with the bill found, in place of what an earlier one has found of the day."""
        ...

    async def note_matched_calls(self, provider: str, pairs: Mapping[str, int]) -> None:
        """Remember which calls of the bill are requests that did not know it, by generation id."""
        ...

    async def note_alerts(self, notes: AlertNotes, now_ms: int) -> None:
        """Write what became of alerts, all of it or nothing."""
        ...

    async def flush(self) -> None:
        """Return once all that was asked for before is durable, so that a report shows it."""
        ...

    async def close(self) -> int:
        """Write what is queued and close; return how many ends of requests could not be written."""
        ...
