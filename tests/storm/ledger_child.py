"""A process that does nothing but write a ledger: it opens and ends requests, and acknowledges only what is on disk.

Each acknowledgement is one line on a pipe, written in one piece after the await that says that the commit has ended:
``o ID`` opened, ``e ID COST`` settled, ``r ID COST`` left by the last kill and settled now, ``x TEXT`` refused.
"""

import asyncio
import os
from pathlib import Path
from random import Random

from proxy.core.errors import TollkeeperError
from proxy.storage.labels import Labels
from proxy.storage.rows import OpenRow, RequestEnd
from proxy.storage.sqlite.labels import set_labels
from proxy.storage.sqlite.ledger import SqliteLedger, open_ledger

from .draw import USERS

_AT_ONCE = 12
_ROUNDS_MAX = 5_000  # of one writer; the kill comes long before
_DAY = "2026-01-01"
_START_MS = 1_767_225_600_000  # all rows of a few hours, so that the roll-up has few keys and each is hit often
_HOUR_MS = 3_600_000


def write_until_killed(path: Path, pipe: int, seed: int) -> None:
    """Be the child: never returns before the kill, unless the rounds run out."""
    asyncio.run(_write(path, pipe, seed))


async def _write(path: Path, pipe: int, seed: int) -> None:
    ledger = open_ledger(path, asyncio.get_running_loop(), purpose="storm", busy_timeout_s=5.0, queue_max=1000)
    rng = Random(seed)
    try:
        await ledger.change(lambda db: set_labels(db, Labels("UTC", "USD", "1"), 0))
        await _settle_what_was_left(ledger, pipe)
        await asyncio.gather(*(_requests(ledger, pipe, Random(rng.random())) for _ in range(_AT_ONCE)))
    except TollkeeperError as error:
        _say(pipe, f"x {error}")
    await ledger.close()


def _say(pipe: int, line: str) -> None:
    os.write(pipe, line.encode() + b"\n")


async def _settle_what_was_left(ledger: SqliteLedger, pipe: int) -> None:
    for row in await ledger.unfinished():
        cost = row.reserved_pusd or 0
        await ledger.end(_end(row.id, row.started_ms, row.user, cost, "reservation", "settled", flags="crash"))
        _say(pipe, f"r {row.id} {cost}")


async def _requests(ledger: SqliteLedger, pipe: int, rng: Random) -> None:
    for _ in range(_ROUNDS_MAX):
        started_ms = _START_MS + rng.randrange(3) * _HOUR_MS
        id_, user = ledger.ids.next(started_ms), rng.choice(USERS)
        await ledger.open(_open(id_, started_ms, user, rng))
        _say(pipe, f"o {id_}")
        if rng.random() < 0.5:
            ledger.note_generation(id_, 1, f"gen-{id_}")
        if rng.random() < 0.3:
            await asyncio.sleep(rng.uniform(0, 0.004))
        if rng.random() < 0.2:
            await ledger.end(_end(id_, started_ms, user, None, "none", "pending"))
        cost = rng.randrange(10**12)
        await ledger.end(_end(id_, started_ms, user, cost, "provider", "settled"))
        _say(pipe, f"e {id_} {cost}")


def _open(id_: int, started_ms: int, user: str, rng: Random) -> OpenRow:
    return OpenRow(
        id=id_,
        started_ms=started_ms,
        day=_DAY,
        user=user,
        group_name=None,
        token_id="t",
        endpoint="chat/completions",
        requested_model="m",
        use_case=None,
        session_id=str(id_),
        tags=None,
        reserved_pusd=rng.randrange(10**12),
        reserved_tokens=None,
        streamed=0,
        target_provider="auto",
        key="main",
        target_model="m",
    )


def _end(
    id_: int, started_ms: int, user: str, cost_pusd: int | None, source: str, state: str, flags: str | None = None
) -> RequestEnd:
    return RequestEnd(
        id=id_,
        finished_ms=started_ms + 2,
        model="m",
        provider="auto",
        status=200,
        finish_reason="stop",
        input_tokens=3,
        output_tokens=5,
        cached_tokens=None,
        reasoning_tokens=None,
        cost_pusd=cost_pusd,
        cost_source=source,
        state=state,
        ttft_ms=1,
        duration_ms=2,
        attempts=1,
        generation_id=None,
        error=None,
        flags=flags,
        outcome="ok",
        upstream_status=200,
        served_by=None,
        other_models=None,
        is_byok=None,
        upstream_cost_pusd=None,
        started_ms=started_ms,
        user=user,
        group_name=None,
        use_case=None,
        streamed=0,
        fell_back=0,
        uncounted_tokens=0,
        attempt_ends=(),
    )
