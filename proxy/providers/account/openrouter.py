"""OpenRouter's management side: /key, /credits, /keys, /activity, /analytics/query and /generation.

An inference key may ask /key and /generation, a management key the rest; a credit balance asked for with an inference
key has been seen to be answered with zeros, so it is not asked for.
"""

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from typing import Any, Final, TypeVar

from proxy.core.clock import Clock
from proxy.core.secret import Secret
from proxy.policy.key_ring import KeyFacts
from proxy.providers.account.ask import Hear, Question, ask, ask_body, error_within, no_json, parsed
from proxy.providers.account.source import (
    AccountCredits,
    AccountError,
    AccountQuestion,
    ActivityRow,
    AnswerError,
    KeyStatus,
    ListedKey,
    TakeCosts,
    TakenCosts,
)
from proxy.providers.generation import (
    GenerationAccess,
    GenerationRecord,
    GenerationUnavailableError,
    GenerationUnknownError,
    look_up,
)
from proxy.providers.key import Key
from proxy.providers.provider import ProviderRow

_PAGE_KEYS: Final = 100
_PAGES_MAX: Final = 1000
_ROWS_ASKED: Final = 10_000  # of one query; where so many are refused, the server's own number
_NARROWEST_MS: Final = 1000  # a time with more generations than one answer holds is halved down to this
_TOO_LONG: Final = 408  # the query itself took too long
_QUERIES_MAX: Final = 128  # for one time; a server that always says that there is more must not be asked for ever
_WITHOUT_MANAGEMENT: Final[frozenset[AccountQuestion]] = frozenset({"key", "generation"})
_Read = TypeVar("_Read")
_ALL: Final[frozenset[AccountQuestion]] = _WITHOUT_MANAGEMENT | {"credits", "keys", "activity", "generation_costs"}


class OpenRouterAccount:
    """One account at OpenRouter, or at a server that answers like it."""

    def __init__(self, provider: ProviderRow, clock: Clock, hear: Hear | None = None) -> None:
        """Keep who is asked; hear gets each answer as it was parsed."""
        self.provider = provider.name
        self._hear = hear
        self.questions: frozenset[AccountQuestion] = _WITHOUT_MANAGEMENT if provider.management_key is None else _ALL
        self._provider = provider
        self._clock = clock
        self._rows_asked: int | None = _ROWS_ASKED
        self._needs = (
            "Only a management key may: make one at https://openrouter.ai/settings/management-keys and set it as "
            f"providers.{provider.name}.management_key."
        )

    async def key(self, secret: Secret) -> KeyStatus:
        """Return what OpenRouter says of a key, asked with this key, be it for inference or management."""
        question = Question(self._provider.dialect.key_path or "/key", "what is known of a key")
        return await self._ask(_key_status, question, self._named(secret))

    async def credits(self) -> AccountCredits:
        question = Question("/credits", "the credits of the account", needs=self._needs)
        return await self._ask(_credits, question)

    async def keys(self) -> tuple[ListedKey, ...]:
        """Return every key of the default workspace, those disabled and expired included."""
        found: dict[str, ListedKey] = {}
        for page in range(_PAGES_MAX):
            path = f"/keys?include_disabled=true&include_expired=true&offset={page * _PAGE_KEYS}"
            question = Question(path, "the keys of the account", needs=self._needs)
            keys = await self._ask(_listed_keys, question)
            known = len(found)
            found |= {key.hash: key for key in keys}
            if len(keys) < _PAGE_KEYS or len(found) == known:  # a server may not know pages
                break
        return tuple(found.values())

    async def activity(self, day: date, key_hash: str | None = None) -> tuple[ActivityRow, ...]:
        """Return what was charged on one of the last 30 completed UTC days, by model and endpoint."""
        path = f"/activity?date={day.isoformat()}" + ("" if key_hash is None else f"&api_key_hash={key_hash}")
        question = Question(path, "the activity of a day", needs=self._needs)
        rows = await self._ask(_activity, question)
        return tuple(row for row in rows if row.date == day)  # a server may tell of all days, whichever is asked for

    async def generation_costs(self, start_ms: int, end_ms: int, key_hash: str | None, take: TakeCosts) -> bool:
        """Have taken what each generation from start to end (exclusive) was charged; the last 31 days can be asked for.

        A time that holds more than one answer does, or that takes too long to answer, is asked for in halves.
        """
        left, is_truncated, asked = [(start_ms, end_ms)], False, 0
        while left:
            start_ms, end_ms = left.pop()
            asked += 1
            halves = _halves(start_ms, end_ms) if asked + len(left) + 2 <= _QUERIES_MAX else []
            try:
                taken = await self._costs(start_ms, end_ms, key_hash, take)
            except AccountError as error:
                if error.status != _TOO_LONG or not halves:
                    raise
                left += halves
                continue
            if taken.is_truncated and taken.calls:
                left += halves
            is_truncated = is_truncated or (taken.is_truncated and not (taken.calls and halves))
        return is_truncated

    async def generation(self, generation_id: str, key: Key) -> GenerationRecord | None:
        try:
            return await look_up(GenerationAccess(self._provider, key), generation_id)
        except GenerationUnknownError:
            return None
        except GenerationUnavailableError as error:
            text = f"{self.provider} cannot be asked for the answer {generation_id[:128]}: {error}."
            raise AccountError("unavailable", text) from None

    async def _costs(self, start_ms: int, end_ms: int, key_hash: str | None, take: TakeCosts) -> TakenCosts:
        body: dict[str, Any] = {
            "metrics": ["total_usage"],
            "dimensions": ["generation_id"],
            "time_range": {"start": _instant(start_ms), "end": _instant(end_ms)},
        }
        if key_hash is not None:
            body["filters"] = [{"field": "api_key_id", "operator": "eq", "value": key_hash}]
        if self._rows_asked is not None:
            body["limit"] = self._rows_asked
        try:
            return await self._take(self._query(body), take)
        except AccountError as error:
            if error.status != 400 or self._rows_asked is None:
                raise
            del body["limit"]  # how many may be asked for is not published
            taken = await self._take(self._query(body), take)
            self._rows_asked = None
            return taken

    async def _take(self, question: Question, take: TakeCosts) -> TakenCosts:
        """Ask, have the answer taken, and return what it was; raises AccountError where it is none."""
        key = self._may_ask(question, None)
        body = await ask_body(self._provider, key, question, self._clock.now_ms())
        if self._hear is not None:
            self._hear(question, await parsed(body))
        taken = await take(body)
        if taken.problem == "no_json":
            raise no_json(self._provider, question)
        if taken.problem == "error":
            raise error_within(self._provider, key, question, body)
        if taken.problem == "shape":
            raise self._unreadable(question, taken.place)
        return taken

    def _query(self, body: Mapping[str, Any]) -> Question:
        return Question("/analytics/query", "what each answer was charged", body, self._needs)

    async def _ask(self, read: Callable[[Any], _Read], question: Question, key: Key | None = None) -> _Read:
        found = await ask(self._provider, self._may_ask(question, key), question, self._clock.now_ms())
        if self._hear is not None:
            self._hear(question, found)
        try:  # a day of a large account has thousands of rows
            return await asyncio.to_thread(read, found)
        except AnswerError as error:
            raise self._unreadable(question, error.place) from None

    def _may_ask(self, question: Question, key: Key | None) -> Key:
        """Return the key that asks; raises AccountError where it takes a management key, and there is none."""
        key = key or self._provider.management_key
        if key is None:
            text = f"{self.provider} was not asked for {question.title}. {question.needs or ''}".rstrip()
            raise AccountError("refused", text, was_sent=False)
        return key

    def _unreadable(self, question: Question, place: str) -> AccountError:
        text = f"{self.provider}'s answer for {question.title} cannot be read: {place}."
        return AccountError("unreadable", text, status=200, request=question.request)

    def _named(self, secret: Secret) -> Key:
        known = (*self._provider.keys, self._provider.management_key)
        named = next((key for key in known if key is not None and key.secret == secret), None)
        return named or Key(KeyFacts("asked about"), secret)


def _halves(start_ms: int, end_ms: int) -> list[tuple[int, int]]:
    """Return the two halves of a time, the first one last; none of one that is too short."""
    middle_ms = (start_ms + end_ms) // 2000 * 1000
    is_long = end_ms - start_ms > _NARROWEST_MS and start_ms < middle_ms < end_ms
    return [(middle_ms, end_ms), (start_ms, middle_ms)] if is_long else []


def _instant(ms: int) -> str:
    """Write an instant to the millisecond: OpenRouter refuses one without seconds."""
    moment = datetime.fromtimestamp(ms // 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{ms % 1000:03}Z"


# The thread that reads the first answer imports what reads it: a start needs none of it.


def _key_status(found: Any) -> KeyStatus:
    from proxy.providers.account.openrouter_answers import KeyAnswer  # noqa: PLC0415 - as above

    return KeyAnswer.read(found).status()


def _credits(found: Any) -> AccountCredits:
    from proxy.providers.account.openrouter_answers import CreditsAnswer  # noqa: PLC0415 - as above

    return CreditsAnswer.read(found).credits()


def _listed_keys(found: Any) -> tuple[ListedKey, ...]:
    from proxy.providers.account.openrouter_answers import KeyListAnswer  # noqa: PLC0415 - as above

    return KeyListAnswer.read(found).keys()


def _activity(found: Any) -> tuple[ActivityRow, ...]:
    from proxy.providers.account.openrouter_answers import ActivityAnswer  # noqa: PLC0415 - as above

    return ActivityAnswer.read(found).rows()
