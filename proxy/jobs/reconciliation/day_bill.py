"""Read one day of the provider's bill: its calls, an hour at a time, and its sums by model, for each key.

Whoever asks too often, or while the provider is down, waits as long as the answer says and goes on where it was. Where
that is more than some minutes, nothing is asked until it is over: who asks sooner than told may be shut out.
"""

import asyncio
import zlib
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Final, TypeVar

from msgspec import Struct, field

from proxy.core.clock import Clock
from proxy.core.money import pusd_to_usd
from proxy.jobs.reconciliation.billed_calls import BilledCalls
from proxy.jobs.reconciliation.day_calls import CallSums
from proxy.policy.reconciliation.sync_schedule import KEPT_DAYS, day_of, days_between, start_ms
from proxy.providers.account.source import (
    TOLD_MAX_S,
    AccountError,
    AccountSource,
    ActivityRow,
    ListedKey,
    TakenCosts,
)

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


class DayBill(Struct, frozen=True):
    """What the provider tells of a day. sums: of the calls of our keys, on the day and in the hours after it.

    activity: sums by hash of the key, "" for the whole account, which stands alone where keys are not told apart; None:
    the day is not over. account_pusd and
    other_keys_pusd as in DayBooks. problem: what of it could not be had. has_upstream: others may bill a part of what
    our keys were used for, as far as is known.
    """

    sums: CallSums
    activity: Mapping[str, Sequence[ActivityRow]] | None
    account_pusd: int | None
    other_keys_pusd: int
    is_complete: bool
    problem: str | None = None
    has_calls: bool = True
    has_upstream: bool = True


class _HourAnswers(Struct, frozen=True):
    """What the provider answered of an hour, zipped: a busy one has megabytes."""

    bodies: Sequence[bytes]
    is_truncated: bool


class _Stage(Struct, frozen=True):
    """How far a time is: its answer is there, or the first of several; its calls are listed."""

    is_answered: asyncio.Event = field(default_factory=asyncio.Event)
    is_listed: asyncio.Event = field(default_factory=asyncio.Event)


class _Rest(Struct, frozen=True):
    """Until when the provider wants to be left alone, by the clock's monotonic seconds, and how it said so."""

    until_s: float
    error: AccountError


class BillReader(Struct):
    """Asks one account. hours: answers of today's hours that are settled, so that they are asked for once.

    gave_up_s: when it was asked in vain until the last wait was over, by the clock's monotonic seconds. rest: while it
    lasts nothing is asked.
    """

    source: AccountSource
    clock: Clock
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    hours: dict[tuple[int, str], _HourAnswers] = field(default_factory=dict)
    gave_up_s: float | None = None
    rest: _Rest | None = None

    @property
    def tells_calls(self) -> bool:
        """Return whether it tells of single calls, by key, today included; else of sums of days that are over."""
        return {"generation_costs", "keys"} <= self.source.questions

    async def read(self, calls: BilledCalls, day: date, in_use: Sequence[str], earlier: Sequence[str] = ()) -> DayBill:
        """Return a day's bill for keys by their hashes, and list its calls; raises AccountError: nothing can be had.

        earlier: keys that are no longer in use here, and that the provider may have forgotten.
        """
        bill = await self._read(calls, day, in_use, earlier)
        most_pusd = _most(bill)
        if most_pusd > _DAY_MAX_PUSD:
            told = f"The bill of {self.source.provider} for {day} has ${pusd_to_usd(most_pusd)}"
            text = f"{told}: so much is taken for a mistake, and nothing is compared with it. Ask the provider."
            raise AccountError("unreadable", text)
        return bill

    async def _read(self, calls: BilledCalls, day: date, in_use: Sequence[str], earlier: Sequence[str]) -> DayBill:
        if not self.tells_calls:
            whole = await self._ask(lambda: self.source.activity(day))
            whole_pusd = sum(row.usage_pusd for row in whole)
            return DayBill(CallSums(), {"": whole}, whole_pusd, 0, is_complete=False, has_calls=False)
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
        problem, has_calls = None, True
        try:
            for key in keys:
                rows = None if activity is None else activity[key]
                if await self._list_calls(calls, key, _spans(day_ms, rows, now_ms), now_ms):
                    problem = "The provider lists more calls of one second than an answer holds."
        except AccountError as error:
            if error.kind != "refused" or activity is None:
                raise
            problem, has_calls = str(error), False
            await calls.drop_all()
        sums = await calls.sums()
        if activity is None:
            other_pusd = sum(key.used.day_pusd or 0 for key in listed if key.hash not in keys)
            return DayBill(sums, None, None, other_pusd, is_complete=False, problem=problem, has_calls=has_calls)
        return _summed(sums, activity, problem, has_calls=has_calls)

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

    async def _list_calls(self, calls: BilledCalls, key: str, spans: Iterable[tuple[int, int]], now_ms: int) -> bool:
        """List the calls of a key in times that are asked for one by one; return whether some could not be had.

        While the answer for one time is read, the next one is on its way; one that comes in halves is then asked for
        beside it. They are listed in order: a call that two answers have is one of the first.
        """
        is_truncated, before = False, _Stage()
        before.is_answered.set()
        before.is_listed.set()
        running = deque[asyncio.Task[bool]]()
        try:
            for span in spans:
                own = _Stage()
                running.append(asyncio.create_task(self._list_span(calls, key, span, now_ms, (before, own))))
                before = own
                if len(running) > 1:
                    is_truncated = await running[0] or is_truncated
                    running.popleft()
            for task in running:
                is_truncated = await task or is_truncated
        finally:
            await _end(running)
        return is_truncated

    async def _list_span(
        self, calls: BilledCalls, key: str, span: tuple[int, int], now_ms: int, stages: tuple[_Stage, _Stage]
    ) -> bool:
        """List the calls of one time; return whether some could not be had. stages: of the time before it, and its."""
        before, own = stages
        await before.is_answered.wait()
        at_ms, to_ms = span
        hour = self.hours.get((at_ms, key))
        if hour is None:
            is_hour = to_ms == at_ms + _HOUR_MS and day_of(at_ms) == day_of(now_ms)
            keeps = is_hour and to_ms + _SETTLED_MS <= now_ms
            hour = await self._ask(partial(self._hour, calls, key, span, stages, keeps=keeps))
            if keeps:
                self.hours[at_ms, key] = hour
        else:
            own.is_answered.set()
            await before.is_listed.wait()
            await calls.drop_taken()
            for body in hour.bodies:
                await calls.take(await asyncio.to_thread(zlib.decompress, body))
        await calls.list_taken(key, at_ms, to_ms)
        own.is_listed.set()
        return hour.is_truncated

    async def _hour(
        self, calls: BilledCalls, key: str, span: tuple[int, int], stages: tuple[_Stage, _Stage], *, keeps: bool
    ) -> _HourAnswers:
        """Have taken what the calls of a time cost; return the answers where they are kept."""
        before, own = stages
        bodies: list[bytes] = []
        has_begun = False

        async def begin() -> None:
            nonlocal has_begun
            own.is_answered.set()
            if not has_begun:
                await before.is_listed.wait()
                await calls.drop_taken()  # of a try that has failed in the middle
                has_begun = True

        async def take(body: bytes) -> TakenCosts:
            await begin()
            if keeps:
                bodies.append(await asyncio.to_thread(zlib.compress, body, 1))
            return await calls.take(body)

        is_truncated = await self.source.generation_costs(*span, key, take)
        await begin()
        return _HourAnswers(bodies, is_truncated)

    async def _ask(self, question: Callable[[], Awaitable[T]]) -> T:
        """Return the answer to a question, asked again for minutes where that may help; raises AccountError.

        Where that has just been in vain it is asked once: a month of days must not wait minutes for each of them. It is
        never asked sooner than the provider told.
        """
        now_s = self.clock.monotonic_s()
        is_tired = self.gave_up_s is not None and now_s - self.gave_up_s < _REST_S
        waits_s = iter(() if is_tired else _WAITS_S)
        await self._wait_as_told(0.0, _WAIT_MAX_S if not is_tired else 0.0)
        while True:
            try:
                return await question()
            except AccountError as error:
                wait_s = next(waits_s, None)
                if error.kind not in ("limited", "unavailable"):
                    raise
                self._note(error)
                if wait_s is None:
                    if not is_tired:  # else it would never be waited for again while somebody keeps asking
                        self.gave_up_s = self.clock.monotonic_s()
                    raise
                await self._wait_as_told(wait_s, _WAIT_MAX_S)

    def _note(self, error: AccountError) -> None:
        """Remember until when the provider wants to be left alone; raises AccountError where that is long."""
        if not error.retry_after_s:
            return
        told_s = min(error.retry_after_s, TOLD_MAX_S)
        at = datetime.fromtimestamp(self.clock.now_ms() / 1000 + told_s, UTC)
        if told_s <= _WAIT_MAX_S:
            self.rest = _Rest(self.clock.monotonic_s() + told_s, error)
            return
        text = f"{str(error).rstrip('.')}. Its bill is not asked for before {at:%Y-%m-%d %H:%M:%S} UTC; then try again."
        shown = AccountError(error.kind, text, status=error.status, retry_after_s=told_s, request=error.request)
        self.rest = _Rest(self.clock.monotonic_s() + told_s, shown)
        raise shown

    async def _wait_as_told(self, least_s: float, most_s: float) -> None:
        """Wait for so long, and until the provider may be asked; raises AccountError where that is past most_s."""
        rest, left_s = self.rest, 0.0
        if rest is not None:
            left_s = rest.until_s - self.clock.monotonic_s()
            if left_s > most_s:
                raise AccountError(
                    rest.error.kind, str(rest.error), status=rest.error.status, retry_after_s=left_s, was_sent=False
                )
        if max(least_s, left_s) > 0:
            await self.sleep(max(least_s, left_s))
        self.rest = None if rest is self.rest else self.rest


async def _end(tasks: Collection[asyncio.Task[bool]]) -> None:
    """End those that still run, and wait for it; what they raise then comes of what was raised already."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _spans(day_ms: int, rows: Sequence[ActivityRow] | None, now_ms: int) -> list[tuple[int, int]]:
    """Return the times in which calls of a day are asked for: hours, of a quiet day the day, and the hours after it."""
    end_ms = min(day_ms + _DAY_MS + _TAIL_MS, now_ms // 1000 * 1000)
    spans = [(at, min(at + _HOUR_MS, end_ms)) for at in range(day_ms, end_ms, _HOUR_MS)]
    if rows is None or sum(row.requests or _FEW_CALLS for row in rows) >= _FEW_CALLS:
        return spans
    of_day = [(day_ms, min(day_ms + _DAY_MS, end_ms))] if rows else []
    return [*of_day, *((at, end) for at, end in spans if at >= day_ms + _DAY_MS)]


def _most(bill: DayBill) -> int:
    """Return the largest amount that a sum of anything on the bill could come to."""
    sums = [
        sum(abs(row.usage_pusd) + abs(row.byok_usage_pusd) for row in rows) for rows in (bill.activity or {}).values()
    ]
    return max([bill.sums.most_pusd, abs(bill.other_keys_pusd), *sums])


def _summed(
    listed: CallSums, activity: Mapping[str, Sequence[ActivityRow]], problem: str | None, *, has_calls: bool
) -> DayBill:
    """Return the bill of a day that is over."""
    sums = {key: sum(row.usage_pusd for row in rows) for key, rows in activity.items()}
    own_pusd = sum(pusd for key, pusd in sums.items() if key)
    # each of them is rounded up to a pico-USD
    literals = listed.calls + sum(len(rows) for key, rows in activity.items() if key)
    is_complete = has_calls and problem is None and abs(listed.day_pusd - own_pusd) <= literals
    has_upstream = any(row.byok_usage_pusd for key, rows in activity.items() if key for row in rows)
    return DayBill(
        listed,
        activity,
        sums[""],
        sums[""] - own_pusd,
        is_complete,
        problem=problem,
        has_calls=has_calls,
        has_upstream=has_upstream,
    )
