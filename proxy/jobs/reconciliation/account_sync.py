"""Compare days of the ledger with the provider's bill, write what is found, and book what the bill knows better.

A day is written whole or not at all, and each step says what the whole should be, not what to add: done again, or cut
off anywhere and done again, it comes to the same.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import date
from typing import Final, Literal

from msgspec import Struct, field

from proxy.core.child_pool import ChildPool
from proxy.jobs.reconciliation.bill_corrections import BillCorrections
from proxy.jobs.reconciliation.billed_calls import BilledCalls
from proxy.jobs.reconciliation.call_origins import CallOrigins
from proxy.jobs.reconciliation.call_process import CallProcess
from proxy.jobs.reconciliation.day_bill import BillReader, DayBill
from proxy.jobs.reconciliation.day_calls import BillSums, CallLook
from proxy.jobs.reconciliation.key_count_sync import KeyCountSync
from proxy.pipeline.services import Services
from proxy.policy.reconciliation.day_comparison import (
    SHOWN_AFTER_MS,
    DayBooks,
    DayComparison,
)
from proxy.policy.reconciliation.drift_class import PENDING
from proxy.policy.reconciliation.sums_comparison import BilledSum, compare_sums
from proxy.policy.reconciliation.sync_schedule import day_of, start_ms
from proxy.providers.account.source import AccountError, ActivityRow
from proxy.providers.key import OWN, Key
from proxy.providers.provider import ProviderRow
from proxy.storage.ledger_place import LedgerPlace
from proxy.storage.reconciliation import (
    WHOLE_ACCOUNT,
    ActivitySum,
    ComparedDay,
    DayResult,
    Level,
    class_sums,
)

log = logging.getLogger("tollkeeper.reconciliation")
_DAY_MS: Final = 86_400_000


class _ProviderKeys(Struct, frozen=True):
    """The keys of one provider by hash: the names of all that it ever had here, and those that are in use."""

    names: Mapping[str, str]
    in_use: Mapping[str, Key]

    def by_name(self) -> Mapping[str, str]:
        """Return the hash of each name, that of the key in use where several had it."""
        return {name: hash_ for hash_, name in self.names.items()} | {
            self.names[hash_]: hash_ for hash_ in self.in_use if hash_ in self.names
        }


class _Reader(Struct):
    """What asks one account at a provider."""

    row: ProviderRow
    bill: BillReader
    origins: CallOrigins = field(default_factory=CallOrigins)


class AccountSync:
    """Syncs one day at a time. problems: why the last try of a provider failed.

    counts: does what can be done for providers whose bill cannot be read.
    """

    def __init__(
        self,
        services: Services,
        corrections: BillCorrections,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        place: LedgerPlace | None = None,
    ) -> None:
        """Keep the parts; place: where another process reads the ledger, None: none can, and busy days are slow."""
        self._services = services
        self._processes = None if place is None else ChildPool(lambda: CallProcess(place))
        self._sleep = sleep
        self._corrections = corrections
        self._readers: dict[str, _Reader] = {}
        self._turn = asyncio.Lock()
        self._begun_ms: dict[str, int] = {}  # when each key came here, by its hash
        self.problems: dict[str, str] = {}
        self.counts = KeyCountSync(services)

    async def close(self) -> None:
        """End the process that was kept for the next busy day."""
        if self._processes is not None:
            await self._processes.close()

    def providers(self, day: date | None = None) -> list[str]:
        """Return the providers whose bill can be read with the keys that there are; of a day that may not be over."""
        today = day_of(self._services.clock.now_ms())
        found = []
        for row in self._services.live.current.providers.values():
            reader = self._reader(row)
            if reader is not None and (reader.bill.tells_calls or day is None or day < today):
                found.append(row.name)
        return found

    def level(self, provider: str) -> Literal["calls", "models"]:
        """Return how fine the bill of one of providers() is."""
        reader = self._reader(self._services.live.current.providers[provider])
        return "calls" if reader is not None and reader.bill.tells_calls else "models"

    async def sync(self, provider: str, day: date) -> ComparedDay:
        """Compare a day and book what follows, if that is wanted; raises AccountError, and nothing is written then."""
        async with self._turn:
            row = self._services.live.current.providers.get(provider)  # it may be gone since it was listed
            reader = None if row is None else self._reader(row)
            if reader is None or provider not in self.providers(day):
                text = f"{provider}: its bill can be read with a management key only, and by some when the day is over."
                raise AccountError("refused", text)
            try:
                found = await self._sync(reader, day)
            except AccountError as error:
                self.problems[provider] = str(error)
                raise
            self.problems.pop(provider, None)
            return found

    async def told_sums(self, provider: str) -> dict[str, int]:
        """Return what the provider tells of the account now, by day; raises AccountError."""
        row = self._services.live.current.providers.get(provider)
        reader = None if row is None else self._reader(row)
        return {} if reader is None else await reader.bill.day_sums()

    def _reader(self, row: ProviderRow) -> _Reader | None:
        is_off = row.rules is not None and row.rules.off is not None  # a provider that is disabled is not asked
        source = None if is_off else self._services.accounts.source(row)
        if source is None or "activity" not in source.questions:
            self._readers.pop(row.name, None)
            return None
        known = self._readers.get(row.name)
        if known is None or (known.row.base_url, known.row.management_key) != (row.base_url, row.management_key):
            known = self._readers[row.name] = _Reader(row, BillReader(source, self._services.clock, self._sleep))
        elif known.row is not row:  # another configuration, the same account: what was read of it stays
            known.row, known.bill.source = row, source
        return known

    async def _sync(self, reader: _Reader, day: date) -> ComparedDay:
        services, name = self._services, reader.row.name
        named = await asyncio.to_thread(services.reports.key_names, name)
        in_use = {key.hash: key for key in reader.row.keys if key.hash is not None}
        theirs = {hash_: key for hash_, key in named.items() if key != OWN}  # users' own keys have other accounts
        names = theirs | {hash_: key.name for hash_, key in in_use.items()}
        keys = _ProviderKeys(names, in_use)
        async with BilledCalls(start_ms(day), services.reports.ledger_day, self._processes) as calls:
            bill = await reader.bill.read(calls, day, [*in_use], [*(names.keys() - in_use.keys())])
            begun_ms = await asyncio.to_thread(services.reports.first_request_ms)
            if begun_ms is None or begun_ms >= start_ms(day) + _DAY_MS:
                return await self._import(name, day, bill)
            asked = _Asked(reader, day, keys, begun_ms, await self._keys_begun_ms(name, [*theirs]))
            look = await self._look(asked, bill, calls)
            if self._corrections.are_wanted and look.comparison.entries:
                await services.ledger.note_matched_calls(name, look.comparison.pairs)
                if await self._corrections.book(name, look.comparison.entries, names):
                    look = await self._look(asked, bill, calls)
        return await self._write(name, day, bill, look)

    async def _keys_begun_ms(self, provider: str, keys: Sequence[str]) -> Mapping[str, int]:
        """Return when keys came here, as far as it is known; to find out, a long ledger may have to be read.

        keys: those that the ledger has noted for the provider: of others, as where another entry has the key too, it
        knows nothing, whenever it is asked.
        """
        if any(key not in self._begun_ms for key in keys):
            self._begun_ms |= await asyncio.to_thread(self._services.reports.keys_begun_ms, provider)
        return self._begun_ms

    async def _look(self, asked: "_Asked", bill: DayBill, calls: BilledCalls) -> "_Look":
        """Return what a day compares to, call by call if that is possible."""
        services, row, day_ms = self._services, asked.reader.row, start_ms(asked.day)
        await services.ledger.flush()  # what was booked a moment ago is read
        if bill.has_calls:
            found = await calls.look(row.name, asked.keys.by_name(), OWN)
            if found.has_rows:
                return _Look(await self._compare(asked, bill, calls, found), "calls")
        booked = await asyncio.to_thread(services.reports.ledger_sums, row.name, day_ms, OWN)
        billed = _billed_sums(bill, asked.keys.names)
        is_final = bill.activity is not None and asked.begun_ms <= day_ms
        is_final = is_final and day_ms + _DAY_MS + SHOWN_AFTER_MS <= services.clock.now_ms()
        is_final = is_final and not self._has_shared_key(row)
        new = [key for key, at_ms in asked.keys_begun_ms.items() if at_ms > day_ms]
        sums = compare_sums(day_ms, booked, billed, bill.other_keys_pusd, is_final=is_final, new_keys=new)
        return _Look(sums, "models")

    async def _compare(self, asked: "_Asked", bill: DayBill, calls: BilledCalls, found: CallLook) -> DayComparison:
        """Return what a day compares to call by call."""
        services, reader = self._services, asked.reader
        told = await reader.origins.told(reader.bill.source, await calls.untold(found), asked.keys.in_use)
        prices = {model: services.model_lists.price(reader.row, model) for model in found.models}
        known = {model: price for model, price in prices.items() if price is not None}
        books = DayBooks(
            start_ms(asked.day),
            services.clock.now_ms(),
            (),
            {},
            begun_ms=asked.begun_ms,
            keys_begun_ms=asked.keys_begun_ms,
            prices=known,
        )
        sums = BillSums(bill.account_pusd, bill.other_keys_pusd, bill.is_complete, bill.has_upstream)
        return await calls.compare(sums, books, told)

    def _has_shared_key(self, row: ProviderRow) -> bool:
        """Return whether another entry of the configuration has a key of this one."""
        others = [one for one in self._services.live.current.providers.values() if one.name != row.name]
        theirs = {key.hash for one in others for key in one.keys}
        return any(key.hash is not None and key.hash in theirs for key in row.keys)

    async def _import(self, name: str, day: date, bill: DayBill) -> ComparedDay:
        """Keep what the provider tells of a day before the first request: there is nothing to compare it with."""
        billed_pusd = bill.account_pusd or 0
        now_ms = self._services.clock.now_ms()
        is_over = bill.activity is not None
        found = ComparedDay(name, day.isoformat(), "history", 0, billed_pusd, 0, is_over, None, now_ms)
        await self._services.ledger.note_reconciliation(DayResult(found, (), {}, _activity(bill)))
        return found

    async def _write(self, name: str, day: date, bill: DayBill, look: "_Look") -> ComparedDay:
        comparison = look.comparison
        classes = tuple(class_sums(comparison.entries))
        is_over = bill.activity is not None and bill.problem is None
        is_awaited = any(one.drift_class == PENDING for one in classes)
        found = ComparedDay(
            name,
            day.isoformat(),
            look.level,
            comparison.booked_pusd,
            comparison.billed_pusd,
            bill.sums.day_calls,
            is_over and not is_awaited,
            bill.problem,
            self._services.clock.now_ms(),
            classes,
        )
        result = DayResult(found, comparison.entries, comparison.pairs, _activity(bill))
        await self._services.ledger.note_reconciliation(result)
        fields = {"provider": name, "day": found.day, "drift_pusd": comparison.drift_pusd}
        log.info("reconciliation.compared", extra=fields)
        return found


class _Asked(Struct, frozen=True):
    """What is compared: of whose account, which day, for which keys, and when the first request and each key came."""

    reader: _Reader
    day: date
    keys: _ProviderKeys
    begun_ms: int
    keys_begun_ms: Mapping[str, int]


class _Look(Struct, frozen=True):
    """One comparison, and how fine it is."""

    comparison: DayComparison
    level: Level


def _billed_sums(bill: DayBill, keys: Iterable[str]) -> list[BilledSum]:
    """Return the sums of the proxy's keys by model; of a day that is not over, of single calls."""
    if bill.activity is None:
        return [BilledSum(("",), bill.sums.whole_pusd)]
    told = keys if bill.activity.keys() - {""} else ("",)
    return [
        BilledSum((row.model, row.permaslug), row.usage_pusd, key) for key in told for row in bill.activity.get(key, ())
    ]


def _activity(bill: DayBill) -> dict[str, Sequence[ActivitySum]]:
    """Return what is kept of the provider's own sums."""
    return {key or WHOLE_ACCOUNT: [*map(_kept, rows)] for key, rows in (bill.activity or {}).items()}


def _kept(row: ActivityRow) -> ActivitySum:
    return ActivitySum(
        row.model,
        row.permaslug,
        row.endpoint_id,
        row.provider_name,
        row.usage_pusd,
        row.byok_usage_pusd,
        row.requests,
        row.prompt_tokens,
        row.completion_tokens,
        row.reasoning_tokens,
        row.cached_tokens,
    )
