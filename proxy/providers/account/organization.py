"""The bills of OpenAI's and Anthropic's organisations, by day and model: asked for with a key of an administrator.

Sources: OpenAI's API reference of 2026 (organization/costs, organization/usage/completions); Anthropic's of 2026
(organizations/cost_report, whose amounts are in cents, and organizations/usage_report/messages). Neither has a balance,
a list of keys by their hash, or the cost of one answer.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final, NoReturn, TypeVar
from urllib.parse import urlencode

from msgspec import Struct
from pydantic import Field, ValidationError

from proxy.core.clock import Clock
from proxy.core.secret import Secret
from proxy.providers.account.amounts import AnswerPart, CentsPusd, Count, Name, OptionalName, Pusd, places_of
from proxy.providers.account.ask import Hear, Question, ask
from proxy.providers.account.source import (
    AccountCredits,
    AccountError,
    AccountQuestion,
    ActivityRow,
    KeyStatus,
    ListedKey,
    TakeCosts,
)
from proxy.providers.generation import GenerationRecord
from proxy.providers.key import Key
from proxy.providers.provider import ProviderRow

_PAGES_MAX: Final = 1000
_PROVIDER_NAMES: Final = {"openai": "OpenAI", "anthropic": "Anthropic"}


class _OpenAIAmount(AnswerPart):
    value: Pusd
    currency: Name


class _OpenAICost(AnswerPart):
    amount: _OpenAIAmount
    line_item: OptionalName = None  # "gpt-6-astra, input_tokens"

    def cost(self) -> "_Cost":
        return _Cost((self.line_item or "").partition(",")[0].strip(), self.amount.value, self.amount.currency)


class _OpenAIUsage(AnswerPart):
    model: OptionalName = None
    input_tokens: Count
    output_tokens: Count
    input_cached_tokens: Count | None = None
    num_model_requests: Count

    def tokens(self) -> "_Tokens":
        counts = (self.num_model_requests, self.input_tokens, self.output_tokens, self.input_cached_tokens or 0)
        return _Tokens(self.model or "", *counts)


class _AnthropicCost(AnswerPart):
    amount: CentsPusd
    currency: Name
    model: OptionalName = None
    description: OptionalName = None

    def cost(self) -> "_Cost":
        return _Cost(self.model or self.description or "", self.amount, self.currency)


class _AnthropicUsage(AnswerPart):
    model: OptionalName = None
    uncached_input_tokens: Count
    cache_read_input_tokens: Count = 0
    cache_creation: Mapping[str, Count] = Field(default_factory=dict)  # by the life of what was written
    output_tokens: Count

    def tokens(self) -> "_Tokens":
        prompt = self.uncached_input_tokens + self.cache_read_input_tokens + sum(self.cache_creation.values())
        return _Tokens(self.model or "", None, prompt, self.output_tokens, self.cache_read_input_tokens)


class _Cost(Struct, frozen=True):
    model: str  # or what else was charged
    pusd: int
    currency: str


class _Tokens(Struct, frozen=True):
    model: str
    requests: int | None
    prompt: int
    completion: int
    cached: int


class _OpenAICosts(AnswerPart):
    results: tuple[_OpenAICost, ...]


class _OpenAIUsages(AnswerPart):
    results: tuple[_OpenAIUsage, ...]


class _AnthropicCosts(AnswerPart):
    results: tuple[_AnthropicCost, ...]


class _AnthropicUsages(AnswerPart):
    results: tuple[_AnthropicUsage, ...]


class _Page(AnswerPart):
    """One page of buckets, in either form."""

    data: tuple[Any, ...]
    has_more: bool
    next_page: OptionalName = None


_Bucket = TypeVar("_Bucket", bound=AnswerPart)


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

    def _row(self, day: date, model: str, costs: Sequence[_Cost], tokens: _Tokens | None) -> ActivityRow:
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

    async def _costs(self, day: date) -> list[_Cost]:
        title = "the costs of a day"
        if self._is_anthropic:
            query = {"group_by[]": "description", "bucket_width": "1d", **_anthropic_day(day)}
            paid = await self._buckets("/organizations/cost_report", query, title, _AnthropicCosts)
            return [one.cost() for bucket in paid for one in bucket.results]
        query = {"group_by[]": "line_item", "bucket_width": "1d", **_openai_day(day)}
        charged = await self._buckets("/organization/costs", query, title, _OpenAICosts)
        return [one.cost() for bucket in charged for one in bucket.results]

    async def _tokens(self, day: date) -> list[_Tokens]:
        title = "the tokens of a day"
        if self._is_anthropic:
            query = {"group_by[]": "model", "bucket_width": "1d", **_anthropic_day(day)}
            read = await self._buckets("/organizations/usage_report/messages", query, title, _AnthropicUsages)
            return [one.tokens() for bucket in read for one in bucket.results]
        query = {"group_by[]": "model", "bucket_width": "1d", **_openai_day(day)}
        counted = await self._buckets("/organization/usage/completions", query, title, _OpenAIUsages)
        return [one.tokens() for bucket in counted for one in bucket.results]

    async def _buckets(self, path: str, query: Mapping[str, str], title: str, bucket: type[_Bucket]) -> list[_Bucket]:
        """Return the buckets of all pages; raises AccountError."""
        found: list[_Bucket] = []
        more: dict[str, str] = {}
        for _ in range(_PAGES_MAX):
            question = Question(f"{path}?{urlencode({**query, **more})}", title, needs=self._needs)
            page = await self._page(question)
            found += self._read(page.data, question, bucket)
            if not page.has_more or page.next_page is None:
                return found
            more = {"page": page.next_page}
        raise AccountError("unreadable", f"{self.provider}'s answer for {title} has no end.", status=200)

    async def _page(self, question: Question) -> _Page:
        key = self._provider.management_key
        if key is None:
            text = f"{self.provider} was not asked for {question.title}. {self._needs}"
            raise AccountError("refused", text, was_sent=False)
        answer = await ask(self._provider, key, question, self._clock.now_ms())
        if self._hear is not None:
            self._hear(question, answer)
        try:
            return _Page.model_validate(answer)
        except ValidationError as error:
            raise self._unreadable(question, error) from None

    def _read(self, data: Sequence[Any], question: Question, bucket: type[_Bucket]) -> Iterator[_Bucket]:
        try:
            for each in data:
                yield bucket.model_validate(each)
        except ValidationError as error:
            raise self._unreadable(question, error) from None

    def _unreadable(self, question: Question, error: ValidationError) -> AccountError:
        place = places_of(error.errors(include_url=False, include_input=False, include_context=False))
        text = f"{self.provider}'s answer for {question.title} cannot be read: {place}."
        return AccountError("unreadable", text, status=200, request=question.request)

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
