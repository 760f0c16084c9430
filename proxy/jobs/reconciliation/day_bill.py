"""Read one day of the provider's bill: its calls, an hour at a time, and its sums by model, for each key.

Whoever asks too often, or while the provider is down, waits as long as the answer says and goes on where it was.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Final, TypeVar

from proxy.core.clock import Clock
from proxy.core.money import pusd_to_usd
from proxy.core.paced import paced
from proxy.policy.reconciliation.day_comparison import BilledCall
from proxy.policy.reconciliation.sync_schedule import KEPT_DAYS, day_of, days_between, start_ms
from proxy.providers.account.source import AccountError, AccountSource, ActivityRow, ListedKey

T = TypeVar("T")
_HOUR_MS: Final = 3_600_000
_DAY_MS: Final = 86_400_000
_TAIL_MS: Final = 2 * _HOUR_MS  # after midnight, for calls that began before it
_SETTLED_MS: Final = 2 * _HOUR_MS  # an hour that ended so long ago gets no new calls
_FEW_CALLS: Final = 5_000  # so many fit into one answer: the whole day is asked for at once
_WAITS_S: Final = (2.0, 5.0, 15.0, 30.0, 60.0, 60.0, 60.0, 60.0)
_WAIT_MAX_S: Final = 300.0
_REST_S: Final = 300.0
_DAY_MAX_PUSD: Final = 10**18  # a million dollars: sums of many such days would not fit into the ledger's columns
_CREATED: Final = re.compile(r"gen-(\d{10})-")  # an id begins with the second in which it was made


@dataclass(frozen=True, slots=True)
class DayBill:
    """What the provider tells of a day. calls: those of our keys, on the day and in the hours after it.

    activity: sums by hash of the key, "" for the whole account, which stands alone where keys are not told apart; None:
    the day is not over. account_pusd and
    other_keys_pusd as in DayBooks. problem: what of it could not be had. has_upstream: others may bill a part of what
    our keys were used for, as far as is known.
    """

    calls: Sequence[BilledCall]
    activity: Mapping[str, Sequence[ActivityRow]] | None
    account_pusd: int | None
    other_keys_pusd: int
    is_complete: bool
    problem: str | None = None
    has_calls: bool = True
    has_upstream: bool = True


@dataclass(slots=True)
class BillReader:
    """Asks one account. hours: calls of today's hours that are settled, so that they are asked for once.

    gave_up_s: when it was asked in vain until the last wait was over, by the clock's monotonic seconds.
    """

    source: AccountSource
    clock: Clock
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    hours: dict[tuple[int, str], Mapping[str, int]] = field(default_factory=dict)
    gave_up_s: float | None = None

    @property
    def tells_calls(self) -> bool:
        """Return whether it tells of single calls, by key, today included; else of sums of days that are over."""
        return {"generation_costs", "keys"} <= self.source.questions

    async def read(self, day: date, in_use: Sequence[str], earlier: Sequence[str] = ()) -> DayBill:
        """Return a day's bill for keys by their hashes; raises AccountError where nothing can be had of it.

        earlier: keys that are no longer in use here, and that the provider may have forgotten.
        """
        bill = await self._read(day, in_use, earlier)
        most_pusd = await asyncio.to_thread(_most, bill)
        if most_pusd > _DAY_MAX_PUSD:
            told = f"The bill of {self.source.provider} for {day} has ${pusd_to_usd(most_pusd)}"
            text = f"{told}: so much is taken for a mistake, and nothing is compared with it. Ask the provider."
            raise AccountError("unreadable", text)
        return bill

    async def _read(self, day: date, in_use: Sequence[str], earlier: Sequence[str]) -> DayBill:
        if not self.tells_calls:
            whole = await self._ask(lambda: self.source.activity(day))
            whole_pusd = sum(row.usage_pusd for row in whole)
            return DayBill((), {"": whole}, whole_pusd, 0, is_complete=False, has_calls=False)
        now_ms = self.clock.now_ms()
        day_ms = start_ms(day)
        activity, listed = None, tuple[ListedKey, ...]()
        if day_ms + _DAY_MS <= now_ms:
            activity = await self._activity(day, in_use, earlier)
            keys = [key for key in activity if key]
        else:
            listed = await self._ask(self.source.keys)
            keys = [*in_use, *({key.hash for key in listed} & {*earlier})]
        self.hours = {place: found for place, found in self.hours.items() if day_of(place[0]) == day_of(now_ms)}
        calls: list[BilledCall] = []
        problem, has_calls = None, True
        try:
            for key in keys:
                rows = None if activity is None else activity[key]
                found, is_truncated = await self._calls(day_ms, key, rows, now_ms)
                calls += found
                if is_truncated:
                    problem = "The provider lists more calls of one second than an answer holds."
        except AccountError as error:
            if error.kind != "refused" or activity is None:
                raise
            problem, has_calls, calls = str(error), False, []
        if activity is None:
            other_pusd = sum(key.used.day_pusd or 0 for key in listed if key.hash not in keys)
            return DayBill(calls, None, None, other_pusd, is_complete=False, problem=problem, has_calls=has_calls)
        return await asyncio.to_thread(_summed, calls, activity, day_ms, problem, has_calls=has_calls)

    async def day_sums(self) -> dict[str, int]:
        """Return what the provider tells of the whole account now, by day; raises AccountError."""
        today = day_of(self.clock.now_ms())
        found: dict[str, int] = {}
        for day in days_between(today - timedelta(days=KEPT_DAYS), today - timedelta(days=1)):
            rows = await self._ask(lambda day=day: self.source.activity(day))  # type: ignore[misc]
            found[day.isoformat()] = sum(row.usage_pusd for row in rows)
        return found

    async def _activity(
        self, day: date, in_use: Sequence[str], earlier: Sequence[str]
    ) -> dict[str, Sequence[ActivityRow]]:
        """Return the sums of the whole account, and of each key that the provider knows."""
        found: dict[str, Sequence[ActivityRow]] = {"": await self._ask(lambda: self.source.activity(day))}
        for key in (*in_use, *earlier):
            try:
                found[key] = await self._ask(lambda key=key: self.source.activity(day, key))  # type: ignore[misc]
            except AccountError as error:
                if error.kind != "refused" or key in in_use:
                    raise
        return found

    async def _calls(
        self, day_ms: int, key: str, rows: Sequence[ActivityRow] | None, now_ms: int
    ) -> tuple[list[BilledCall], bool]:
        """Return the calls of a key on a day and in the hours after it, and whether some could not be had."""
        end_ms = min(day_ms + _DAY_MS + _TAIL_MS, now_ms // 1000 * 1000)
        spans = [(at, min(at + _HOUR_MS, end_ms)) for at in range(day_ms, end_ms, _HOUR_MS)]
        if rows is not None and sum(row.requests or _FEW_CALLS for row in rows) < _FEW_CALLS:
            of_day = [(day_ms, min(day_ms + _DAY_MS, end_ms))] if rows else []
            spans = [*of_day, *((at, end) for at, end in spans if at >= day_ms + _DAY_MS)]
        calls: dict[str, BilledCall] = {}
        is_truncated = False
        for at_ms, to_ms in spans:
            costs = self.hours.get((at_ms, key))
            if costs is None:
                answer = await self._ask(lambda at=at_ms, to=to_ms: self.source.generation_costs(at, to, key))  # type: ignore[misc]
                costs, is_truncated = answer.costs, is_truncated or answer.is_truncated
                if to_ms == at_ms + _HOUR_MS and to_ms + _SETTLED_MS <= now_ms and day_of(at_ms) == day_of(now_ms):
                    self.hours[at_ms, key] = costs
            await asyncio.to_thread(_list_calls, calls, costs, key, at_ms, to_ms)
        return [*calls.values()], is_truncated

    async def _ask(self, question: Callable[[], Awaitable[T]]) -> T:
        """Return the answer to a question, asked again for minutes where that may help; raises AccountError.

        Where that has just been in vain it is asked once: a month of days must not wait minutes for each of them.
        """
        now_s = self.clock.monotonic_s()
        is_tired = self.gave_up_s is not None and now_s - self.gave_up_s < _REST_S
        waits_s = iter(() if is_tired else _WAITS_S)
        while True:
            try:
                return await question()
            except AccountError as error:
                wait_s = next(waits_s, None)
                if error.kind not in ("limited", "unavailable"):
                    raise
                if wait_s is None:
                    if not is_tired:  # else it would never be waited for again while somebody keeps asking
                        self.gave_up_s = self.clock.monotonic_s()
                    raise
                await self.sleep(min(max(wait_s, error.retry_after_s or 0.0), _WAIT_MAX_S))


def _list_calls(calls: dict[str, BilledCall], costs: Mapping[str, int], key: str, from_ms: int, to_ms: int) -> None:
    """Add the calls of a time that are not listed yet, by their ids: thousands, so it is work for a thread."""
    for id_, cost_pusd in paced(costs.items()):
        if id_ not in calls:
            calls[id_] = _call(id_, key, cost_pusd, from_ms, to_ms)


def _most(bill: DayBill) -> int:
    """Return the largest amount that a sum of anything on the bill could come to."""
    sums = [
        sum(abs(row.usage_pusd) + abs(row.byok_usage_pusd) for row in rows) for rows in (bill.activity or {}).values()
    ]
    return max([sum(abs(call.cost_pusd) for call in paced(bill.calls)), abs(bill.other_keys_pusd), *sums])


def _call(id_: str, key: str, cost_pusd: int, from_ms: int, to_ms: int) -> BilledCall:
    """Return a call as it was listed; the second in which it was made is in its id, if it is one of the time."""
    found = _CREATED.match(id_)
    created_ms = int(found[1]) * 1000 if found is not None else from_ms
    if not from_ms - _TAIL_MS <= created_ms < to_ms:
        created_ms = from_ms
    hour_ms = max(from_ms, min(created_ms - created_ms % _HOUR_MS, to_ms - 1))
    return BilledCall(id_, key, cost_pusd, hour_ms - hour_ms % _HOUR_MS, created_ms)


def _summed(
    calls: list[BilledCall],
    activity: Mapping[str, Sequence[ActivityRow]],
    day_ms: int,
    problem: str | None,
    *,
    has_calls: bool,
) -> DayBill:
    """Return the bill of a day that is over."""
    sums = {key: sum(row.usage_pusd for row in rows) for key, rows in activity.items()}
    own_pusd = sum(pusd for key, pusd in sums.items() if key)
    listed_pusd = sum(call.cost_pusd for call in paced(calls) if call.hour_ms < day_ms + _DAY_MS)
    literals = len(calls) + sum(len(rows) for key, rows in activity.items() if key)  # each is rounded up to a pico-USD
    is_complete = has_calls and problem is None and abs(listed_pusd - own_pusd) <= literals
    has_upstream = any(row.byok_usage_pusd for key, rows in activity.items() if key for row in rows)
    return DayBill(
        calls,
        activity,
        sums[""],
        sums[""] - own_pusd,
        is_complete,
        problem=problem,
        has_calls=has_calls,
        has_upstream=has_upstream,
    )
