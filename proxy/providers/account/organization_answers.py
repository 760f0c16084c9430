"""The shapes of OpenAI's and Anthropic's bills, from their API references of 2026. Reads parsed answers, no I/O.

Amounts and pages are strict. What a model was used for is loose: it is shown beside the amounts.
"""

from collections.abc import Mapping
from typing import Any, TypeVar

from msgspec import field

from proxy.providers.account.amounts import AnswerPart, CentsPusd, Count, Loose, Name, OptionalName, Pusd
from proxy.providers.account.source import AnswerError, BilledCost, BilledTokens


class _OpenAIAmount(AnswerPart, frozen=True, kw_only=True):
    value: Pusd
    currency: Name


class _OpenAICost(AnswerPart, frozen=True, kw_only=True):
    amount: _OpenAIAmount
    line_item: OptionalName = None  # "gpt-6-astra, input_tokens"

    def cost(self) -> BilledCost:
        return BilledCost((self.line_item or "").partition(",")[0].strip(), self.amount.value, self.amount.currency)


class _OpenAIUsage(AnswerPart, frozen=True, kw_only=True):
    model: OptionalName = None
    input_tokens: Loose[Count] = None
    output_tokens: Loose[Count] = None
    input_cached_tokens: Loose[Count] = 0
    num_model_requests: Loose[Count] = None

    def tokens(self) -> BilledTokens:
        counts = (self.num_model_requests, self.input_tokens, self.output_tokens, self.input_cached_tokens)
        return BilledTokens(self.model or "", *counts)


class _AnthropicCost(AnswerPart, frozen=True, kw_only=True):
    amount: CentsPusd
    currency: Name
    model: OptionalName = None
    description: OptionalName = None

    def cost(self) -> BilledCost:
        return BilledCost(self.model or self.description or "", self.amount, self.currency)


class _AnthropicUsage(AnswerPart, frozen=True, kw_only=True):
    model: OptionalName = None
    uncached_input_tokens: Loose[Count] = None
    cache_read_input_tokens: Loose[Count] = 0
    cache_creation: Loose[Mapping[str, Count]] = field(default_factory=dict)  # by the life of what was written
    output_tokens: Loose[Count] = None

    def tokens(self) -> BilledTokens:
        cached, written, prompt = self.cache_read_input_tokens, self.cache_creation, self.uncached_input_tokens
        if prompt is not None:
            prompt = None if cached is None or written is None else prompt + cached + sum(written.values())
        return BilledTokens(self.model or "", None, prompt, self.output_tokens, cached)


class OpenAICosts(AnswerPart, frozen=True, kw_only=True):
    results: tuple[_OpenAICost, ...]


class OpenAIUsages(AnswerPart, frozen=True, kw_only=True):
    results: tuple[_OpenAIUsage, ...]


class AnthropicCosts(AnswerPart, frozen=True, kw_only=True):
    results: tuple[_AnthropicCost, ...]


class AnthropicUsages(AnswerPart, frozen=True, kw_only=True):
    results: tuple[_AnthropicUsage, ...]


class _Page(AnswerPart, frozen=True, kw_only=True):
    """One page of buckets, in either form."""

    data: tuple[Any, ...]
    has_more: bool
    next_page: OptionalName = None


_Bucket = TypeVar("_Bucket", bound=AnswerPart)


def read_bill_page(answer: Any, bucket: type[_Bucket]) -> tuple[list[_Bucket], str | None]:
    """Return the buckets of a page, and what asks for the next; None: it is the last. Raises AnswerError."""
    page = _Page.read(answer)
    if page.has_more and not page.next_page:  # else what is on it would be missing from the bill
        raise AnswerError("next_page: missing")
    return [bucket.read(each) for each in page.data], page.next_page if page.has_more else None
