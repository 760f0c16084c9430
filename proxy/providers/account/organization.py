"""The bills of OpenAI's and Anthropic's organisations, by day and model: asked for with a key of an administrator.

Sources: OpenAI's API reference of 2026 (organization/costs, organization/usage/completions); Anthropic's of 2026
(organizations/cost_report, whose amounts are in cents, and organizations/usage_report/messages). Neither has a balance,
a list of keys by their hash, or the cost of one answer.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final, NoReturn, TypeVar
from urllib.parse import urlencode

from proxy.core.clock import Clock
from proxy.core.secret import Secret
from proxy.providers.account.ask import Hear, Question, ask
from proxy.providers.account.source import (
    AccountCredits,
    AccountError,
    AccountQuestion,
    ActivityRow,
    AnswerError,
    BilledCost,
    BilledTokens,
    KeyStatus,
    ListedKey,
    TakeCosts,
)
from proxy.providers.generation import GenerationRecord
from proxy.providers.key import Key
from proxy.providers.provider import ProviderRow

_PAGES_MAX: Final = 1000
_PROVIDER_NAMES: Final = {"openai": "OpenAI", "anthropic": "Anthropic"}


_Read = TypeVar("_Read")


class OrganizationAccount:
    """What an organisation is charged. Of all the questions it answers that for a day's activity alone."""

    def __init__(self, provider: ProviderRow, clock: Clock, hear: Hear | None = None) -> None:
        """Keep who is asked; hear gets each answer as it was parsed."""
        self.provider = provider.name
        self.questions: frozenset[AccountQuestion] = frozenset({"activity"} if provider.management_key else ())
        self._provider = provider
        self._clock = clock
        self._hear = hear
        self._is_anthropic = provider.dialect.account_api == "anthropic"

    async def key(self, secret: Secret) -> KeyStatus:
        del secret  # nothing of it may be asked
        self._refuse("what is known of a key")

    async def credits(self) -> AccountCredits:
        self._refuse("credits")

    async def keys(self) -> tuple[ListedKey, ...]:
        self._refuse("keys with their limits")

    async def generation_costs(self, start_ms: int, end_ms: int, key_hash: str | None, take: TakeCosts) -> bool:
        del start_ms, end_ms, key_hash, take
        self._refuse("the cost of single answers")

    async def generation(self, generation_id: str, key: Key) -> GenerationRecord | None:
        del generation_id, key
        self._refuse("a record of single answers")

    async def activity(self, day: date, key_hash: str | None = None) -> tuple[ActivityRow, ...]:
        """Return what was charged on a UTC day, by model; what is no model, such as storage, by its own name.

        Counts are of messages and completions; those of others are None. Keys have ids of their own here, so that a
        hash says nothing: with one it is refused.
        """
        if key_hash is not None:
            self._refuse("the activity of one key by its hash")
        costs = [one for one in await self._costs(day) if one.pusd or one.model]
        tokens = {one.model: one for one in await self._tokens(day)}
        for cost in costs:
            if cost.currency.lower() != "usd":
                text = f"{self.provider}'s bill is in {cost.currency[:8]}, and only USD is read."
                raise AccountError("unreadable", text, status=200)
        models = dict.fromkeys([*(cost.model for cost in costs), *tokens])
        return tuple(self._row(day, model, costs, tokens.get(model)) for model in models)

    def _row(self, day: date, model: str, costs: Sequence[BilledCost], tokens: BilledTokens | None) -> ActivityRow:
        return ActivityRow(
            date=day,
            model=model,
            permaslug=model,
            endpoint_id="",
            provider_name=_PROVIDER_NAMES["anthropic" if self._is_anthropic else "openai"],
            usage_pusd=sum(cost.pusd for cost in costs if cost.model == model),
            byok_usage_pusd=0,
            requests=None if tokens is None else tokens.requests,
            prompt_tokens=None if tokens is None else tokens.prompt,
            completion_tokens=None if tokens is None else tokens.completion,
            reasoning_tokens=None,
            cached_tokens=None if tokens is None else tokens.cached,
        )

    async def _costs(self, day: date) -> list[BilledCost]:
        title = "the costs of a day"
        if self._is_anthropic:
            query = {"group_by[]": "description", "bucket_width": "1d", **_anthropic_day(day)}
            return await self._entries("/organizations/cost_report", query, title, _anthropic_costs)
        query = {"group_by[]": "line_item", "bucket_width": "1d", **_openai_day(day)}
        return await self._entries("/organization/costs", query, title, _openai_costs)

    async def _tokens(self, day: date) -> list[BilledTokens]:
        title = "the tokens of a day"
        if self._is_anthropic:
            query = {"group_by[]": "model", "bucket_width": "1d", **_anthropic_day(day)}
            return await self._entries("/organizations/usage_report/messages", query, title, _anthropic_tokens)
        query = {"group_by[]": "model", "bucket_width": "1d", **_openai_day(day)}
        return await self._entries("/organization/usage/completions", query, title, _openai_tokens)

    async def _entries(
        self, path: str, query: Mapping[str, str], title: str, read: Callable[[Any], tuple[list[_Read], str | None]]
    ) -> list[_Read]:
        """Return the entries of all pages; raises AccountError."""
        found: list[_Read] = []
        more: dict[str, str] = {}
        for _ in range(_PAGES_MAX):
            question = Question(f"{path}?{urlencode({**query, **more})}", title, needs=self._needs)
            answer = await self._answer(question)
            try:
                entries, next_page = await asyncio.to_thread(read, answer)
            except AnswerError as error:
                text = f"{self.provider}'s answer for {title} cannot be read: {error.place}."
                raise AccountError("unreadable", text, status=200, request=question.request) from None
            found += entries
            if next_page is None:
                return found
            more = {"page": next_page}
        raise AccountError("unreadable", f"{self.provider}'s answer for {title} has no end.", status=200)

    async def _answer(self, question: Question) -> Any:
        key = self._provider.management_key
        if key is None:
            text = f"{self.provider} was not asked for {question.title}. {self._needs}"
            raise AccountError("refused", text, was_sent=False)
        answer = await ask(self._provider, key, question, self._clock.now_ms())
        if self._hear is not None:
            self._hear(question, answer)
        return answer

    @property
    def _needs(self) -> str:
        page = "https://platform.openai.com/settings/organization/admin-keys"
        if self._is_anthropic:
            page = "https://console.anthropic.com/settings/admin-keys"
        return (
            f"Only an administrator's key may: make one at {page} and set it as"
            f" providers.{self.provider}.management_key."
        )

    def _refuse(self, what: str) -> NoReturn:
        name = _PROVIDER_NAMES["anthropic" if self._is_anthropic else "openai"]
        raise AccountError("refused", f"{name} does not tell {what} by its API.", was_sent=False)


def _openai_day(day: date) -> dict[str, str]:
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return {"start_time": f"{start.timestamp():.0f}", "end_time": f"{(start + timedelta(days=1)).timestamp():.0f}"}


def _anthropic_day(day: date) -> dict[str, str]:
    return {"starting_at": f"{day.isoformat()}T00:00:00Z", "ending_at": f"{day + timedelta(days=1)}T00:00:00Z"}


# The thread that reads the first answer imports what reads it: a start needs none of it.


def _openai_costs(answer: Any) -> tuple[list[BilledCost], str | None]:
    from proxy.providers.account.organization_answers import OpenAICosts, read_bill_page  # noqa: PLC0415 - as above

    buckets, next_page = read_bill_page(answer, OpenAICosts)
    return [one.cost() for bucket in buckets for one in bucket.results], next_page


def _openai_tokens(answer: Any) -> tuple[list[BilledTokens], str | None]:
    from proxy.providers.account.organization_answers import OpenAIUsages, read_bill_page  # noqa: PLC0415 - as above

    buckets, next_page = read_bill_page(answer, OpenAIUsages)
    return [one.tokens() for bucket in buckets for one in bucket.results], next_page


def _anthropic_costs(answer: Any) -> tuple[list[BilledCost], str | None]:
    from proxy.providers.account.organization_answers import AnthropicCosts, read_bill_page  # noqa: PLC0415 - as above

    buckets, next_page = read_bill_page(answer, AnthropicCosts)
    return [one.cost() for bucket in buckets for one in bucket.results], next_page


def _anthropic_tokens(answer: Any) -> tuple[list[BilledTokens], str | None]:
    from proxy.providers.account.organization_answers import AnthropicUsages, read_bill_page  # noqa: PLC0415 - as above

    buckets, next_page = read_bill_page(answer, AnthropicUsages)
    return [one.tokens() for bucket in buckets for one in bucket.results], next_page
