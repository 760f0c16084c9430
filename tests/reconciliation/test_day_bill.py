"""One day of a bill, asked of a source that answers as it is told to."""

import asyncio
import json
import random
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any, NamedTuple

import pytest
from msgspec.structs import replace

from proxy.core.money import pusd_to_usd
from proxy.jobs.reconciliation.billed_calls import BilledCalls
from proxy.jobs.reconciliation.day_bill import BillReader, DayBill
from proxy.jobs.reconciliation.day_calls import DayCalls
from proxy.policy.reconciliation.day_comparison import BilledCall
from proxy.policy.reconciliation.sync_schedule import start_ms
from proxy.providers.account.source import (
    AccountError,
    AccountErrorKind,
    AccountQuestion,
    ActivityRow,
    TakeCosts,
    TakenCosts,
)
from proxy.storage.reconciliation import DayQuestion, LedgerDay

KEY = "k" * 64
HOUR_MS = 3_600_000


class Clock:
    def __init__(self, now_ms: int, monotonic_s: float = 0.0) -> None:
        self.ms, self.s = now_ms, monotonic_s

    def now_ms(self) -> int:
        return self.ms

    def monotonic_s(self) -> float:
        return self.s


class Source:
    """Answers what it holds, and keeps what it was asked. problems: raised first, one after the other."""

    provider = "p"

    def __init__(self, calls: Mapping[int, Mapping[str, int]], requests: int | None = 1, *, whole: bool = True) -> None:
        few: frozenset[AccountQuestion] = frozenset({"activity"})
        every: frozenset[AccountQuestion] = frozenset({"activity", "generation_costs", "keys", "generation"})
        self.questions = every if whole else few
        self._calls, self._requests = calls, requests
        self.asked: list[tuple[int, int]] = []
        self.problems: list[AccountError] = []
        self.is_truncated = False

    async def activity(self, day: date, key_hash: str | None = None) -> tuple[ActivityRow, ...]:
        if key_hash not in (None, KEY):
            raise AccountError("refused", "there is no such key", status=404)
        pusd = sum(cost for hour in self._calls.values() for cost in hour.values())
        return (ActivityRow(day, "a/m", "a/m-1", "e", "P", pusd, 0, self._requests, 1, 1, None, None),)

    async def generation_costs(self, start_ms: int, end_ms: int, key_hash: str | None, take: TakeCosts) -> bool:
        assert key_hash == KEY
        if self.problems:
            raise self.problems.pop(0)
        self.asked.append((start_ms, end_ms))
        hours = [costs for at, costs in self._calls.items() if start_ms <= at < end_ms]
        rows = [{"generation_id": id_, "total_usage": pusd_to_usd(pusd)} for one in hours for id_, pusd in one.items()]
        answer = {"data": {"data": rows, "metadata": {"truncated": self.is_truncated}}}
        taken = await take(json.dumps(answer).encode())
        return taken.is_truncated

    async def keys(self) -> tuple[Any, ...]:
        return ()


class Read(NamedTuple):
    bill: DayBill
    calls: list[BilledCall]


async def read(asked: BillReader, day: date, in_use: Sequence[str], earlier: Sequence[str] = ()) -> Read:
    """Return a day's bill, and the calls that were listed."""

    def no_ledger(_: DayQuestion) -> LedgerDay:
        raise AssertionError("a bill is read without the ledger")

    here = BilledCalls(start_ms(day), no_ledger, None)
    calls = here._here = DayCalls(start_ms(day), no_ledger)
    return Read(await asked.read(here, day, in_use, earlier), calls.all_calls())


def reader(source: Source, now_ms: int, waits: list[float] | None = None) -> BillReader:
    async def sleep(seconds: float) -> None:
        assert waits is not None
        waits.append(seconds)

    return BillReader(source, Clock(now_ms), sleep)  # type: ignore[arg-type]


DAY = date(2026, 11, 20)
DAY_START_MS = start_ms(DAY)
LATER_MS = DAY_START_MS + 5 * 86_400_000


async def test_a_busy_day_is_asked_for_by_the_hour_and_a_quiet_one_at_once() -> None:
    busy, quiet = Source({DAY_START_MS + 5: {"gen-a": 7}}, 100_000), Source({DAY_START_MS + 5: {"gen-a": 7}}, 10)
    for source, count in ((busy, 26), (quiet, 3)):
        bill, calls = await read(reader(source, LATER_MS), DAY, [KEY])
        assert len(source.asked) == count
        assert source.asked[0][0] == DAY_START_MS
        assert source.asked[-1][1] == DAY_START_MS + 26 * HOUR_MS  # what began before midnight may be billed after it
        assert [(call.generation_id, call.cost_pusd, call.hour_ms) for call in calls] == [("gen-a", 7, DAY_START_MS)]
        assert bill.is_complete
        assert (bill.account_pusd, bill.other_keys_pusd) == (7, 0)


async def test_hours_of_today_that_are_over_are_asked_for_once() -> None:
    now_ms = DAY_START_MS + 9 * HOUR_MS + 1_800_000
    source = Source({DAY_START_MS + 5: {"gen-a": 7}})
    today = reader(source, now_ms)
    first = await read(today, DAY, [KEY])
    assert len(source.asked) == 10
    source.asked.clear()
    again = await read(today, DAY, [KEY])
    assert again.calls == first.calls
    assert source.asked[0][0] == DAY_START_MS + 7 * HOUR_MS  # two hours are not settled, and this one is not over
    assert again.bill.activity is None
    assert not again.bill.is_complete


async def test_who_asks_to_wait_is_obeyed_and_the_rest_goes_on() -> None:
    source, waits = Source({DAY_START_MS + 5: {"gen-a": 7}}, 100_000), list[float]()
    source.problems = [
        AccountError("limited", "wait", retry_after_s=42.0),
        AccountError("limited", "wait", retry_after_s=300.0),
        AccountError("unavailable", "down"),
        AccountError("unavailable", "down", retry_after_s=1.0),
    ]
    calls = (await read(reader(source, LATER_MS, waits), DAY, [KEY])).calls
    assert waits == [42.0, 300.0, 15.0, 30.0]
    assert [call.generation_id for call in calls] == ["gen-a"]


@pytest.mark.parametrize("kind", ["limited", "unavailable"])
@pytest.mark.parametrize("told_s", [301.0, 9_000.0, 1e12])
async def test_who_asks_to_wait_for_long_is_not_asked_before(kind: AccountErrorKind, told_s: float) -> None:
    """A wait of more than a day is taken for a mistake."""
    source, waits = Source({DAY_START_MS + 5: {"gen-a": 7}}, 100_000), list[float]()
    source.problems = [AccountError(kind, "Not now.", retry_after_s=told_s)]
    bill = reader(source, LATER_MS, waits)
    clock = bill.clock = Clock(LATER_MS)
    least_s = min(told_s, 86_400.0)
    again = f"{datetime.fromtimestamp(LATER_MS / 1000 + least_s, UTC):%Y-%m-%d %H:%M:%S} UTC"
    asked = count_questions(source)
    for past_s in (0.0, 0.4, least_s - 300.5):
        clock.s = past_s
        with pytest.raises(AccountError, match=rf"^Not now\. Its bill is not asked for before {again}") as told:
            await read(bill, DAY, [KEY])
        assert told.value.retry_after_s == least_s - past_s
    assert (len(asked), waits) == (3, [])  # of the first day: its sums twice, and an hour
    clock.s = least_s
    assert len((await read(bill, DAY, [KEY])).calls) == 1
    assert waits == []


async def test_who_gave_up_asks_the_next_day_no_sooner_than_told() -> None:
    source, waits = Source({DAY_START_MS + 5: {"gen-a": 7}}, 100_000), list[float]()
    source.problems = [AccountError("limited", "Not now.", retry_after_s=200.0)] * 10
    bill = reader(source, LATER_MS, waits)
    clock = bill.clock = Clock(LATER_MS)
    asked = count_questions(source)
    for _ in range(3):
        with pytest.raises(AccountError, match=r"Not now\."):
            await read(bill, DAY, [KEY])
    assert (len(asked), waits) == (11, [200.0] * 8)  # sums twice and an hour nine times, all of the first day
    clock.s = 201.0
    with pytest.raises(AccountError, match=r"Not now\."):
        await read(bill, DAY, [KEY])
    assert (len(asked), source.problems) == (14, [])
    clock.s = 401.0
    assert len((await read(bill, DAY, [KEY])).calls) == 1


def count_questions(source: Source) -> list[str]:
    """Return a list that grows with each question."""
    asked: list[str] = []
    activity, costs = source.activity, source.generation_costs

    async def count_activity(day: date, key_hash: str | None = None) -> tuple[ActivityRow, ...]:
        asked.append("activity")
        return await activity(day, key_hash)

    async def count_costs(start_ms: int, end_ms: int, key_hash: str | None, take: TakeCosts) -> bool:
        asked.append("costs")
        return await costs(start_ms, end_ms, key_hash, take)

    source.activity, source.generation_costs = count_activity, count_costs  # type: ignore[method-assign]
    return asked


async def test_a_key_that_the_provider_has_forgotten_is_left_out() -> None:
    source = Source({DAY_START_MS: {"gen-a": 7}})
    bill = (await read(reader(source, LATER_MS), DAY, [KEY], ["gone"])).bill
    assert bill.activity is not None
    assert bill.activity.keys() == {"", KEY}
    assert bill.is_complete
    with pytest.raises(AccountError, match="no such key"):
        await read(reader(source, LATER_MS), DAY, [KEY, "in use"])
    today = await read(reader(source, DAY_START_MS + HOUR_MS), DAY, [KEY], ["gone"])
    assert len(today.calls) == 1


async def test_without_calls_the_sums_are_compared() -> None:
    refused = Source({DAY_START_MS: {"gen-a": 7}})
    refused.problems = [AccountError("refused", "not with this key")]
    bill, calls = await read(reader(refused, LATER_MS), DAY, [KEY])
    assert (bill.has_calls, bill.problem, calls) == (False, "not with this key", [])
    organisation = Source({DAY_START_MS: {"gen-a": 7}}, whole=False)
    bill, calls = await read(reader(organisation, LATER_MS), DAY, [KEY])
    assert (bill.has_calls, bill.problem, bill.account_pusd) == (False, None, 7)
    assert bill.activity is not None
    assert bill.activity.keys() == {""}


async def test_a_day_that_cannot_be_read_is_no_day() -> None:
    source, waits = Source({}, 100_000), list[float]()
    source.problems = [AccountError("unavailable", "down")] * 20
    with pytest.raises(AccountError, match="down"):
        await read(reader(source, LATER_MS, waits), DAY, [KEY])
    assert len(waits) == 8


async def test_who_has_asked_in_vain_does_not_wait_again_for_each_day() -> None:
    source, waits = Source({DAY_START_MS + 5: {"gen-a": 7}}, 100_000), list[float]()
    source.problems = [AccountError("limited", "too many")] * 11
    month = reader(source, LATER_MS, waits)
    for _ in range(2):
        with pytest.raises(AccountError, match="too many"):
            await read(month, DAY, [KEY])
    assert (len(waits), len(source.problems)) == (8, 1)
    month.clock = Clock(LATER_MS, 301.0)
    assert len((await read(month, DAY, [KEY])).calls) == 1
    assert len(waits) == 9


async def test_sums_of_all_days_are_told() -> None:
    now_ms = int(datetime(2026, 11, 29, 12, tzinfo=UTC).timestamp() * 1000)
    sums = await reader(Source({1: {"gen-a": 7}}), now_ms).day_sums()
    assert len(sums) == 30
    assert sums[(date(2026, 11, 29) - timedelta(days=1)).isoformat()] == 7


async def test_a_bill_that_no_ledger_could_hold_is_a_mistake() -> None:
    source = Source({DAY_START_MS: {f"gen-{n}": 9 * 10**18 for n in range(3)}})
    with pytest.raises(AccountError, match=r"2026-11-20 has \$27000000") as refused:
        await read(reader(source, LATER_MS), DAY, [KEY])
    assert refused.value.kind == "unreadable"


async def test_a_sum_may_be_rounded_otherwise_than_its_parts() -> None:
    for more, is_whole in ((2, True), (3, False)):

        class Rounding(Source):
            more: int

            async def activity(self, day: date, key_hash: str | None = None) -> tuple[ActivityRow, ...]:
                (row,) = await super().activity(day, key_hash)
                return (replace(row, usage_pusd=row.usage_pusd + self.more),)

        source = Rounding({DAY_START_MS: {"gen-a": 7}})
        source.more = more
        assert (await read(reader(source, LATER_MS), DAY, [KEY])).bill.is_complete is is_whole


class Slow(Source):
    """Answers after a while by chance. log: what was asked and read, in order."""

    def __init__(self, calls: Mapping[int, Mapping[str, int]], seed: int = 0) -> None:
        super().__init__(calls, 100_000)
        self._chance = random.Random(seed)
        self.log: list[tuple[str, int]] = []
        self.fails_at_ms: int | None = None

    async def generation_costs(self, start_ms: int, end_ms: int, key_hash: str | None, take: TakeCosts) -> bool:
        async def read(body: bytes) -> TakenCosts:
            self.log.append(("answered", start_ms))
            taken = await take(body)
            self.log.append(("read", start_ms))
            return taken

        self.log.append(("asked", start_ms))
        for _ in range(self._chance.randrange(4)):
            await asyncio.sleep(0)
        if start_ms == self.fails_at_ms:
            raise AccountError("refused", "not with this key")
        return await super().generation_costs(start_ms, end_ms, key_hash, read)


async def test_while_an_answer_is_read_the_next_is_on_its_way() -> None:
    """One at a time: each is asked for once the one before has answered, and before it is read."""
    source = Slow({DAY_START_MS + n * HOUR_MS: {f"gen-{n}": n} for n in range(24)})
    await read(reader(source, LATER_MS), DAY, [KEY])
    places = {entry: n for n, entry in enumerate(source.log)}
    hours = [at_ms for what, at_ms in source.log if what == "asked"]
    assert hours == sorted(hours)
    assert len(hours) == 26
    for before, at_ms in pairwise(hours):
        assert places["answered", before] < places["asked", at_ms] < places["read", before] < places["read", at_ms]


@pytest.mark.parametrize("seed", range(20))
async def test_calls_are_listed_as_if_each_had_waited(seed: int) -> None:
    """One that two answers have is one of the first hour that has it."""
    chance = random.Random(seed)
    ids = [f"gen-{n}" for n in range(40)]
    of_hours = {
        DAY_START_MS + n * HOUR_MS: {id_: n * 100 + int(id_[4:]) for id_ in chance.sample(ids, 5)} for n in range(26)
    }
    expected = dict[str, int]()
    for costs in of_hours.values():
        expected = costs | expected
    found = (await read(reader(Slow(of_hours, seed), LATER_MS), DAY, [KEY])).calls
    assert {call.generation_id: call.cost_pusd for call in found} == expected


async def test_an_hour_that_is_refused_leaves_nothing_that_runs() -> None:
    source = Slow({DAY_START_MS + n * HOUR_MS: {f"gen-{n}": n} for n in range(24)})
    source.fails_at_ms = DAY_START_MS + 3 * HOUR_MS
    bill, calls = await read(reader(source, LATER_MS), DAY, [KEY])
    assert (bill.has_calls, calls) == (False, [])
    assert source.log[-1] in {("asked", source.fails_at_ms), ("read", source.fails_at_ms - HOUR_MS)}
    assert asyncio.all_tasks() == {asyncio.current_task()}
