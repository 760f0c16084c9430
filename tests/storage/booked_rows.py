"""Ledgers that the real writer wrote: every way in which a request can end, at any time, with all its parts."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from proxy.pipeline.settlement.end_rows import uncounted_tokens
from proxy.pipeline.settlement.sum_attempts import SettledAttempt, add_up
from proxy.pipeline.values.settlement import Settlement
from proxy.storage.labels import Labels
from proxy.storage.rows import AttemptEnd, AttemptRow, OpenRow, RequestEnd, Reserved
from proxy.storage.sqlite.labels import set_labels
from proxy.storage.sqlite.ledger import SqliteLedger, open_ledger

START_MS = 1_790_000_000_000  # in September 2026
DAY_MS = 86_400_000
USERS = (("anna", "family"), ("bob", None), ("carl", "family"))
WAYS = ("provider", "price", "reservation", "unknown", "released", "not_sent", "over", "second", "pending", "open")
SEVERAL = ("billed_before", "charged_before", "awaited_before")  # a second attempt after one that is or may be billed


@asynccontextmanager
async def booked(path: Path) -> AsyncIterator[SqliteLedger]:
    """Open or make a ledger as the proxy does."""
    ledger = open_ledger(path, asyncio.get_running_loop(), purpose="test", busy_timeout_s=5.0, queue_max=10_000)
    await ledger.change(lambda db: set_labels(db, Labels("UTC", "USD", "1"), 0))
    try:
        yield ledger
    finally:
        await ledger.close()


async def book(
    ledger: SqliteLedger,
    started_ms: int,
    chance: random.Random,
    *,
    way: str = "provider",
    user: tuple[str, str | None] = USERS[0],
    reserved_pusd: int = 5_000_000,
    cost_pusd: int | None = None,
    duration_ms: int = 1500,
) -> int:
    """Take one request through the ledger and give its id. cost_pusd None: drawn, within the reservation."""
    id_ = ledger.ids.next(started_ms)
    reserved = None if way == "unknown" else reserved_pusd
    row = OpenRow(
        id=id_,
        started_ms=started_ms,
        day=_day(started_ms),
        user=user[0],
        group_name=user[1],
        token_id="tok",
        endpoint="chat/completions",
        requested_model="fast",
        use_case=chance.choice((None, "sms")),
        session_id=None,
        tags=None,
        reserved_pusd=reserved,
        reserved_tokens=chance.choice((None, 4000)),
        streamed=chance.randrange(2),
        target_provider="openrouter",
        key="main",
        target_model="openai/gpt-5-mini",
    )
    await ledger.open(row)
    if way == "open":
        return id_
    if way in SEVERAL:
        await _book_several(ledger, row, way, chance, started_ms + duration_ms)
        return id_
    last = 1
    if way == "second":
        before = _attempt_end(id_, 1, Settlement("released", 0, "none", frozenset()), "upstream_error", chance)
        before = before._replace(reserved_pusd=0, reserved_tokens=0)
        await ledger.add_attempt(AttemptRow(id_, 2, started_ms + 10, "openrouter", "main", "meta/llama"), before)
        last = 2
    drawn = chance.randrange(1, reserved_pusd + 1)
    verdict = _verdict(way, drawn if cost_pusd is None else cost_pusd, reserved_pusd)
    outcome = "not_sent" if way == "not_sent" else "ok"
    attempt = _attempt_end(id_, last, verdict, outcome, chance)
    await ledger.end(_end(row, verdict, attempt, way, started_ms + duration_ms))
    return id_


async def _book_several(ledger: SqliteLedger, row: OpenRow, way: str, chance: random.Random, finished_ms: int) -> None:
    assert row.reserved_pusd is not None
    share_pusd, tokens = chance.randrange(1, row.reserved_pusd + 1), row.reserved_tokens
    verdict = {
        "billed_before": Settlement("settled", share_pusd, "provider", frozenset()),
        "charged_before": Settlement("settled", share_pusd, "reservation", frozenset({"usage_missing"})),
        "awaited_before": Settlement("pending", None, "none", frozenset({"answer_broken"})),
    }[way]
    first = _attempt_end(row.id, 1, verdict, "upstream_broken", chance)
    first = first._replace(generation_id=f"gen-{row.id}-1", reserved_pusd=share_pusd, reserved_tokens=tokens)
    held = Reserved(row.reserved_pusd + share_pusd, None if tokens is None else 2 * tokens)
    await ledger.add_attempt(
        AttemptRow(row.id, 2, row.started_ms + 10, "openrouter", "main", "meta/llama"), first, held
    )
    verdict_last = Settlement("settled", chance.randrange(row.reserved_pusd), "provider", frozenset())
    last = _attempt_end(row.id, 2, verdict_last, "ok", chance)
    end = _end(row, verdict_last, last, way, finished_ms)
    summed = add_up(end, [SettledAttempt(verdict, first), SettledAttempt(verdict_last, last)], held)
    await ledger.end(summed._replace(attempt_ends=(last,)))


async def book_many(ledger: SqliteLedger, count: int, *, seed: int = 1, step_ms: int = 600_000) -> None:
    """Book requests of all kinds, one each step."""
    chance = random.Random(seed)
    for n in range(count):
        ways = (*WAYS, *SEVERAL)
        way = ways[n % len(ways)] if n % 3 == 0 else "provider"
        await book(ledger, START_MS + n * step_ms, chance, way=way, user=chance.choice(USERS))


def _day(ms: int) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(ms / 1000, UTC).date().isoformat()


def _verdict(way: str, cost_pusd: int, reserved_pusd: int) -> Settlement:
    if way == "reservation":
        return Settlement("settled", reserved_pusd, "reservation", frozenset({"usage_missing"}))
    if way == "unknown":
        return Settlement("settled", None, "none", frozenset({"cost_unknown"}))
    if way in ("released", "not_sent"):
        return Settlement("released", 0, "none", frozenset())
    if way == "pending":
        return Settlement("pending", None, "none", frozenset({"usage_missing"}))
    if way == "over":
        return Settlement("settled", reserved_pusd + cost_pusd, "provider", frozenset({"over_reservation"}))
    return Settlement("settled", cost_pusd, "price" if way == "price" else "provider", frozenset())


def _attempt_end(id_: int, n: int, verdict: Settlement, outcome: str, chance: random.Random) -> AttemptEnd:
    counted = verdict.cost_source in ("provider", "price")
    sent = outcome != "not_sent" and verdict.cost_source != "none"
    return AttemptEnd(
        request_id=id_,
        n=n,
        outcome=outcome,
        status=200 if sent else None,
        served_model="openai/gpt-5-mini" if sent else None,
        served_by="OpenAI" if sent else None,
        generation_id=f"gen-{id_}-{n}" if sent else None,
        input_tokens=chance.randrange(1, 2000) if counted else None,
        output_tokens=chance.randrange(1, 900) if counted else None,
        cached_tokens=chance.randrange(1, 9) if counted else None,
        reasoning_tokens=chance.randrange(1, 9) if counted else None,
        cost_pusd=verdict.cost_pusd,
        cost_source=verdict.cost_source,
        ttft_ms=12,
        duration_ms=40,
    )


def _end(row: OpenRow, verdict: Settlement, attempt: AttemptEnd, way: str, finished_ms: int) -> RequestEnd:
    failed = way in ("released", "not_sent")
    counted = attempt.input_tokens is not None
    return RequestEnd(
        id=row.id,
        finished_ms=finished_ms,
        model=None if way == "not_sent" else "openai/gpt-5-mini",
        provider=None if way == "not_sent" else "openrouter",
        status=502 if failed else 200,
        finish_reason=None if failed else "stop",
        input_tokens=attempt.input_tokens,
        output_tokens=attempt.output_tokens,
        cached_tokens=attempt.cached_tokens,
        reasoning_tokens=attempt.reasoning_tokens,
        cost_pusd=verdict.cost_pusd,
        cost_source=verdict.cost_source,
        state=verdict.state,
        ttft_ms=12,
        duration_ms=40,
        attempts=0 if way == "not_sent" else attempt.n,
        generation_id=attempt.generation_id,
        error="upstream_error" if failed else None,
        flags=" ".join(sorted(verdict.flags)) or None,
        outcome=attempt.outcome,
        upstream_status=attempt.status,
        served_by=attempt.served_by,
        other_models=None,
        is_byok=attempt.is_byok,
        upstream_cost_pusd=attempt.upstream_cost_pusd,
        started_ms=row.started_ms,
        user=row.user,
        group_name=row.group_name,
        use_case=row.use_case,
        streamed=row.streamed,
        fell_back=int(attempt.n > 1),
        uncounted_tokens=0 if counted else uncounted_tokens(verdict, row.reserved_tokens),
        attempt_ends=(attempt,) if attempt.n > 1 else (),
    )
