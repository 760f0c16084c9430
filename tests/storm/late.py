"""What becomes known after a storm: the provider's records, then the bill, with a SIGKILL among them. Each is booked.

In the end every request is booked at what was charged for it, to the pico-dollar, and so is the sum; the rows stay as
they were, what is told twice changes nothing, and limits count the truth.
"""

import asyncio
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .processes import OPERATOR_TOKEN, ProxyProcess, SimulatorProcess, http_json
from .views import Books, LedgerView

_AT_ONCE = 8
_OF_ROWS = "SELECT * FROM requests ORDER BY id"


@dataclass(frozen=True, slots=True)
class LateTruths:
    """What was booked late: attempts that the provider told, and requests whose bill a person had."""

    told: int
    billed: int
    differences: Sequence[str]


async def book_late_truths(
    proxy: ProxyProcess, simulator: SimulatorProcess, books: Books, *, kills: bool
) -> LateTruths:
    """Book all that was charged in full at what the provider charged; say what does not hold afterwards."""
    before = _rows(proxy.ledger_path)
    simulator.tell_generations()
    looked_up = await asyncio.to_thread(_post, proxy.port, "/adjustments/look_up", None)
    wrong = _wrong(proxy.ledger_path, books)
    if kills and len(wrong) > 1:
        first = asyncio.create_task(_book(proxy.port, wrong))
        await asyncio.sleep(0.02)
        proxy.kill()
        await first  # some are booked, some are not, and nobody was told which
        proxy.spawn()
        await asyncio.to_thread(proxy.wait_ready)
    failed = await _book(proxy.port, wrong)
    booked = _adjustments(proxy.ledger_path)
    failed += await _book(proxy.port, wrong)
    differences = [f"{id_} could not be booked" for id_ in failed]
    if _adjustments(proxy.ledger_path) != booked:
        differences.append("what was told twice was booked twice")
    if _rows(proxy.ledger_path) != before:
        differences.append("rows of requests were changed by what became known later")
    differences += _differences(proxy.ledger_path, books)
    return LateTruths(looked_up["told"], len(wrong), differences)


def _post(port: int, path: str, fields: dict[str, Any] | None) -> Any:
    headers = {"Authorization": f"Bearer {OPERATOR_TOKEN}"}
    return http_json(f"http://127.0.0.1:{port}/admin/v1{path}", fields or {}, headers)["data"]


async def _book(port: int, truths: Mapping[str, int]) -> list[str]:
    """Book what each request cost after all; give those for which no answer came."""
    failed, slots = [], asyncio.Semaphore(_AT_ONCE)

    async def book(id_: str, pusd: int) -> None:
        fields = {"request_id": id_, "actual_usd": f"{pusd // 10**12}.{pusd % 10**12:012}", "reason": "the bill"}
        async with slots:
            is_booked = False
            with suppress(OSError):
                await asyncio.to_thread(_post, port, "/adjustments", fields)
                is_booked = True
            if not is_booked:
                failed.append(id_)

    await asyncio.gather(*(book(*truth) for truth in truths.items()))
    return failed


def _wrong(path: Path, books: Books) -> dict[str, int]:
    """Give the requests that are not booked at what was charged, with what was charged."""
    charged = books.charged()
    with LedgerView(path) as ledger:
        costs = [(str(row["session_id"]), row["request_id"], row["cost_pusd"] or 0) for row in ledger.rows]
    return {id_: charged.get(session, 0) for session, id_, cost in costs if cost != charged.get(session, 0)}


def _differences(path: Path, books: Books) -> Iterator[str]:
    for id_, pusd in _wrong(path, books).items():
        yield f"{id_} is not booked at {pusd} pico-USD, which was charged, after all that became known"
    with LedgerView(path) as ledger:
        if ledger.total_pusd != books.total_pusd:
            yield f"{ledger.total_pusd} pico-USD are booked in the end, {books.total_pusd} were charged"
        rolled_up = sum(figures[-1] for figures in ledger.rollup().values())
        if rolled_up != books.total_pusd:
            yield f"usage_hourly sums to {rolled_up} pico-USD in the end, {books.total_pusd} were charged"


def _rows(path: Path) -> list[tuple[Any, ...]]:
    return _all(path, _OF_ROWS)


def _adjustments(path: Path) -> list[tuple[Any, ...]]:
    return _all(path, "SELECT * FROM adjustments ORDER BY id")


def _all(path: Path, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return connection.execute(sql).fetchall()
