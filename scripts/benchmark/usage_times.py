"""Sum a ledger of millions of requests by several words: how long it takes, and what an event loop beside it feels.

    python usage_times.py [REQUESTS] [DIR]

Makes a ledger of REQUESTS (10,000,000) over 90 days in DIR, unless it is there. Prints one JSON object: for a list of
words the best of five, as milliseconds and as milliseconds of CPU; the count of flagged requests and a month's report
likewise; then lateness_us (p50 and p99 of a timer of 5 ms in the event loop) alone, and while rows are summed by token.
"""

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from zoneinfo import ZoneInfo

from made_ledger import make_ledger
from month_reconcile import lateness

from proxy.policy.period import read_month
from proxy.storage.finance import MonthQuestion, read_month_report
from proxy.storage.labels import Labels
from proxy.storage.spending import UsageSelection
from proxy.storage.sqlite.connect import connect_owner
from proxy.storage.sqlite.labels import set_labels
from proxy.storage.sqlite.reports import SqliteReports

_UTC = ZoneInfo("UTC")
_WORDS = (("month",), ("user",), ("user", "month"), ("day",), ("model", "provider"))
_TIMES = 5
_ALONE_S = 5.0


def best(read: Callable[[], object]) -> dict[str, int]:
    """Return the least time, and the least CPU time, of some runs."""
    wall_s, cpu_s = [], []
    for _ in range(_TIMES):
        began_s, began_cpu_s = time.perf_counter(), time.process_time()
        read()
        wall_s.append(time.perf_counter() - began_s)
        cpu_s.append(time.process_time() - began_cpu_s)
    return {"ms": round(min(wall_s) * 1000), "cpu_ms": round(min(cpu_s) * 1000)}


async def beside(reports: SqliteReports) -> dict[str, object]:
    """Return how late timers are alone, and while a thread reads every row."""
    done = asyncio.Event()
    asyncio.get_running_loop().call_later(_ALONE_S, done.set)
    alone = await lateness(done)
    done = asyncio.Event()
    watch = asyncio.ensure_future(lateness(done))
    began_s = time.perf_counter()
    await asyncio.to_thread(reports.usage, UsageSelection(("token",)), _UTC)
    done.set()
    return {
        "by_token_s": round(time.perf_counter() - began_s, 1),
        "lateness_us": {"alone": alone, "beside": await watch},
    }


def main(requests: int = 10_000_000, folder: str | None = None) -> None:
    now_ms = time.time_ns() // 1_000_000
    with tempfile.TemporaryDirectory() as own:
        path = Path(folder or own) / "ledger.db"
        if not path.exists():
            make_ledger(path, requests)
        with closing(connect_owner(path, 1.0)) as connection:
            set_labels(connection, Labels("UTC", "USD", "1"), now_ms)
        reports = SqliteReports(path)
        found: dict[str, object] = {
            ",".join(words): best(lambda words=words: reports.usage(UsageSelection(words), _UTC))  # type: ignore[misc]
            for words in _WORDS
        }
        found["unsettled"] = best(reports.unsettled)
        month = MonthQuestion("last", *read_month("last-month", _UTC, now_ms), _UTC)
        found["report"] = best(lambda: read_month_report(reports, month, now_ms))
        found |= asyncio.run(beside(reports))
        sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main(int(next(iter(sys.argv[1:2]), "10_000_000")), next(iter(sys.argv[2:3]), None))
