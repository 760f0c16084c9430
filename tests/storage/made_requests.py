"""Requests as the pipeline hands them to the ledger, with every field filled; a test names only what it is about."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

from proxy.storage.rows import AttemptEnd, AttemptRow, OpenRow, RequestEnd
from proxy.storage.sqlite.ledger import SqliteLedger, open_ledger

START_MS = 1_790_000_000_000  # in September 2026


def open_row(id_: int, **changes: Any) -> OpenRow:
    row = OpenRow(
        id=id_,
        started_ms=START_MS,
        day="2026-09-21",
        user="anna",
        group_name=None,
        token_id="t",
        endpoint="chat/completions",
        requested_model="m",
        use_case=None,
        session_id=None,
        tags=None,
        reserved_pusd=1000,
        reserved_tokens=None,
        streamed=0,
        target_provider="p",
        key="main",
        target_model="m",
    )
    return row._replace(**changes)


def attempt_row(id_: int, n: int = 2) -> AttemptRow:
    return AttemptRow(id_, n, START_MS, "p", "main", "m")


def attempt_end(id_: int, n: int = 1, **changes: Any) -> AttemptEnd:
    end = AttemptEnd(
        request_id=id_,
        n=n,
        outcome="ok",
        status=200,
        served_model="m",
        served_by=None,
        generation_id=None,
        input_tokens=3,
        output_tokens=5,
        cached_tokens=1,
        reasoning_tokens=2,
        cost_pusd=700,
        cost_source="provider",
        ttft_ms=1,
        duration_ms=2,
    )
    return end._replace(**changes)


def request_end(row: OpenRow, *, n: int = 1, **changes: Any) -> RequestEnd:
    """End a request: settled at 700 where nothing else is said; its last attempt, of several, costs the same."""
    end = RequestEnd(
        id=row.id,
        finished_ms=row.started_ms + 2,
        model="m",
        provider="p",
        status=200,
        finish_reason="stop",
        input_tokens=3,
        output_tokens=5,
        cached_tokens=1,
        reasoning_tokens=2,
        cost_pusd=700,
        cost_source="provider",
        state="settled",
        ttft_ms=1,
        duration_ms=2,
        attempts=n,
        generation_id=None,
        error=None,
        flags=None,
        outcome="ok",
        upstream_status=200,
        served_by=None,
        other_models=None,
        is_byok=None,
        upstream_cost_pusd=None,
        started_ms=row.started_ms,
        user=row.user,
        group_name=row.group_name,
        use_case=row.use_case,
        streamed=row.streamed,
        fell_back=0,
        uncounted_tokens=0,
        attempt_ends=(),
    )._replace(**changes)
    if "attempt_ends" in changes or n == 1:
        return end
    last = attempt_end(row.id, n, cost_pusd=end.cost_pusd, cost_source=end.cost_source)
    return end._replace(attempt_ends=(last,))


@asynccontextmanager
async def running(path: Path, *, queue_max: int = 1000, busy_timeout_s: float = 0.2) -> AsyncIterator[SqliteLedger]:
    """Open a ledger as the proxy does and close it at the end."""
    ledger = open_ledger(
        path, asyncio.get_running_loop(), purpose="a test", busy_timeout_s=busy_timeout_s, queue_max=queue_max
    )
    try:
        yield ledger
    finally:
        await ledger.close()


async def opened(ledger: SqliteLedger, **changes: Any) -> OpenRow:
    """Open one request."""
    row = open_row(ledger.ids.next(changes.get("started_ms", START_MS)), **changes)
    await ledger.open(row)
    return row


def read(path: Path, sql: str) -> list[tuple[Any, ...]]:
    """Read as any other program may, beside the owner."""
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        return connection.execute(sql).fetchall()


ROLLUP = """
SELECT hour_ms, user, group_name, model, provider, use_case, sum(requests), sum(errors), sum(input_tokens),
    sum(output_tokens), sum(cached_tokens), sum(reasoning_tokens), sum(cost_pusd)
FROM usage_hourly GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 1, 2, 3, 4, 5, 6
"""
ROLLUP_OF_ROWS = """
SELECT started_ms - started_ms % 3600000, user, ifnull(group_name, ''), ifnull(model, ''), ifnull(provider, ''),
    ifnull(use_case, ''), count(*), sum(error IS NOT NULL), sum(ifnull(input_tokens, 0)), sum(ifnull(output_tokens, 0)),
    sum(ifnull(cached_tokens, 0)), sum(ifnull(reasoning_tokens, 0)), sum(ifnull(cost_pusd, 0)
        + ifnull((SELECT sum(amount_pusd) FROM adjustments WHERE request_id = requests.id), 0))
FROM requests WHERE state IN ('settled', 'released') GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 1, 2, 3, 4, 5, 6
"""
