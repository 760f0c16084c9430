"""Try what can be asked of a provider with each of its keys; each try is one line of a report. Nothing of it costs."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from proxy.core.clock import Clock
from proxy.providers.account.ask import Question, ask
from proxy.providers.account.source import AccountError, AccountQuestion, AccountSource
from proxy.providers.account.sources import account_source
from proxy.providers.key import Key
from proxy.providers.provider import ProviderRow
from proxy.wire.json_shape import shape_of

_HOUR_MS: Final = 3_600_000
_NO_MANAGEMENT_KEY: Final = (
    "Credits, the account's keys and its bill were not asked for: set providers.{name}.management_key to have them."
)


@dataclass(frozen=True, slots=True)
class EndpointTry:
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
    """The tries of one provider, one after the other."""

    def __init__(self, provider: ProviderRow, clock: Clock) -> None:
        self._provider = provider
        self._clock = clock
        self._heard: list[tuple[Question, Any]] = []

    def heard(self, question: Question, answer: Any) -> None:
        """Keep an answer for the report of the try that runs."""
        self._heard.append((question, answer))

    async def tries(self) -> AsyncIterator[EndpointTry]:
        """Yield each try as it ends."""
        provider = self._provider
        source = account_source(provider, self._clock, self.heard)
        for key in provider.keys:
            for path in provider.dialect.list_paths:
                yield await self._list(key, path, is_needed=path == provider.dialect.list_paths[0])
            if source is not None and (found := await self._key(source, key)) is not None:
                yield found
        if source is None:
            return
        management = provider.management_key
        if management is None:
            said = _NO_MANAGEMENT_KEY.format(name=provider.name)
            yield EndpointTry(provider.name, "management", "-", None, said=said)
            return
        if (found := await self._key(source, management)) is not None:
            yield found
        for question, asked in self._managed(source).items():
            if question in source.questions:
                yield await self.attempt(management, asked)

    async def attempt(self, key: Key, asked: Callable[[], Awaitable[object]], request: str = "") -> EndpointTry:
        """Return how a try ends; request is its name where it ends without an answer."""
        start_s, name = self._clock.monotonic_s(), self._provider.name
        self._heard.clear()
        status, said, failed = 200, "", ""
        try:
            await asked()
        except AccountError as error:
            status, said, failed = error.status or 0, str(error), error.request
        took_ms = round((self._clock.monotonic_s() - start_s) * 1000)
        answers = [(question.request, answer) for question, answer in self._heard]
        request = failed or (answers[0][0] if answers else request)
        shape = next((shape_of(answer) for made, answer in answers if made == request), "")
        return EndpointTry(name, key.name, request, not said, status or None, took_ms, shape, said)

    async def _list(self, key: Key, path: str, *, is_needed: bool) -> EndpointTry:
        question = Question(path, "the list of models")

        async def asked() -> None:
            answer = await ask(self._provider, key, question, self._clock.now_ms())
            self.heard(question, answer)

        found = await self.attempt(key, asked, question.request)
        if found.status == 404 and not is_needed:
            said = "This provider has no such list."
            return EndpointTry(found.provider, found.key, found.request, None, 404, found.took_ms, said=said)
        return found

    async def _key(self, source: AccountSource, key: Key) -> EndpointTry | None:
        """Return what comes of asking for a key; None where there is no key, or the provider tells nothing of it."""
        secret = key.secret
        if secret is None or "key" not in source.questions:
            return None
        return await self.attempt(key, lambda: source.key(secret))

    def _managed(self, source: AccountSource) -> dict[AccountQuestion, Callable[[], Awaitable[object]]]:
        """Return what a management key may ask for, with little to answer: the last day and hour."""
        now_ms = self._clock.now_ms()
        yesterday = datetime.fromtimestamp(now_ms / 1000, UTC).date() - timedelta(days=1)
        return {
            "credits": source.credits,
            "keys": source.keys,
            "activity": lambda: source.activity(yesterday),
            "generation_costs": lambda: source.generation_costs(now_ms - _HOUR_MS, now_ms, None),
        }
