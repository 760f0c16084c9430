"""Try what can be asked of a provider with each of its keys; each try is one line of a report. Nothing of it costs."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from proxy.core.clock import Clock
from proxy.providers.account.ask import Hear, Question, ask
from proxy.providers.account.source import AccountError, AccountQuestion, AccountSource, KeyStatus, TakenCosts
from proxy.providers.account.sources import account_source
from proxy.providers.key import Key
from proxy.providers.provider import ProviderRow
from proxy.wire.json_shape import shape_of

_HOUR_MS: Final = 3_600_000
_WAIT_S: Final = 15.0  # for each; all are made at once, and somebody waits for them
_NO_MANAGEMENT_KEY: Final = (
    "Credits, the account's keys and its bill were not asked for: set providers.{name}.management_key to have them."
)


class EndpointTry(Struct, frozen=True):
    """One request to a provider. is_good None: it was not made, and said says why.

    request: such as "GET /key". returned: the shape of the answer, without anything that it says; "" where there was
    none. said: what went wrong, and what to do.
    """

    provider: str
    key: str
    request: str
    is_good: bool | None
    status: int | None = None
    took_ms: int | None = None
    returned: str = ""
    said: str = ""


class Examination:
    """The tries of one provider."""

    def __init__(self, provider: ProviderRow, clock: Clock) -> None:
        self._provider = provider
        self._clock = clock

    async def tries(self) -> list[EndpointTry]:
        """Make all tries at once, and return them by key."""
        return [*await asyncio.gather(*self._all())]

    def _all(self) -> Iterator[Awaitable[EndpointTry]]:
        provider = self._provider
        for key in provider.keys:
            for path in provider.dialect.list_paths:
                yield self._list(key, path, is_needed=path == provider.dialect.list_paths[0])
            yield from self._key(key)
        source, management = self._source(None), provider.management_key
        if source is None:
            return
        if management is None:
            said = _NO_MANAGEMENT_KEY.format(name=provider.name)
            yield _told(EndpointTry(provider.name, "management", "-", None, said=said))
            return
        yield from self._key(management)
        for question in self._managed(source):
            if question in source.questions:
                yield self._attempt_managed(management, question)

    async def attempt(self, key: Key, request: str, asked: Callable[[Hear], Awaitable[object]]) -> EndpointTry:
        """Return how a try ends. request: what it is called where it ends before one is made; asked tells its answers.

        What else than an AccountError is raised goes on.
        """
        start_s, answers = self._clock.monotonic_s(), dict[str, Any]()
        status, said, failed = 200, "", ""
        try:
            async with asyncio.timeout(_WAIT_S):
                await asked(lambda question, answer: answers.setdefault(question.request, answer))
        except AccountError as error:
            status, said, failed = error.status or 0, str(error), error.request
        except TimeoutError:
            status, said = 0, f"{self._provider.name} did not answer within {_WAIT_S:.0f} s. Try again later."
        took_ms = round((self._clock.monotonic_s() - start_s) * 1000)
        request = failed or next(iter(answers), request)
        shape = shape_of(answers[request]) if request in answers else ""
        return EndpointTry(self._provider.name, key.name, request, not said, status or None, took_ms, shape, said)

    async def _list(self, key: Key, path: str, *, is_needed: bool) -> EndpointTry:
        question = Question(path, "the list of models")

        async def asked(hear: Hear) -> None:
            hear(question, await ask(self._provider, key, question, self._clock.now_ms()))

        found = await self.attempt(key, question.request, asked)
        if found.status == 404 and not is_needed:
            return replace(found, is_good=None, said="This provider has no such list.")
        return found

    def _key(self, key: Key) -> Iterator[Awaitable[EndpointTry]]:
        """Yield the try of asking for a key; none where there is no key, or the provider tells nothing of it."""
        source, secret = self._source(None), key.secret
        if source is None or secret is None or "key" not in source.questions:
            return

        async def asked(hear: Hear) -> None:
            source = self._source(hear)
            assert source is not None
            self._check_kind(key, await source.key(secret))

        yield self.attempt(key, "GET /key", asked)

    def _check_kind(self, key: Key, status: KeyStatus) -> None:
        """Raise AccountError for a key that stands where one of the other kind belongs."""
        name, is_meant = self._provider.name, key is self._provider.management_key
        if status.is_management is is_meant:
            return
        text = f"The key {key.name} is a management key, which no request can be made with. Put an ordinary one there."
        if is_meant:
            text = f"This is an ordinary key. Put a management key there: providers.{name}.management_key."
        raise AccountError("refused", text, status=200, request="GET /key")

    def _attempt_managed(self, management: Key, question: AccountQuestion) -> Awaitable[EndpointTry]:
        async def asked(hear: Hear) -> None:
            source = self._source(hear)
            assert source is not None
            await self._managed(source)[question]()

        return self.attempt(management, question, asked)

    def _managed(self, source: AccountSource) -> dict[AccountQuestion, Callable[[], Awaitable[object]]]:
        """Return what a management key may ask for, with little to answer: the last day and hour."""
        now_ms = self._clock.now_ms()
        yesterday = datetime.fromtimestamp(now_ms / 1000, UTC).date() - timedelta(days=1)
        return {
            "credits": source.credits,
            "keys": source.keys,
            "activity": lambda: source.activity(yesterday),
            "generation_costs": lambda: source.generation_costs(now_ms - _HOUR_MS, now_ms, None, count_costs),
        }

    def _source(self, hear: Hear | None) -> AccountSource | None:
        return account_source(self._provider, self._clock, hear)


async def _told(found: EndpointTry) -> EndpointTry:
    return found


async def count_costs(body: bytes) -> TakenCosts:
    """Read the costs of an answer, and keep nothing of it."""
    return await asyncio.to_thread(_taken_costs, body)


def _taken_costs(body: bytes) -> TakenCosts:
    from proxy.providers.account.costs_answer import read_costs  # noqa: PLC0415 - in its thread

    return read_costs(body)[1]
