"""Compare a month of a ledger with a bill of as many calls: how long it takes, and what an event loop beside it feels.

    python month_reconcile.py [REQUESTS] [DIR]

Makes a ledger of REQUESTS (10,000,000) over 90 days in DIR, unless it is there, and compares the last 30 whole days,
each with a bill that has every call of it, one of 10,000 at another cost. The bill comes from memory: what the provider
takes to tell it is not in the figures. Prints one JSON object: seconds, cpu_seconds, rows, differences, and lateness_us
(p50 and p99 of a timer of 5 ms in the event loop) alone and beside.
"""

import asyncio
import json
import sys
import tempfile
import time
from contextlib import closing, suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from made_ledger import make_ledger

from proxy.jobs.reconciliation.account_sync import compare_bill
from proxy.jobs.reconciliation.day_bill import DayBill
from proxy.policy.reconciliation.day_comparison import BilledCall, DayBooks, DayComparison
from proxy.policy.reconciliation.sync_schedule import start_ms
from proxy.providers.key import OWN
from proxy.storage.reconciliation import ComparedDay, DayQuestion, DayResult, class_sums
from proxy.storage.rows import id_floor
from proxy.storage.sqlite.connect import open_reader
from proxy.storage.sqlite.ledger import SqliteLedger, open_ledger
from proxy.storage.sqlite.reports import SqliteReports

_DAYS = 30
_DAY_MS = 86_400_000
_TAIL_MS = 2 * 3_600_000
_TICK_S = 0.005
_ALONE_S = 5.0
_EACH = 10_000  # one call in so many has another cost
_KEY = "0" * 64


def bill_of(path: Path, day_ms: int) -> list[BilledCall]:
    """Return the bill of a day and the hours after it, made of the ledger's rows."""
    span = id_floor(day_ms), id_floor(day_ms + _DAY_MS + _TAIL_MS)
    query = "SELECT generation_id, cost_pusd, started_ms FROM requests WHERE id >= ? AND id < ?"
    with closing(open_reader(path)) as reader:
        return [
            BilledCall(id_, _KEY, cost_pusd + 5_000 * (n % _EACH == 0), at_ms - at_ms % 3_600_000, at_ms)
            for n, (id_, cost_pusd, at_ms) in enumerate(reader.execute(query, span))
        ]


def compare(reports: SqliteReports, day_ms: int, calls: list[BilledCall]) -> DayComparison:
    """Compare one day as the proxy does."""
    ledger = reports.ledger_day(DayQuestion("openrouter", day_ms, calls, {"main": _KEY}, OWN))
    bill = DayBill(calls, {}, None, 0, is_complete=True)
    books = DayBooks(day_ms, time.time_ns() // 1_000_000, ledger.requests, {})
    return compare_bill(bill, ledger, {}, books)


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
    for back in range(_DAYS, 0, -1):
        day = today - timedelta(days=back)
        calls = await asyncio.to_thread(bill_of, path, start_ms(day))
        done = asyncio.Event()
        watch = asyncio.ensure_future(lateness(done))
        began_s, began_cpu_s = time.perf_counter(), time.process_time()
        found = await asyncio.to_thread(compare, reports, start_ms(day), calls)
        await write(ledger, day, len(calls), found)
        seconds += time.perf_counter() - began_s
        cpu_seconds += time.process_time() - began_cpu_s
        done.set()
        beside.append(await watch)
        rows += sum(call.hour_ms < start_ms(day) + _DAY_MS for call in calls)
        differences += len(found.entries)
    await ledger.close()
    p99 = sorted(one["p99"] for one in beside)
    late = {
        "alone": alone,
        "beside": {"p50": sorted(one["p50"] for one in beside)[15], "p99": p99[15], "worst": p99[-1]},
    }
    return {
        "seconds": round(seconds, 2),
        "cpu_seconds": round(cpu_seconds, 2),
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
