"""Compare a month of a ledger with a bill of as many calls: how long it takes, and what an event loop beside it feels.

    python month_reconcile.py [REQUESTS] [DIR]

Makes a ledger of REQUESTS (10,000,000) over 90 days in DIR, unless it is there, and compares the last 30 whole days as
the proxy does, each with a bill that has every call of it, one of 10,000 at another cost, an hour in an answer. What
the provider takes to tell it is not in the figures. Prints one JSON object: seconds, cpu_seconds of this process, which
stands for the proxy, and of the processes that it starts, rows, differences, and lateness_us (p50 and p99 of a timer of
5 ms in the event loop) alone and beside.
"""

import asyncio
import json
import os
import sys
import tempfile
import time
from contextlib import closing, suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from made_ledger import make_ledger

from proxy.core.child_pool import ChildPool
from proxy.jobs.reconciliation.billed_calls import BilledCalls
from proxy.jobs.reconciliation.call_process import CallProcess
from proxy.jobs.reconciliation.day_calls import BillSums, CallSums
from proxy.policy.reconciliation.day_comparison import DayBooks, DayComparison
from proxy.policy.reconciliation.sync_schedule import start_ms
from proxy.providers.key import OWN
from proxy.storage.ledger_place import LedgerPlace
from proxy.storage.reconciliation import ComparedDay, DayResult, class_sums
from proxy.storage.rows import id_floor
from proxy.storage.sqlite.connect import open_reader
from proxy.storage.sqlite.ledger import SqliteLedger, open_ledger
from proxy.storage.sqlite.reports import SqliteReports

_DAYS = 30
_DAY_MS = 86_400_000
_HOUR_MS = 3_600_000
_TAIL_MS = 2 * _HOUR_MS
_TICK_S = 0.005
_ALONE_S = 5.0
_EACH = 10_000  # one call in so many has another cost
_KEY = "0" * 64


def bill_of(path: Path, day_ms: int) -> list[tuple[int, bytes]]:
    """Return the bill of a day and the hours after it, made of the ledger's rows: hours, and the answer of each."""
    query = "SELECT generation_id, cost_pusd FROM requests WHERE id >= ? AND id < ?"
    found = []
    with closing(open_reader(path)) as reader:
        for hour_ms in range(day_ms, day_ms + _DAY_MS + _TAIL_MS, _HOUR_MS):
            rows = reader.execute(query, (id_floor(hour_ms), id_floor(hour_ms + _HOUR_MS)))
            told = [(id_, cost_pusd + 5_000 * (n % _EACH == 0)) for n, (id_, cost_pusd) in enumerate(rows)]
            lines = ",".join(
                f'{{"generation_id":"{id_}","total_usage":{pusd // 10**12}.{pusd % 10**12:012d}}}' for id_, pusd in told
            )
            found.append((hour_ms, f'{{"data":{{"data":[{lines}],"metadata":{{"truncated":false}}}}}}'.encode()))
    return found


async def compare(calls: BilledCalls, day_ms: int, bill: list[tuple[int, bytes]]) -> tuple[CallSums, DayComparison]:
    """Compare one day as the proxy does."""
    for hour_ms, body in bill:
        await calls.take(body)
        await calls.list_taken(_KEY, hour_ms, hour_ms + _HOUR_MS)
    await calls.look("openrouter", {"main": _KEY}, OWN)
    books = DayBooks(day_ms, time.time_ns() // 1_000_000, (), {})
    beside = BillSums(None, 0, is_complete=True, has_upstream=False)
    return await calls.sums(), await calls.compare(beside, books, ())


async def lateness(until: asyncio.Event) -> dict[str, float]:
    """Return by how much a timer came late, in microseconds."""
    loop, late = asyncio.get_running_loop(), []
    while not until.is_set():
        due = loop.time() + _TICK_S
        await asyncio.sleep(_TICK_S)
        late.append((loop.time() - due) * 1e6)
    late.sort()
    return {"p50": round(late[len(late) // 2]), "p99": round(late[len(late) * 99 // 100])}


async def write(ledger: SqliteLedger, day: date, calls: int, found: DayComparison) -> None:
    classes = tuple(class_sums(found.entries))
    now_ms = time.time_ns() // 1_000_000
    compared = ComparedDay(
        "openrouter", day.isoformat(), "calls", found.booked_pusd, found.billed_pusd, calls, True, None, now_ms, classes
    )
    await ledger.note_reconciliation(DayResult(compared, found.entries))


async def run(path: Path) -> dict[str, object]:
    ledger = open_ledger(path, asyncio.get_running_loop(), purpose="bench", busy_timeout_s=5.0, queue_max=100)
    reports, today = SqliteReports(path), datetime.now(UTC).date()
    alone_done = asyncio.Event()
    asyncio.get_running_loop().call_later(_ALONE_S, alone_done.set)
    alone = await lateness(alone_done)
    seconds, cpu_seconds, rows, differences, beside = 0.0, 0.0, 0, 0, list[dict[str, float]]()
    place = LedgerPlace("proxy.storage.sqlite.reports:open_reports", path)
    processes = ChildPool(lambda: CallProcess(place))
    for back in range(_DAYS, 0, -1):
        day = today - timedelta(days=back)
        bill = await asyncio.to_thread(bill_of, path, start_ms(day))
        done = asyncio.Event()
        watch = asyncio.ensure_future(lateness(done))
        began_s, began_cpu_s = time.perf_counter(), time.process_time()
        async with BilledCalls(start_ms(day), reports.ledger_day, processes) as calls:
            sums, found = await compare(calls, start_ms(day), bill)
        await write(ledger, day, sums.day_calls, found)
        seconds += time.perf_counter() - began_s
        cpu_seconds += time.process_time() - began_cpu_s
        done.set()
        beside.append(await watch)
        rows += sums.day_calls
        differences += len(found.entries)
    await processes.close()
    await ledger.close()
    p99 = sorted(one["p99"] for one in beside)
    late = {
        "alone": alone,
        "beside": {"p50": sorted(one["p50"] for one in beside)[15], "p99": p99[15], "worst": p99[-1]},
    }
    return {
        "seconds": round(seconds, 2),
        "cpu_seconds": {"proxy": round(cpu_seconds, 2), "others": round(sum(os.times()[2:4]), 2)},
        "rows": rows,
        "differences": differences,
        "lateness_us": late,
    }


def main(requests: int = 10_000_000, folder: str | None = None) -> None:
    with tempfile.TemporaryDirectory() as own:
        path = Path(folder or own) / "ledger.db"
        if not path.exists():
            make_ledger(path, requests)
        sys.stdout.write(json.dumps(asyncio.run(run(path))) + "\n")


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main(int(next(iter(sys.argv[1:2]), "10_000_000")), next(iter(sys.argv[2:3]), None))
