"""What was last heard of each account, with its age: kept a while, then asked again, once at a time for all who ask."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from datetime import date
from typing import Any, Final, Generic, TypeVar, cast

from msgspec import Struct

from proxy.core.clock import Clock
from proxy.core.secret import Secret
from proxy.providers.account.source import (
    TOLD_MAX_S,
    AccountCredits,
    AccountError,
    AccountQuestion,
    AccountSource,
    ActivityRow,
    KeyStatus,
    ListedKey,
)
from proxy.providers.account.sources import account_source
from proxy.providers.key import Key
from proxy.providers.provider import ProviderRow

T = TypeVar("T")
_KEPT_S: Final[dict[AccountQuestion, float]] = {
    "credits": 60.0,
    "key": 300.0,
    "keys": 300.0,
    "activity": 60.0,
}
_FIRST_WAIT_S: Final = 20.0  # where there is nothing yet to show
_PAUSE_S: Final = 60.0  # after a question that failed, unless the provider asks for longer
_ANSWERS_MAX: Final = 10_000  # more keys than anybody has


class Heard(Struct, Generic[T], frozen=True):
    """The last answer to a question. value, heard_ms: None before the first; problem: why the latest try failed.

    is_old: it is older than it is kept, and is being asked for again.
    """

    value: T | None = None
    heard_ms: int | None = None
    problem: AccountError | None = None
    is_old: bool = False


_Place = tuple[str, str, AccountQuestion, Secret | None, str]
"""A provider, its address, the question, the key that asks, and what of."""


class _Entry(Struct):
    value: Any = None
    heard_ms: int | None = None
    problem: AccountError | None = None
    due_s: float = 0.0  # by the monotonic clock: when it is asked for again
    asking: asyncio.Task[None] | None = None


class Accounts:
    """The answers, by provider and key. Nothing is asked unless somebody wants to know."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._entries: dict[_Place, _Entry] = {}

    def source(self, provider: ProviderRow) -> AccountSource | None:
        """Return who tells of a provider's account, for questions whose answers are not kept; None: nobody does."""
        return account_source(provider, self._clock)

    async def credits(self, provider: ProviderRow, wait_s: float) -> Heard[AccountCredits] | None:
        """Return the account's credits; an old answer is returned once wait_s is over. None: they cannot be asked for.

        Without any answer yet, it waits longer for the first, unless wait_s is 0.
        """
        return await self._hear(provider, "credits", provider.management_key, wait_s, lambda source: source.credits())

    async def keys(self, provider: ProviderRow, wait_s: float) -> Heard[tuple[ListedKey, ...]] | None:
        """Return the keys of the account, as credits() does."""
        return await self._hear(provider, "keys", provider.management_key, wait_s, lambda source: source.keys())

    async def key(self, provider: ProviderRow, key: Key, wait_s: float) -> Heard[KeyStatus] | None:
        """Return what the provider says of a key, as credits() does; None too for a key without a secret."""
        secret = key.secret
        if secret is None:
            return None
        return await self._hear(provider, "key", key, wait_s, lambda source: source.key(secret))

    async def activity(
        self, provider: ProviderRow, day: date, key_hash: str | None, wait_s: float
    ) -> Heard[tuple[ActivityRow, ...]] | None:
        """Return what was charged on a day, as credits() does. A day is kept while somebody looks at it."""
        now_s = self._clock.monotonic_s()
        for place, entry in [*self._entries.items()]:  # a day has thousands of rows
            if place[2] == "activity" and entry.asking is None and now_s >= entry.due_s + _KEPT_S["activity"]:
                del self._entries[place]
        of = f"{day.isoformat()} {key_hash or ''}"
        key = provider.management_key
        return await self._hear(provider, "activity", key, wait_s, lambda source: source.activity(day, key_hash), of=of)

    def last_credits(self, provider: ProviderRow) -> Heard[AccountCredits] | None:
        """Return the credits as they were heard last, without asking; None: they were not."""
        entry = self._entries.get(_place(provider, "credits", provider.management_key))
        return None if entry is None or entry.heard_ms is None else self._heard(entry)

    def keep_only(self, providers: Iterable[ProviderRow]) -> None:
        """Forget what was heard of providers and keys that are not among these."""
        known = {(row.name, row.base_url) for row in providers}
        secrets = {key.secret for row in providers for key in (*row.keys, row.management_key) if key is not None}
        for place in [place for place in self._entries if place[:2] not in known or place[3] not in secrets]:
            if (asking := self._entries.pop(place).asking) is not None:
                asking.cancel()

    async def close(self) -> None:
        """Stop asking."""
        tasks = [entry.asking for entry in self._entries.values() if entry.asking is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._entries.clear()

    async def _hear(
        self,
        provider: ProviderRow,
        question: AccountQuestion,
        key: Key | None,
        wait_s: float,
        asked: Callable[[AccountSource], Awaitable[T]],
        *,
        of: str = "",
    ) -> Heard[T] | None:
        source = self.source(provider)
        if source is None or question not in source.questions:
            return None
        entry = self._entry(_place(provider, question, key, of))
        if entry.asking is None and self._clock.monotonic_s() >= entry.due_s:
            entry.asking = asyncio.create_task(self._ask(entry, _KEPT_S[question], lambda: asked(source)))
        asking = entry.asking
        if asking is not None:
            first = entry.heard_ms is None and entry.problem is None
            await asyncio.wait({asking}, timeout=max(wait_s, _FIRST_WAIT_S) if first and wait_s else wait_s)
            if asking.done() and not asking.cancelled():
                asking.result()  # raises what is no AccountError: a fault of ours
        return cast("Heard[T]", self._heard(entry))

    def _entry(self, place: _Place) -> _Entry:
        found = self._entries.get(place)
        if found is None:
            while len(self._entries) >= _ANSWERS_MAX:
                self._entries.pop(next(iter(self._entries)))
            found = self._entries[place] = _Entry()
        return found

    def _heard(self, entry: _Entry) -> Heard[Any]:
        is_old = entry.heard_ms is not None and self._clock.monotonic_s() >= entry.due_s
        return Heard(entry.value, entry.heard_ms, entry.problem, is_old)

    async def _ask(self, entry: _Entry, kept_s: float, asked: Callable[[], Awaitable[Any]]) -> None:
        try:
            value = await asked()
        except AccountError as error:
            entry.problem = error
            kept_s = min(max(_PAUSE_S, error.retry_after_s or 0.0), TOLD_MAX_S)
        else:
            entry.value, entry.heard_ms, entry.problem = value, self._clock.now_ms(), None
        finally:
            entry.asking = None
        entry.due_s = self._clock.monotonic_s() + kept_s


def _place(provider: ProviderRow, question: AccountQuestion, key: Key | None, of: str = "") -> _Place:
    return provider.name, provider.base_url, question, None if key is None else key.secret, of
