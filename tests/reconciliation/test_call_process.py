"""The calls of a busy day in a process of their own: the same as in a thread, and nothing long in between."""

import asyncio
import json
import os
import random
import signal
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from proxy.core.child_pool import ChildPool
from proxy.jobs.reconciliation import billed_calls
from proxy.jobs.reconciliation.billed_calls import HERE_MAX_BYTES, PART, BilledCalls
from proxy.jobs.reconciliation.call_process import CallProcess
from proxy.jobs.reconciliation.day_calls import BillSums
from proxy.policy.reconciliation.day_comparison import BilledCall, DayBooks
from proxy.policy.reconciliation.sync_schedule import start_ms
from proxy.providers.account import costs_answer
from proxy.providers.account.source import AccountError
from proxy.storage.ledger_place import LedgerPlace
from proxy.storage.sqlite.ledger import open_ledger
from proxy.storage.sqlite.reports import SqliteReports
from tests.reconciliation.month import month_before
from tests.reconciliation.test_month import expected, found_classes, played, today
from tests.support.installation import token_of
from tests.support.raw import ask
from tests.support.stand import MESSAGES

OPENED_BY = "proxy.storage.sqlite.reports:open_reports"
DAY_MS = start_ms(today()) - 5 * 86_400_000
KEY = "k" * 64
ODD = (
    b"",
    b"<html>",
    b'{"data":',
    b'{"error":{"code":503,"message":"later"}}',
    b'{"data":[]}',
    b'{"data":{"data":[{"generation_id":"a","total_usage":"much"}],"metadata":{"truncated":false}}}',
    b'{"data":{"data":[{"generation_id":"a","total_usage":0.5}],"metadata":{"row_count":2,"truncated":false}}}',
)


def answer(costs: dict[str, str]) -> bytes:
    rows = ",".join(f'{{"generation_id":"{id_}","total_usage":{usd}}}' for id_, usd in costs.items())
    return f'{{"data":{{"data":[{rows}],"metadata":{{"truncated":false}}}}}}'.encode()


@pytest.fixture
def place(tmp_path: Path) -> LedgerPlace:
    """Return where an empty ledger is."""
    path = tmp_path / "ledger.db"

    async def make() -> None:
        await open_ledger(path, asyncio.get_running_loop(), purpose="test", busy_timeout_s=5.0, queue_max=10).close()

    asyncio.run(make())
    return LedgerPlace(OPENED_BY, path)


@asynccontextmanager
async def kept(place: LedgerPlace, kept_s: float = 60.0) -> AsyncIterator[ChildPool[CallProcess]]:
    """Yield what starts processes, and end the one that it has kept."""
    processes = ChildPool(lambda: CallProcess(place), kept_s=kept_s)
    try:
        yield processes
    finally:
        await processes.close()


def shown_environ(pid: int) -> bytes:
    """Return what others of the same user may read of a process's environment: on Linux, of most, all of it."""
    path = Path(f"/proc/{pid}/environ")
    return path.read_bytes() if path.exists() else b""


@contextmanager
def sizes_noted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Note how many things go to a process and come from it at once."""
    sizes: list[int] = []
    do = CallProcess.do

    def noted(process: CallProcess, method: str, arguments: Sequence[Any]) -> Any:
        found = do(process, method, arguments)
        sizes.extend(len(one) for one in (*arguments, found) if isinstance(one, list | tuple | dict))
        return found

    with monkeypatch.context() as patch:
        patch.setattr(CallProcess, "do", noted)
        yield sizes


async def test_a_large_bill_is_compared_alike_and_a_part_at_a_time(
    place: LedgerPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two thousand calls that no row names, of which every literal counts."""
    chance = random.Random(3)
    costs = {f"gen-{DAY_MS // 1000 + n}-x": f"0.{chance.randrange(10**13):013}" for n in range(2_000)}
    hours = [answer(dict([*costs.items()][at : at + 500])) for at in range(0, len(costs), 500)]
    assert len(hours[0]) > HERE_MAX_BYTES // 2
    books = DayBooks(DAY_MS, DAY_MS + 5 * 86_400_000, (), {})
    found = []
    reports = SqliteReports(place.path)
    with sizes_noted(monkeypatch) as sizes:
        for where in (None, place):
            async with AsyncExitStack() as stack:
                processes = None if where is None else await stack.enter_async_context(kept(where))
                calls = await stack.enter_async_context(BilledCalls(DAY_MS, reports.ledger_day, processes))
                for n, body in enumerate(hours):
                    await calls.drop_taken()
                    taken = await calls.take(body)
                    assert (taken.calls, taken.problem) == (500, "")
                    await calls.list_taken(KEY, DAY_MS + n * 3_600_000, DAY_MS + (n + 1) * 3_600_000)
                assert calls.is_apart is (where is not None)
                look = await calls.look("openrouter", {}, "own")
                untold = await calls.untold(look)
                told = [call._replace(origin="other", model="a/b") for call in untold]
                bill = BillSums(None, 7, is_complete=True, has_upstream=False)
                comparison = await calls.compare(bill, books, told)
                found.append((await calls.sums(), look, untold, comparison))
    assert found[0] == found[1]
    sums, look, untold, comparison = found[1]
    assert (sums.calls, look.untold, len(comparison.entries)) == (2_000, 2_000, 2_001)
    assert isinstance(untold[0], BilledCall)
    assert sums.whole_pusd == sum(-(-int(usd[2:]) // 10) for usd in costs.values())  # each rounded up to a pico-USD
    assert max(sizes) <= PART


async def test_answers_that_are_none_are_told_alike(place: LedgerPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    here = BilledCalls(DAY_MS, SqliteReports(place.path).ledger_day, None)
    monkeypatch.setattr(billed_calls, "HERE_MAX_BYTES", 0)
    async with (
        kept(place) as processes,
        BilledCalls(DAY_MS, SqliteReports(place.path).ledger_day, processes) as apart,
    ):
        await apart.take(answer({"a": "1"}))
        assert apart.is_apart
        for body in ODD:
            assert await apart.take(body) == await here.take(body), body
        await apart.drop_all()
        assert (await apart.sums()).calls == 0


async def test_a_process_has_no_keys_and_is_missed_when_it_is_gone(
    place: LedgerPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(billed_calls, "HERE_MAX_BYTES", 0)
    monkeypatch.setenv("SOME_API_KEY", "sk-or-v1-secret")
    reports = SqliteReports(place.path)
    async with kept(place) as processes:
        calls = BilledCalls(DAY_MS, reports.ledger_day, processes)
        await calls.take(answer({"a": "1"}))
        pid = pid_of(calls)
        assert b"sk-or-v1-secret" not in await asyncio.to_thread(shown_environ, pid)
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(AccountError, match=r"ended with -9: .* Try again: tollkeeper sync") as gone:
            await calls.sums()
        await calls.__aexit__(AccountError, gone.value, None)
        assert gone.value.kind == "unreadable"  # the provider is not at fault, and not asked again and again
        with pytest.raises(AccountError, match="was ended"):
            await calls.sums()
        async with BilledCalls(DAY_MS, reports.ledger_day, processes) as calls:  # the next day has another one
            await calls.take(answer({"a": "1"}))
            assert pid_of(calls) != pid


def pid_of(calls: BilledCalls) -> int:
    assert calls._process is not None
    assert calls._process.pid is not None
    return calls._process.pid


async def test_one_process_goes_over_all_days_of_a_sync(place: LedgerPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of a day is left in the next one, and it ends when no further one comes."""
    monkeypatch.setattr(billed_calls, "HERE_MAX_BYTES", 0)
    reports, pids = SqliteReports(place.path), set[int]()
    async with kept(place, kept_s=0.05) as processes:
        for n in range(3):
            day_ms = DAY_MS + n * 86_400_000
            async with BilledCalls(day_ms, reports.ledger_day, processes) as calls:
                await calls.take(answer({f"gen-{day_ms // 1000}-x": "0.25"}))
                await calls.list_taken(KEY, day_ms, day_ms + 3_600_000)
                sums = await calls.sums()
                assert (sums.calls, sums.day_calls) == (1, 1)
                assert (await calls.look("openrouter", {}, "own")).untold == 1
                pids.add(pid_of(calls))
        assert len(pids) == 1
        async with asyncio.timeout(20):
            while processes._kept:  # noqa: ASYNC110 - a timer says so to nobody
                await asyncio.sleep(0.01)
        assert processes._ending is not None
        await processes._ending
        with pytest.raises(AccountError, match="was ended"):
            await calls.sums()


async def test_a_month_that_is_busy_is_compared_beside_requests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No answer is parsed in the proxy, and a comparison that is cut off leaves nothing behind."""
    month = month_before(today())
    async with played(tmp_path, month, "report") as play:
        monkeypatch.setattr(billed_calls, "HERE_MAX_BYTES", 0)
        monkeypatch.setattr(costs_answer, "read_costs", lambda _: pytest.fail("parsed beside the event loop"))
        done = asyncio.Event()

        async def chat() -> int:
            answered = 0
            while not done.is_set():
                body = {"model": "openai/gpt-4o-mini", "messages": MESSAGES, "max_tokens": 5}
                found = await ask(play.app.port, "POST", "/v1/chat/completions", body, token=token_of("anna"))
                assert found.status == 200, found
                assert json.loads(found.body)["usage"]
                answered += 1
                await asyncio.sleep(0.02)
            return answered

        chatting = asyncio.ensure_future(chat())
        days = month.days[:2]
        cut = asyncio.ensure_future(play.app.sync.sync("openrouter", days[0]))
        await asyncio.sleep(0.05)  # a process alone takes longer to start
        cut.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cut
        found = [await play.app.sync.sync("openrouter", day) for day in days]
        done.set()
        assert await chatting
        assert found_classes(found) == dict([*expected(month).items()][: len(days)])


@pytest.mark.parametrize("ends", ["", "import time; time.sleep(60)"], ids=["ended", "alive"])
def test_half_an_answer_is_no_answer(tmp_path: Path, ends: str) -> None:
    process = CallProcess(LedgerPlace(OPENED_BY, tmp_path / "ledger.db"))
    said = f"import os; os.write(1, b'\\x80\\x05\\x95'); os.close(1); {ends}"
    process._command = [sys.executable, "-c", said]
    with pytest.raises(AccountError, match="The process that reads the bill has ended with"):
        process.do("sums", ())
    process.close()
