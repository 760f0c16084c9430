"""Compare what keys have counted of a day with the ledger, for providers whose bill cannot be read, and keep it.

A provider tells of the running day alone. What the day before came to in the end follows from what a key has used in
all, less what it has used today: the difference of that to the same figure of a day ago. A start that comes after
midnight does not know that one, and the day stays as it was counted last.
"""

import asyncio
import logging
from collections.abc import Iterable
from datetime import date, timedelta
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from proxy.jobs.reconciliation.key_groups import KeyGroup, key_groups
from proxy.pipeline.services import Services
from proxy.policy.reconciliation.day_comparison import DriftEntry
from proxy.policy.reconciliation.key_comparison import KeyDrift, compare_days
from proxy.policy.reconciliation.key_reason import BEFORE_PROXY, BY_NAME, CountedTime
from proxy.policy.reconciliation.sync_schedule import day_of, start_ms
from proxy.providers.account.accounts import Heard
from proxy.providers.account.source import AccountError, KeyStatus
from proxy.providers.key import OWN
from proxy.storage.reconciliation import ComparedDay, DayResult, KeyQuestion, class_sums, count_of

log = logging.getLogger("tollkeeper.reconciliation")
_WAIT_S: Final = 30.0
_NOT_YET: Final = "the provider has not answered"
_NO_DAYS: Final = "the provider does not tell what it has used today"


class KeyCount(Struct, frozen=True):
    """What a key had counted of a day, until a moment. opening_pusd: what it had used in all before that day."""

    names: tuple[str, ...]
    hash: str
    day: date
    used_pusd: int
    byok_pusd: int
    opening_pusd: int
    until_ms: int
    is_over: bool = False


class KeyCountSync:
    """Keeps the counts of today and of the day before. problems: why no key of a provider was told last."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._counts: dict[tuple[str, date], dict[str, KeyCount]] = {}
        self.problems: dict[str, str] = {}

    def providers(self) -> list[str]:
        """Return the providers with keys that are asked here, for no management key reads their bill."""
        return [*dict.fromkeys(group.row.name for group in self._groups())]

    async def sync(self, provider: str) -> list[ComparedDay]:
        """Compare today, and yesterday once it has ended; raises AccountError where no key was told."""
        groups = [group for group in self._groups() if group.row.name == provider]
        accounts = self._services.accounts
        heard = await asyncio.gather(*(accounts.key(group.row, group.key, _WAIT_S) for group in groups))
        problems: dict[str, str] = {}
        changed: set[date] = set()
        for group, one in zip(groups, heard, strict=True):
            count = None if one is None else _count(group, one)
            if count is not None:
                changed |= self._keep(provider, count)
            if one is not None and (count is None or one.problem is not None):
                problems[group.key.name] = str(one.problem or (_NOT_YET if one.value is None else _NO_DAYS))
        problem = "; ".join(f"key {name}: {text}" for name, text in problems.items()) or None
        if not changed:
            self.problems[provider] = problem or _NOT_YET
            raise AccountError("unavailable", f"What keys of {provider} have counted is not known: {problem}")
        self.problems.pop(provider, None)
        await self._services.ledger.flush()  # what was booked a moment ago is read
        return [await self._write(provider, day, problem) for day in sorted(changed)]

    def _groups(self) -> list[KeyGroup]:
        return [group for group in key_groups(self._services) if not group.has_bill and group.problem is None]

    def _keep(self, provider: str, count: KeyCount) -> set[date]:
        """Keep a count, and end that of the day before; return the days that have changed."""
        yesterday = count.day - timedelta(days=1)
        for place in [place for place in self._counts if place[0] == provider and place[1] < yesterday]:
            del self._counts[place]
        self._counts.setdefault((provider, count.day), {})[count.hash] = count
        counts = self._counts.get((provider, yesterday), {})
        before = counts.get(count.hash)
        if before is None or before.is_over:
            return {count.day}
        used_pusd = count.opening_pusd - before.opening_pusd
        counts[count.hash] = replace(before, used_pusd=used_pusd, until_ms=start_ms(count.day), is_over=True)
        return {yesterday, count.day}

    async def _write(self, provider: str, day: date, problem: str | None) -> ComparedDay:
        """Write what the counts of a day come to in place of what was written of it."""
        counts = self._counts[provider, day]
        found = {count.hash: await asyncio.to_thread(self._compare, count) for count in counts.values()}
        entries = [entry for hash_, drift in found.items() for entry in _entries(hash_, drift)]
        booked_pusd = sum(drift.booked_pusd for drift in found.values())
        billed_pusd = booked_pusd + sum(entry.amount_pusd for entry in entries)
        compared = ComparedDay(
            provider,
            day.isoformat(),
            "keys",
            booked_pusd,
            billed_pusd,
            0,
            False,  # a bill, if there is one later, knows better
            problem,
            self._services.clock.now_ms(),
            tuple(class_sums(entries)),
        )
        activity = {count.hash: [count_of(count.used_pusd, count.byok_pusd)] for count in counts.values()}
        await self._services.ledger.note_reconciliation(DayResult(compared, entries, {}, activity))
        fields = {"provider": provider, "day": compared.day, "level": "keys", "drift_pusd": billed_pusd - booked_pusd}
        log.info("reconciliation.compared", extra=fields)
        return compared

    def _compare(self, count: KeyCount) -> KeyDrift:
        """Read the ledger's side of a count. Blocks: for a thread."""
        question = KeyQuestion(count.names, count.hash, start_ms(count.day), count.until_ms, OWN)
        books = self._services.reports.key_books(question)
        days = [replace(one, known_pusd=0) for one in books.days if one.day == count.day.isoformat()]
        before = [one for one in books.days if one.day < count.day.isoformat()]
        is_first = books.first_ms is not None and day_of(books.first_ms) >= count.day
        time = CountedTime(is_over=count.is_over, is_first=is_first)
        return compare_days("day", count.day, count.used_pusd, days, before, time)


def _count(group: KeyGroup, heard: Heard[KeyStatus]) -> KeyCount | None:
    """Return what a provider said of a key's day; None: nothing."""
    if heard.value is None or heard.heard_ms is None or heard.value.used.day_pusd is None:
        return None
    used, byok = heard.value.used, heard.value.byok_used
    day_pusd = heard.value.used.day_pusd
    day = day_of(heard.heard_ms)
    opening_pusd = used.total_pusd - day_pusd
    byok_pusd = 0 if byok is None else byok.day_pusd or 0  # shown, and nothing is compared with it
    return KeyCount(group.names, group.hash, day, day_pusd, byok_pusd, opening_pusd, heard.heard_ms)


def _entries(hash_: str, drift: KeyDrift) -> Iterable[DriftEntry]:
    """Return the differences of a key by class; what it was used for before it came here is none."""
    before_pusd = sum(part.amount_pusd for part in drift.parts if part.reason == BEFORE_PROXY)
    sums: dict[str, int] = {}
    for part in drift.parts:
        name = BY_NAME[part.reason].drift_class
        if name is not None:
            sums[name] = sums.get(name, 0) + part.amount_pusd
    day_ms = start_ms(date.fromisoformat(drift.since_day))
    billed_pusd = drift.billed_pusd - before_pusd
    return [
        DriftEntry(name, pusd, None, None, hash_, "", day_ms, drift.booked_pusd, billed_pusd)
        for name, pusd in sums.items()
        if pusd
    ]
