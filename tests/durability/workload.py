"""Random groups of operations as requests make them, with a model of what each commit leaves; no I/O here."""

import asyncio
import sqlite3
from dataclasses import dataclass, replace
from functools import partial
from random import Random

from proxy.core.eager_task import InlineFuture
from proxy.storage.adjustment import Correction
from proxy.storage.rows import HOUR_MS, GenerationNote, NewAttempt, RequestIds, Reserved
from proxy.storage.sqlite.adjustments import correct
from proxy.storage.sqlite.writer import Operation, What
from tests.storage.made_requests import START_MS, attempt_end, attempt_row, open_row, request_end

_USERS = ("anna", "bob", "carl")


@dataclass(frozen=True, slots=True)
class Request:
    """What must be found of a request: all that anybody was told is on disk."""

    started_ms: int
    user: str
    state: str
    reserved_pusd: int
    cost_pusd: int | None
    cost_source: str
    attempts: tuple[tuple[str, str | None], ...]  # outcome and generation id of each
    late: tuple[int, ...] = ()  # what was booked on top after its end, in order


State = dict[int, Request]


def _book(connection: sqlite3.Connection, correction: Correction) -> object:
    return correct(connection, (correction,), START_MS)


class Workload:
    """Draws operations; rows is what the ledger holds when all that were drawn have been written."""

    def __init__(self, rng: Random, rows: State, loop: asyncio.AbstractEventLoop) -> None:
        self._rng = rng
        self._loop = loop
        self._ids = RequestIds(max(rows, default=0))
        self.rows = dict(rows)
        self._unfinished = [id_ for id_, row in rows.items() if row.state in ("open", "pending")]

    def group(self) -> list[Operation]:
        """Give what one transaction writes: at most one operation of a request that began before it."""
        rng = self._rng
        ended = [id_ for id_, row in self.rows.items() if row.state in ("settled", "released")]
        touched = rng.sample(self._unfinished, min(len(self._unfinished), rng.choice((0, 1, 1, 2, 5))))
        whats = [self._go_on(id_) for id_ in touched]
        if ended and rng.random() < 0.3:
            whats.append(self._correct(rng.choice(ended)))
        whats += [self._open() for _ in range(rng.choice((0, 1, 1, 2, 6)) or not touched)]
        return [(what, InlineFuture(self._loop), None) for what in whats]

    def _open(self) -> What:
        rng = self._rng
        started_ms = START_MS + rng.randrange(4) * HOUR_MS
        id_, user, reserved = self._ids.next(started_ms), rng.choice(_USERS), rng.randrange(10**12)
        filling = "s" * rng.randrange(300)  # so that rows reach over pages in many ways
        row = open_row(id_, started_ms=started_ms, user=user, reserved_pusd=reserved, session_id=filling)
        self.rows[id_] = Request(started_ms, user, "open", reserved, None, "none", (("open", None),))
        self._unfinished.append(id_)
        return row

    def _go_on(self, id_: int) -> What:
        row, rng = self.rows[id_], self._rng
        n = len(row.attempts)
        kind = rng.choice(("end", "end", "end", "pending", "generation", "attempt"))
        if row.state == "pending" or kind == "end":
            return self._end(id_, "released" if row.state == "open" and rng.random() < 0.2 else "settled")
        if kind == "pending":
            return self._end(id_, "pending")
        if kind == "generation":
            generation_id = f"gen-{rng.randrange(10**9)}"
            self._change_last(id_, row, row.attempts[-1][0], generation_id)
            return GenerationNote(id_, n, generation_id)
        reserved = row.reserved_pusd + rng.randrange(10**9)
        ended = (*row.attempts[:-1], ("upstream_error", None))
        self.rows[id_] = replace(row, reserved_pusd=reserved, attempts=(*ended, ("open", None)))
        before = attempt_end(id_, n, outcome="upstream_error", cost_pusd=0, cost_source="none")
        return NewAttempt(attempt_row(id_, n + 1), before, Reserved(reserved, None))

    def _correct(self, id_: int) -> What:
        """Book an ended request at what it cost after all, which it may be booked at already."""
        row = self.rows[id_]
        booked = (row.cost_pusd or 0) + sum(row.late)
        actual = self._rng.choice((0, booked, self._rng.randrange(10**12)))
        if actual != booked:
            self.rows[id_] = replace(row, late=(*row.late, actual - booked))
        return partial(_book, correction=Correction(id_, actual, "late look-up", "generation"))

    def _change_last(self, id_: int, row: Request, outcome: str, generation_id: str | None) -> None:
        self.rows[id_] = replace(row, attempts=(*row.attempts[:-1], (outcome, generation_id)))

    def _end(self, id_: int, state: str) -> What:
        row = self.rows[id_]
        cost = {"settled": self._rng.randrange(10**12), "released": 0, "pending": None}[state]
        source = "provider" if state == "settled" else "none"
        self._change_last(id_, replace(row, state=state, cost_pusd=cost, cost_source=source), "ok", None)
        if state != "pending":
            self._unfinished.remove(id_)
        begun = open_row(id_, started_ms=row.started_ms, user=row.user)
        return request_end(begun, n=len(row.attempts), state=state, cost_pusd=cost, cost_source=source)
