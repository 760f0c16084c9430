"""The shapes of OpenRouter's management answers, from its API reference of 2026. Reads parsed answers, no I/O.

Strict is what amounts are booked or compared by: what a key has used in all, the credits, what a row of the activity
was charged, also by others. The rest is loose.
"""

from proxy.providers.account.amounts import (
    AnswerPart,
    Count,
    Day,
    FilledName,
    Flag,
    Loose,
    Moment,
    Name,
    OptionalName,
    Pusd,
)
from proxy.providers.account.source import (
    AccountCredits,
    ActivityRow,
    BudgetLayer,
    FreeRequests,
    KeyStatus,
    ListedKey,
    Spending,
)


class _Budget(AnswerPart, frozen=True, kw_only=True):
    scope: Name
    limit_usd: Pusd
    spend_usd: Pusd
    remaining_usd: Pusd
    reset_interval: OptionalName = None
    resets_at: Moment = None
    include_byok: Flag = False

    def layer(self) -> BudgetLayer:
        return BudgetLayer(
            self.scope,
            self.limit_usd,
            self.spend_usd,
            self.remaining_usd,
            self.reset_interval,
            self.resets_at,
            self.include_byok,
        )


class _FreeModels(AnswerPart, frozen=True, kw_only=True):
    used: Count
    limit: Count
    remaining: Count


class _KeyFigures(AnswerPart, frozen=True, kw_only=True):
    """What /key and /keys have in common."""

    label: Name = ""
    limit: Loose[Pusd] = None
    limit_remaining: Loose[Pusd] = None
    limit_reset: OptionalName = None
    include_byok_in_limit: Flag = False
    usage: Pusd
    usage_daily: Loose[Pusd] = None
    usage_weekly: Loose[Pusd] = None
    usage_monthly: Loose[Pusd] = None
    byok_usage: Loose[Pusd] = 0
    byok_usage_daily: Loose[Pusd] = None
    byok_usage_weekly: Loose[Pusd] = None
    byok_usage_monthly: Loose[Pusd] = None
    expires_at: Moment = None

    def used(self) -> Spending:
        return Spending(self.usage, self.usage_daily, self.usage_weekly, self.usage_monthly)

    def byok_used(self) -> Spending | None:
        if self.byok_usage is None:
            return None
        return Spending(self.byok_usage, self.byok_usage_daily, self.byok_usage_weekly, self.byok_usage_monthly)


class _KeyData(_KeyFigures, frozen=True, kw_only=True):
    is_free_tier: Flag = False
    is_management_key: Flag = False
    is_provisioning_key: Flag = False  # the older name
    budgets: Loose[tuple[Loose[_Budget], ...]] = None
    free_model_daily_requests: Loose[_FreeModels] = None

    def all_unread(self) -> tuple[str, ...]:
        """Return what could not be read; budgets too where one of them could not."""
        layers = self.budgets or ()
        unread = [f"budgets.{name}" for layer in layers if layer is not None for name in layer.unread]
        return (*self.unread, *dict.fromkeys([*unread, *(["budgets"] if None in layers else [])]))


class KeyAnswer(AnswerPart, frozen=True, kw_only=True):
    """GET /key."""

    data: _KeyData

    def status(self) -> KeyStatus:
        data, free = self.data, self.data.free_model_daily_requests
        return KeyStatus(
            label=data.label,
            is_management=data.is_management_key or data.is_provisioning_key,
            is_free_tier=data.is_free_tier,
            limit_pusd=data.limit,
            left_pusd=data.limit_remaining,
            resets=data.limit_reset,
            includes_byok=data.include_byok_in_limit,
            used=data.used(),
            byok_used=data.byok_used(),
            expires_at=data.expires_at,
            budgets=tuple(budget.layer() for budget in data.budgets or () if budget is not None),
            free_requests=None if free is None else FreeRequests(free.used, free.limit, free.remaining),
            unread=data.all_unread(),
        )


class _Credits(AnswerPart, frozen=True, kw_only=True):
    total_credits: Pusd
    total_usage: Pusd


class CreditsAnswer(AnswerPart, frozen=True, kw_only=True):
    """GET /credits."""

    data: _Credits

    def credits(self) -> AccountCredits:
        return AccountCredits(self.data.total_credits, self.data.total_usage)


class _ListedKey(_KeyFigures, frozen=True, kw_only=True):
    hash: FilledName
    name: Name = ""
    disabled: Flag = False
    created_at: Moment = None
    last_used_at: Moment = None

    def key(self) -> ListedKey:
        return ListedKey(
            hash=self.hash,
            name=self.name,
            label=self.label,
            is_disabled=self.disabled,
            limit_pusd=self.limit,
            left_pusd=self.limit_remaining,
            resets=self.limit_reset,
            includes_byok=self.include_byok_in_limit,
            used=self.used(),
            byok_used=self.byok_used(),
            created_at=self.created_at,
            last_used_at=self.last_used_at,
            expires_at=self.expires_at,
            unread=self.unread,
        )


class KeyListAnswer(AnswerPart, frozen=True, kw_only=True):
    """GET /keys, one page of it."""

    data: tuple[_ListedKey, ...]

    def keys(self) -> tuple[ListedKey, ...]:
        return tuple(each.key() for each in self.data)


class _Activity(AnswerPart, frozen=True, kw_only=True):
    date: Day
    model: Name
    model_permaslug: Name = ""
    endpoint_id: Name = ""
    provider_name: Name = ""
    usage: Pusd
    byok_usage_inference: Pusd = 0
    requests: Loose[Count] = None
    prompt_tokens: Loose[Count] = None
    completion_tokens: Loose[Count] = None
    reasoning_tokens: Loose[Count] = 0
    cached_tokens: Loose[Count] = 0  # not in answers of before October 2026

    def row(self) -> ActivityRow:
        return ActivityRow(
            date=self.date,
            model=self.model,
            permaslug=self.model_permaslug or self.model,
            endpoint_id=self.endpoint_id,
            provider_name=self.provider_name,
            usage_pusd=self.usage,
            byok_usage_pusd=self.byok_usage_inference,
            requests=self.requests,
            prompt_tokens=self.prompt_tokens,
            completion_tokens=self.completion_tokens,
            reasoning_tokens=self.reasoning_tokens,
            cached_tokens=self.cached_tokens,
        )


class ActivityAnswer(AnswerPart, frozen=True, kw_only=True):
    """GET /activity."""

    data: tuple[_Activity, ...]

    def rows(self) -> tuple[ActivityRow, ...]:
        return tuple(each.row() for each in self.data)
