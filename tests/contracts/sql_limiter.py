"""A Limiter over SQL: every operation is a transaction of SQLite on a thread of its own, and every sum a query.

It shares no arithmetic with the one in memory, and each of its operations really waits.
"""

import asyncio
import json
import sqlite3
from collections.abc import Awaitable, Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from proxy.core.latch import Latch
from proxy.core.limit_kinds import BY_NAME, COUNTED, NO_PIECES, Taken
from proxy.pipeline.admission.limiter import ReadPast
from proxy.policy.quota import (
    NOT_KNOWN,
    Amounts,
    CountedLimit,
    LimitExceeded,
    LimitRow,
    ModelAnswer,
    Models,
    Quota,
    Room,
    is_counted,
    may_serve,
    refusal_order,
    scopes_of,
    set_scope,
    use_case_scope,
)
from proxy.policy.quota.book import Targets
from proxy.policy.quota.model_set import models_of
from proxy.policy.quota.window import window_at

T = TypeVar("T")

_SCHEMA = """
CREATE TABLE taken (id INTEGER, scope TEXT, at_ms INTEGER, amounts TEXT, state TEXT, running INTEGER);
CREATE INDEX taken_scope ON taken (scope, at_ms);
CREATE INDEX taken_id ON taken (id);
CREATE TABLE kept (scope TEXT PRIMARY KEY);
CREATE TABLE sets (models TEXT PRIMARY KEY);
"""
_LATEST_MS = 1 << 60


class SqlLimiter:
    """Totals in a file of its own; it begins with what the file holds."""

    def __init__(self, file: Path, zone: ZoneInfo) -> None:
        self._zone = zone
        self._thread = ThreadPoolExecutor(1, "sql-limiter")
        self._connection = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
        if not self._connection.execute("SELECT 1 FROM sqlite_master").fetchone():
            self._connection.executescript(_SCHEMA)
        self.past_lock = asyncio.Lock()
        self._holds: dict[int, tuple[tuple[str, ...], int]] = {}  # what is open: its scopes, and what it holds
        self._kept = {scope for (scope,) in self._connection.execute("SELECT scope FROM kept")}
        sets = self._connection.execute("SELECT models FROM sets ORDER BY rowid").fetchall()
        self.model_sets: tuple[Models, ...] = tuple(tuple(json.loads(models)) for (models,) in sets)
        self._waiting: set[Latch] = set()
        self._tasks: set[asyncio.Future[Any]] = set()
        self._known: dict[Quota, LimitRow] = {}

    def close(self) -> None:
        self._thread.shutdown()
        self._connection.close()

    def _start(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """Begin a transaction; they come one after the other, in the order of the calls."""

        def transaction() -> T:
            self._connection.execute("BEGIN IMMEDIATE")
            is_done = False
            try:
                result = work()
                is_done = True
            finally:
                self._connection.execute("COMMIT" if is_done else "ROLLBACK")
            return result

        task = asyncio.get_running_loop().run_in_executor(self._thread, transaction)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def settled(self) -> None:
        """Wait until all that has begun is done."""
        while self._tasks:
            await asyncio.gather(*self._tasks)

    # Operations

    def reserve(
        self, id_: int, scopes: tuple[str, ...], now_ms: int, amounts: Amounts, quotas: Sequence[Quota]
    ) -> Awaitable[LimitExceeded | None]:
        def work() -> LimitExceeded | None:
            refused = self._first(self._refusals(quotas, now_ms, amounts, is_new=True))
            if refused is None:
                for scope in scopes:
                    self._connection.execute(
                        "INSERT INTO taken VALUES (?, ?, ?, ?, 'open', 1)",
                        (id_, scope, now_ms, json.dumps(amounts.counted)),
                    )
            self._note(quotas, now_ms)
            return refused

        async def reserved() -> LimitExceeded | None:
            refused = await self._start(work)
            if refused is None:
                self._holds[id_] = scopes, amounts.cost_pusd
            return refused

        return asyncio.ensure_future(reserved())

    def reserve_freely(
        self,
        id_: int,
        scopes: tuple[str, ...],
        now_ms: int,
        taken: Taken,
        quotas: Sequence[Quota],
        room: Room,
    ) -> Awaitable[bool]:
        cost_pusd, tokens, requests, pieces = taken
        needed = Amounts(*room[:2], requests, *room[2:], pieces=pieces)
        amounts = needed._replace(cost_pusd=cost_pusd, tokens=tokens)

        async def reserved() -> bool:
            leave = await self._start(lambda: all(self._leaves(quota, now_ms, needed) for quota in quotas))
            return leave and await self.reserve(id_, scopes, now_ms, amounts, quotas) is None

        return asyncio.ensure_future(reserved())

    def raise_hold(self, id_: int, more: Amounts, quotas: Sequence[Quota]) -> Awaitable[LimitExceeded | None]:
        more = more._replace(requests=0)

        def work() -> LimitExceeded | None:
            (at_ms,) = self._connection.execute("SELECT min(at_ms) FROM taken WHERE id = ?", (id_,)).fetchone()
            refused = self._first(self._refusals(quotas, at_ms, more, is_new=False))
            if refused is None:
                self._add(id_, more.counted)
            return refused

        async def raised() -> LimitExceeded | None:
            refused = await self._start(work)
            if refused is None:
                self._hold(id_, more.cost_pusd)
            return refused

        return asyncio.ensure_future(raised())

    def undo_raise(self, id_: int, more: Amounts) -> Awaitable[None]:
        self._hold(id_, -more.cost_pusd)
        less = (-more.cost_pusd, -more.tokens, 0, *(-count for count in more.pieces))
        return self._then_wake(self._start(lambda: self._add(id_, less)))

    def add_excess(self, id_: int, cost_pusd: int) -> Awaitable[None]:
        self._hold(id_, cost_pusd)
        return self._start(lambda: self._add(id_, (cost_pusd, *[0] * (len(COUNTED) - 1))))

    def raise_to(self, id_: int, cost_pusd: int) -> Awaitable[None]:
        return self.add_excess(id_, max(0, cost_pusd - self.held_pusd(id_)))

    def settle(
        self,
        id_: int,
        state: str,
        cost_pusd: int | None,
        tokens: int,
        pieces: tuple[int, ...] = NO_PIECES,
        answer: ModelAnswer = NOT_KNOWN,
    ) -> Awaitable[None]:
        if state == "pending":
            query = "UPDATE taken SET running = 0 WHERE id = ?"
            return self._then_wake(self._start(lambda: self._run(query, (id_,))))
        scopes, _ = self._holds.pop(id_)
        others = [scope for scope in scopes if (models := models_of(scope)) and not is_counted(models, answer)]
        held = {models_of(scope) for scope in scopes}
        sets = [models for models in self.model_sets if models not in held and is_counted(models, answer)]
        more = [set_scope(scope, models) for models in sets for scope in scopes if not models_of(scope)]
        more = [scope for scope in more if not scope.startswith("use_case:") or scope in self._kept]
        counted = (cost_pusd or 0, tokens, *pieces) if state == "settled" else (0, 0, *NO_PIECES)
        amounts = json.dumps([*counted[:2], 1, *counted[2:]])

        def work() -> None:
            for scope in more:
                query = "INSERT INTO taken SELECT id, ?, at_ms, amounts, state, 0 FROM taken WHERE id = ? LIMIT 1"
                self._run(query, (scope, id_))
            for scope in others:
                self._run("DELETE FROM taken WHERE id = ? AND scope = ?", (id_, scope))
            self._run("UPDATE taken SET running = 0, state = 'settled', amounts = ? WHERE id = ?", (amounts, id_))

        return self._then_wake(self._start(work))

    def release(self, id_: int) -> Awaitable[None]:
        self._holds.pop(id_)
        return self._then_wake(self._start(lambda: self._run("DELETE FROM taken WHERE id = ?", (id_,))))

    def adjust(
        self, scopes: tuple[str, ...], at_ms: int, cost_pusd: int, answer: ModelAnswer = NOT_KNOWN
    ) -> Awaitable[None]:
        amounts = json.dumps([cost_pusd, *[0] * (len(COUNTED) - 1)])
        sets = [models for models in self.model_sets if is_counted(models, answer)]
        more = [set_scope(scope, models) for models in sets for scope in scopes]
        scopes = (*scopes, *[scope for scope in more if not scope.startswith("use_case:") or scope in self._kept])

        def work() -> None:
            for scope in scopes:
                self._run("INSERT INTO taken VALUES (NULL, ?, ?, ?, 'settled', 0)", (scope, at_ms, amounts))

        return self._then_wake(self._start(work))

    def headroom_pusd(self, quotas: Sequence[Quota], now_ms: int) -> Awaitable[int | None]:
        def work() -> int | None:
            rows = [self._row(quota, now_ms) for quota in quotas if (quota.kind, quota.mode) == ("cost", "hard")]
            return min((row.remaining for row in rows), default=None)

        return self._start(work)

    def refused(self, now_ms: int, amounts: Amounts, quotas: Sequence[Quota]) -> Awaitable[LimitExceeded | None]:
        return self._start(lambda: self._first(self._refusals(quotas, now_ms, amounts, is_new=True)))

    def limits(self, quotas: Sequence[Quota], now_ms: int) -> Awaitable[list[LimitRow]]:
        return self._start(lambda: [self._row(quota, now_ms) for quota in sorted(quotas, key=refusal_order)])

    async def follow(self, use_case: str, read_past: ReadPast, models: Models = ()) -> None:
        scope = set_scope(use_case_scope(use_case), models)
        if scope in self._kept:
            return
        self._kept.add(scope)
        hours, rows = await read_past(set())

        def work() -> None:
            self._run("INSERT OR IGNORE INTO kept VALUES (?)", (scope,))
            for row in (*hours, *rows):
                amounts = json.dumps([row.cost_pusd, row.tokens, row.requests, *row.pieces])
                self._run("INSERT INTO taken VALUES (NULL, ?, ?, ?, 'settled', 0)", (scope, row.at_ms, amounts))

        await self._start(work)

    async def follow_models(self, models: Models, read_past: ReadPast) -> None:
        if models in self.model_sets:
            return
        self.model_sets = (*self.model_sets, models)
        hours, rows = await read_past(set())

        def work() -> None:
            self._run("INSERT INTO sets VALUES (?)", (json.dumps(models),))
            for row in (*hours, *rows):
                amounts = json.dumps([row.cost_pusd, row.tokens, row.requests, *row.pieces])
                for scope in scopes_of(row.user, row.group, None, row.above, models):
                    self._run("INSERT INTO taken VALUES (NULL, ?, ?, ?, 'settled', 0)", (scope, row.at_ms, amounts))

        await self._start(work)

    async def changed(self, timeout_s: float) -> None:
        latch = Latch()
        self._waiting.add(latch)
        try:
            await latch.wait(timeout_s)
        finally:
            self._waiting.discard(latch)

    def wake(self) -> None:
        for latch in self._waiting:
            latch.set()

    # What is known here

    def tightest(self, quotas: Sequence[Quota], now_ms: int) -> Sequence[tuple[CountedLimit, int]]:  # noqa: ARG002
        return ()

    def scopes_with(self, scopes: tuple[str, ...], use_case: str) -> tuple[str, ...]:
        scope = use_case_scope(use_case)
        return (*scopes, scope) if scope in self._kept and scope not in scopes else scopes

    def with_models(self, scopes: tuple[str, ...], targets: Targets) -> tuple[str, ...]:
        sets = [models for models in self.model_sets if any(may_serve(models, *target) for target in targets)]
        more = [set_scope(scope, models) for models in sets for scope in scopes]
        return (*scopes, *[scope for scope in more if not scope.startswith("use_case:") or scope in self._kept])

    def open_ids(self) -> Collection[int]:
        return set(self._holds)

    def open_in(self, scope: str) -> int:
        return sum(scope in scopes for scopes, _ in self._holds.values())

    def held_pusd(self, id_: int) -> int:
        return self._holds[id_][1]

    # Inside

    def _hold(self, id_: int, more_pusd: int) -> None:
        scopes, held_pusd = self._holds[id_]
        self._holds[id_] = scopes, held_pusd + more_pusd

    def _run(self, query: str, values: tuple[Any, ...]) -> None:
        self._connection.execute(query, values)

    def _add(self, id_: int, more: Sequence[int]) -> None:
        for row, text in self._connection.execute("SELECT rowid, amounts FROM taken WHERE id = ?", (id_,)).fetchall():
            amounts = [held + added for held, added in zip(json.loads(text), more, strict=True)]
            self._run("UPDATE taken SET amounts = ? WHERE rowid = ?", (json.dumps(amounts), row))

    def _sums(self, quota: Quota, now_ms: int) -> tuple[int, int, int | None]:
        """Return what was used in the window of a limit, what is held there, and when the window ends."""
        if not quota.window:
            query = "SELECT count(*) FROM taken WHERE scope = ? AND running"
            return 0, self._connection.execute(query, (quota.counted_in,)).fetchone()[0], None
        place = next(place for place, kind in enumerate(COUNTED) if kind.name == quota.kind)
        window = window_at(quota.window, self._zone, now_ms)
        query = (
            f"SELECT ifnull(sum(iif(state = 'settled', json_extract(amounts, '$[{place:d}]'), 0)), 0),"  # noqa: S608
            f" ifnull(sum(iif(state = 'open', json_extract(amounts, '$[{place:d}]'), 0)), 0)"
            " FROM taken WHERE scope = ? AND at_ms >= ? AND at_ms < ?"
        )
        until_ms = _LATEST_MS if window.end_ms is None else window.end_ms
        used, held = self._connection.execute(query, (quota.counted_in, window.start_ms, until_ms)).fetchone()
        return used, held, window.end_ms

    def _row(self, quota: Quota, now_ms: int) -> LimitRow:
        used, held, resets_at_ms = self._sums(quota, now_ms)
        left = max(0, quota.amount - used - held)
        scope, kind, amount, window, mode, models, _ = quota
        return LimitRow(scope, kind, window, mode, amount, used, held, left, resets_at_ms, models)

    def _refusals(self, quotas: Sequence[Quota], now_ms: int, amounts: Amounts, *, is_new: bool) -> list[LimitExceeded]:
        refusals = (self._refusal(quota, now_ms, amounts, is_new=is_new) for quota in quotas)
        return [refusal for refusal in refusals if refusal is not None]

    def _refusal(self, quota: Quota, now_ms: int, amounts: Amounts, *, is_new: bool) -> LimitExceeded | None:
        kind, (used, held, resets_at_ms) = BY_NAME[quota.kind], self._sums(quota, now_ms)
        if kind.unit == "open":
            is_full = is_new and held >= quota.amount
            return LimitExceeded(quota, used, held, 1, None, only_reservations_in_way=True) if is_full else None
        place = COUNTED.index(kind)
        needed, likely = amounts.counted[place], amounts.likely[place]
        if not needed:
            return None
        if quota.mode == "soft" and not kind.is_exact:
            if used + likely < quota.amount:
                return None
            return LimitExceeded(quota, used, held, likely, resets_at_ms, only_reservations_in_way=False)
        if used + held + needed <= quota.amount:
            return None
        is_in_way = kind.is_returned and used + needed <= quota.amount
        return LimitExceeded(quota, used, held, needed, resets_at_ms, is_in_way)

    def _leaves(self, quota: Quota, now_ms: int, needed: Amounts) -> bool:
        """Return whether a limit leaves so much, also where nothing is needed of it."""
        kind, (used, held, _) = BY_NAME[quota.kind], self._sums(quota, now_ms)
        if kind.unit == "open":
            return held < quota.amount
        place = COUNTED.index(kind)
        if quota.mode == "soft" and not kind.is_exact:
            return used + needed.likely[place] < quota.amount
        return kind.piece is not None or used + held + needed.counted[place] <= quota.amount

    @staticmethod
    def _first(refusals: list[LimitExceeded]) -> LimitExceeded | None:
        return min(refusals, key=lambda one: (one.only_reservations_in_way, refusal_order(one.quota)), default=None)

    def _note(self, quotas: Sequence[Quota], now_ms: int) -> None:
        self._known.update({quota: self._row(quota, now_ms) for quota in quotas})

    def _then_wake(self, task: "asyncio.Future[None]") -> Awaitable[None]:
        task.add_done_callback(self._wake)
        return task

    def _wake(self, _done: object) -> None:
        for latch in self._waiting:
            latch.set()
