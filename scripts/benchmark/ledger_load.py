"""Reserve and settle as the pipeline does, without HTTP, in a process of its own; the ledger is new and on DIR's disk.

    python ledger_load.py CONFIG TOKEN DIR RATE SECONDS FLAT_S

First an open loop: RATE requests a second come at random moments, whatever the disk does; each reserves, waits for
its provider, settles. Then 32 that reserve without a pause. Prints one JSON object: reserve_us and settle_us (sorted;
from the call to the commit on disk), reserved_per_s, sync_us (sorted; a bare write of 4 KB with fdatasync on the same
disk), and what the books say at the end: reserved, rows, unsettled, faults.
"""

import asyncio
import gc
import json
import os
import random
import sys
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from zoneinfo import ZoneInfo

import uvloop
from machine import BenchError

from proxy.app.rebuild import rebuilt_book
from proxy.config.load import LoadedConfig, load_file
from proxy.core.clock import SystemClock, TrustedClock
from proxy.core.user_token import token_hash
from proxy.pipeline.admission.limiter import MemoryLimiter
from proxy.pipeline.identity.directory import build_directory
from proxy.pipeline.values.identity import Identity
from proxy.policy.quota import Amounts, QuotaBook
from proxy.storage.rows import OpenRow, RequestEnd
from proxy.storage.sqlite.connect import open_reader
from proxy.storage.sqlite.ledger import SqliteLedger, open_ledger
from proxy.storage.sqlite.reports import SqliteReports

_PARALLEL = 32
_RESERVED_PUSD = 288_000_000  # 2,400 tokens in and 80 out at the prices of the bench's provider
_COST_PUSD = 168_000_000
_INPUT_TOKENS, _OUTPUT_TOKENS = 1200, 80
_ANSWER_S = (0.05, 0.15)  # how long a provider takes; 50 requests are open at 500/s
_SYNCS = 200
_PAGE_BYTES = 4096
_GC_THRESHOLD = 50_000  # as proxy/app/app.py sets it


@dataclass
class Outcome:
    reserve_us: list[float] = field(default_factory=list)
    settle_us: list[float] = field(default_factory=list)
    sync_us: list[float] = field(default_factory=list)
    reserved_per_s: float = 0.0
    reserved: int = 0
    rows: int = 0
    unsettled: int = 0
    faults: list[str] = field(default_factory=list)


class Till:
    """One user's way through limiter and ledger, with the same calls in the same order as the pipeline's."""

    def __init__(self, identity: Identity, limiter: MemoryLimiter, ledger: SqliteLedger, outcome: Outcome) -> None:
        self.identity = identity
        self.limiter = limiter
        self.clock = TrustedClock(SystemClock())
        self._ledger = ledger
        self._outcome = outcome

    async def reserve(self) -> OpenRow:
        """Hold the worst case and write it; returns when it is on disk."""
        now_ms = self.clock.now_ms()
        row = self._open_row(self._ledger.ids.next(now_ms), now_ms)
        allowance = self.identity.allowance
        refused = await self.limiter.reserve(
            row.id, allowance.scopes, now_ms, Amounts(cost_pusd=_RESERVED_PUSD, tokens=0), allowance.quotas
        )
        if refused is not None:
            raise BenchError(f"a request of the bench was refused: {refused.quota} is too low for it")
        await self._ledger.open(row)
        self._outcome.reserved += 1
        return row

    def settle(self, row: OpenRow) -> Awaitable[None]:
        """Write what it came to; the future is done, and the book has heard of it, when it is on disk."""
        end = self._end(row)
        return self._ledger.end(end, partial(self._written, end))

    def _written(self, end: RequestEnd, error: Exception | None) -> None:
        if error is None:
            self.limiter.settle(end.id, end.state, end.cost_pusd, end.quota_tokens)
        else:
            self._outcome.faults.append(f"a settlement was refused: {error}")

    def _open_row(self, id_: int, now_ms: int) -> OpenRow:
        return OpenRow(
            id=id_,
            started_ms=now_ms,
            day=datetime.fromtimestamp(now_ms // 1000, self.limiter.book.zone).date().isoformat(),
            user=self.identity.user,
            group_name=self.identity.group,
            token_id=self.identity.token_id,
            endpoint="chat/completions",
            requested_model="bench/json",
            use_case=None,
            session_id=None,
            tags=None,
            reserved_pusd=_RESERVED_PUSD,
            reserved_tokens=None,
            streamed=0,
            target_provider="openrouter",
            key="main",
            target_model="bench/json",
        )

    def _end(self, row: OpenRow) -> RequestEnd:
        generation_id = f"gen-{row.started_ms // 1000}-{row.id % 10**20:020}"
        return RequestEnd(
            id=row.id,
            finished_ms=self.clock.now_ms(),
            model="bench/json",
            provider="openrouter",
            status=200,
            finish_reason="stop",
            input_tokens=_INPUT_TOKENS,
            output_tokens=_OUTPUT_TOKENS,
            cached_tokens=0,
            reasoning_tokens=0,
            cost_pusd=_COST_PUSD,
            cost_source="provider",
            state="settled",
            ttft_ms=90,
            duration_ms=100,
            attempts=1,
            generation_id=generation_id,
            error=None,
            flags=None,
            outcome="ok",
            upstream_status=200,
            served_by="Bench",
            other_models=None,
            is_byok=False,
            upstream_cost_pusd=_COST_PUSD,
            started_ms=row.started_ms,
            user=row.user,
            group_name=row.group_name,
            use_case=row.use_case,
            streamed=row.streamed,
            fell_back=0,
            uncounted_tokens=0,
            attempt_ends=(),
        )


async def at_rate(till: Till, outcome: Outcome, rate: float, seconds: float) -> None:
    """Let requests come at random moments (a Poisson stream: their bursts are what p99 is about); wait for the last."""
    chance = random.Random(1)  # every round has the same moments
    loop = asyncio.get_running_loop()
    begun_s = due_s = loop.time()
    async with asyncio.TaskGroup() as requests:
        while True:
            due_s += chance.expovariate(rate)
            if due_s > begun_s + seconds:
                break
            await asyncio.sleep(max(0.0, due_s - loop.time()))
            requests.create_task(_request(till, outcome, chance.uniform(*_ANSWER_S)))
    outcome.reserve_us.sort()
    outcome.settle_us.sort()


async def _request(till: Till, outcome: Outcome, answer_s: float) -> None:
    begun_ns = time.perf_counter_ns()
    row = await till.reserve()
    outcome.reserve_us.append((time.perf_counter_ns() - begun_ns) / 1000)
    await asyncio.sleep(answer_s)
    begun_ns = time.perf_counter_ns()
    await till.settle(row)
    outcome.settle_us.append((time.perf_counter_ns() - begun_ns) / 1000)


async def flat_out(till: Till, outcome: Outcome, seconds: float) -> None:
    """Reserve as fast as the disk takes it, so many in parallel; settle all of it afterwards, which is not counted."""
    rows: list[OpenRow] = []
    begun_s = time.perf_counter()

    async def one_after_the_other() -> None:
        while time.perf_counter() - begun_s < seconds:
            rows.append(await till.reserve())

    await asyncio.gather(*(one_after_the_other() for _ in range(_PARALLEL)))
    outcome.reserved_per_s = len(rows) / (time.perf_counter() - begun_s)
    for n in range(0, len(rows), 1000):
        await asyncio.gather(*map(till.settle, rows[n : n + 1000]))


def time_syncs(folder: Path) -> list[float]:
    """Give sorted µs of writing a page over an old one and waiting for the disk: no commit can be quicker."""
    path = folder / "syncs"
    taken = []
    file = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        os.write(file, bytes(_PAGE_BYTES * _SYNCS))
        os.fsync(file)
        for n in range(_SYNCS):
            begun_ns = time.perf_counter_ns()
            os.pwrite(file, b"x" * _PAGE_BYTES, n * _PAGE_BYTES)
            os.fdatasync(file)
            taken.append((time.perf_counter_ns() - begun_ns) / 1000)
    finally:
        os.close(file)
        path.unlink()
    return sorted(taken)


async def check_books(path: Path, till: Till, outcome: Outcome) -> None:
    """Hold rows against what was done, and the running totals against those that a start would read from the rows."""
    with closing(open_reader(path)) as reader:
        rows = reader.execute("SELECT count(*), ifnull(sum(state <> 'settled'), 0) FROM requests").fetchone()
    outcome.rows, outcome.unsettled = rows
    outcome.faults += till.limiter.book.audit()
    now_ms = till.clock.now_ms()
    fresh = await asyncio.to_thread(rebuilt_book, SqliteReports(path), till.limiter.book.zone, now_ms)
    quotas = till.identity.allowance.quotas
    running, read = till.limiter.book.limits_view(quotas, now_ms), fresh.limits_view(quotas, now_ms)
    outcome.faults += [
        f"running {ours}, from rows {theirs}" for ours, theirs in zip(running, read, strict=True) if ours != theirs
    ]


@asynccontextmanager
async def opened_till(loaded: LoadedConfig, token: str, path: Path, outcome: Outcome) -> AsyncIterator[Till]:
    """Open a new ledger for the user whose token it is, with the settings of a proxy for it and for collections."""
    settings = loaded.settings
    found = build_directory(settings, [], [], {}).find(token_hash(token))
    if found is None:
        raise BenchError("the token is not in the configuration")
    ledger = open_ledger(
        path,
        asyncio.get_running_loop(),
        purpose="the bench",
        busy_timeout_s=float(settings.ledger.busy_timeout_s),
        queue_max=settings.ledger.queue_max,
    )
    try:
        gc.collect()
        gc.freeze()
        gc.set_threshold(_GC_THRESHOLD)
        yield Till(found.identity, MemoryLimiter(QuotaBook(ZoneInfo(settings.timezone))), ledger, outcome)
    finally:
        await ledger.close()


async def measure(loaded: LoadedConfig, token: str, folder: Path, rate: float, rate_s: float, flat_s: float) -> Outcome:
    outcome = Outcome(sync_us=time_syncs(folder))
    path = folder / "ledger.db"
    async with opened_till(loaded, token, path, outcome) as till:
        await at_rate(till, outcome, rate, rate_s)
        await flat_out(till, outcome, flat_s)
        await check_books(path, till, outcome)
    return outcome


def main(config: str, token: str, folder: str, *numbers: str) -> None:
    rate, rate_s, flat_s = map(float, numbers)
    loaded = load_file(Path(config), os.environ)
    outcome = uvloop.run(measure(loaded, token, Path(folder), rate, rate_s, flat_s))
    print(json.dumps(vars(outcome)))


if __name__ == "__main__":
    main(*sys.argv[1:])
