"""/admin/v1/account: what providers say of the accounts and keys that requests are paid with."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping
from datetime import date
from typing import Any, Literal, TypeVar

from msgspec import Struct
from pydantic import BaseModel, Field

from proxy.core.errors import CallerError
from proxy.core.money import pusd_to_usd
from proxy.providers.account.accounts import Heard
from proxy.providers.account.source import (
    AccountCredits,
    AccountError,
    AccountQuestion,
    AccountSource,
    ActivityRow,
    BudgetLayer,
    KeyStatus,
    ListedKey,
    Spending,
)
from proxy.providers.provider import ProviderRow
from proxy.web.admin.moment import MomentText, moment_ms, moment_text
from proxy.web.admin.route import AdminAnswer, AdminQuery, AdminRequest, AdminRoute

_WAIT_S = 5.0  # for figures that are older than they are kept; then the old ones are shown, with their age


_ACTIVITY_WAIT_S = 25.0  # then whoever asks has given up
_NOT_YET = "The provider has not answered yet. Ask again in a moment."
_ACTIVITY_ORDER = ("permaslug", "model", "provider_name", "endpoint_id")


class HeardEntry(BaseModel):
    """When figures were heard from the provider. problem: why the latest try to hear them failed; null: it did not."""

    heard_at: MomentText | None
    age_s: int | None
    problem: str | None


class CreditsEntry(HeardEntry):
    """The account's credits. Null where they were not heard yet."""

    bought_usd: str | None
    bought_pusd: int | None
    used_usd: str | None
    used_pusd: int | None
    left_usd: str | None
    left_pusd: int | None


class SpentEntry(BaseModel):
    """What was spent in all, and in the running day, week and month of UTC; null where it is not told."""

    total_usd: str
    total_pusd: int
    day_usd: str | None
    day_pusd: int | None
    week_usd: str | None
    week_pusd: int | None
    month_usd: str | None
    month_pusd: int | None


class BudgetEntry(BaseModel):
    """A budget that the provider checks. It refuses requests once left_usd is 0 or less.

    scope: key_limit is the key's own; all others are the provider's words. includes_byok: bills of other providers for
    own keys count too. resets: daily, weekly or monthly; null: never.
    """

    scope: str
    limit_usd: str
    limit_pusd: int
    spent_usd: str
    spent_pusd: int
    left_usd: str
    left_pusd: int
    resets: str | None
    resets_at: MomentText | None
    includes_byok: bool


class FreeRequestsEntry(BaseModel):
    """Requests to free models in the running UTC day, over all keys of the account."""

    used: int
    limit: int
    left: int


class KeyReport(HeardEntry):
    """A key as its provider sees it; figures are null where it has not said anything yet.

    budgets: in the order in which they are checked; empty: the key has no limit of any kind, unless unread says that it
    cannot be known. unread: what the provider told that makes no sense, by its own names; problem says it too.
    """

    name: str
    kind: Literal["inference", "management"]
    label: str | None
    is_free_tier: bool | None
    spent: SpentEntry | None
    spent_byok: SpentEntry | None = Field(description="What other providers bill for own keys, beside spent.")
    budgets: list[BudgetEntry]
    free_requests: FreeRequestsEntry | None
    expires_at: MomentText | None
    unread: list[str]


class AccountEntry(BaseModel):
    """The account at a provider, and its keys that are in use here."""

    provider: str
    base_url: str
    questions: list[AccountQuestion] = Field(description="What can be asked with the keys that there are.")
    credits: CreditsEntry | None = Field(description="Null without a management key.")
    keys: list[KeyReport]


class AccountKeyEntry(BaseModel):
    """A key in the account's own list. hash: SHA-256 of the key. used_here: the name of this key here.

    unread: what the provider told of it that makes no sense, by its own names; null here.
    """

    hash: str
    name: str
    label: str
    used_here: str | None
    is_disabled: bool
    limit_usd: str | None
    limit_pusd: int | None
    left_usd: str | None
    left_pusd: int | None
    resets: str | None
    spent: SpentEntry
    spent_byok: SpentEntry | None
    created_at: MomentText | None
    last_used_at: MomentText | None
    expires_at: MomentText | None
    unread: list[str]


class AccountActivityEntry(BaseModel):
    """What one model at one endpoint was charged on a UTC day, as the provider counts; null where it does not tell."""

    date: str
    model: str
    permaslug: str
    endpoint_id: str
    provider_name: str
    spent_usd: str
    spent_pusd: int
    spent_byok_usd: str
    spent_byok_pusd: int
    requests: int | None
    prompt_tokens: int | None
    completion_tokens: int | None
    reasoning_tokens: int | None
    cached_tokens: int | None


T = TypeVar("T")


class ActivityFilter(AdminQuery):
    """Which day, such as 2026-11-28: one that is over, in UTC. key_hash: of one key alone, by its SHA-256 in hex."""

    date: date
    key_hash: str | None = Field(default=None, pattern="^[0-9a-f]{64}$")


class _Account(Struct, frozen=True):
    provider: ProviderRow
    source: AccountSource


async def _list(request: AdminRequest) -> AdminAnswer:
    found = await asyncio.gather(*(_entry(request, account) for account in _accounts(request).values()))
    return AdminAnswer(*request.page.of(found, lambda entry: (entry["provider"],)))


async def _show(request: AdminRequest) -> AdminAnswer:
    return AdminAnswer(await _entry(request, _account(request)))


async def _list_keys(request: AdminRequest) -> AdminAnswer:
    account = _account(request)
    heard = await request.deps.services.accounts.keys(account.provider, _WAIT_S)
    keys = await _listed(heard, account.source.keys)
    names = {key.hash: key.name for key in account.provider.keys}
    entries = [_listed_key(key, names.get(key.hash)) for key in keys]
    return AdminAnswer(*request.page.of(entries, lambda entry: (entry["name"], entry["hash"])))


async def _list_activity(request: AdminRequest) -> AdminAnswer:
    query: ActivityFilter = request.query
    account, accounts = _account(request), request.deps.services.accounts
    heard = await accounts.activity(account.provider, query.date, query.key_hash, _ACTIVITY_WAIT_S)
    rows = await _listed(heard, lambda: account.source.activity(query.date, query.key_hash))
    entries = [_activity(row) for row in rows]
    return AdminAnswer(*request.page.of(entries, lambda one: tuple(str(one[name]) for name in _ACTIVITY_ORDER)))


def _accounts(request: AdminRequest) -> dict[str, _Account]:
    services = request.deps.services
    found = {}
    for name, provider in services.live.current.providers.items():
        source = services.accounts.source(provider)
        if source is not None:
            found[name] = _Account(provider, source)
    return found


def _account(request: AdminRequest) -> _Account:
    name, accounts = request.path["provider"], _accounts(request)
    if name in accounts:
        return accounts[name]
    others = f"These do: {', '.join(accounts)}." if accounts else "No provider of the configuration does."
    raise CallerError(404, "not_found", f"There is no provider {name!r} that tells of its account. {others}")


async def _entry(request: AdminRequest, account: _Account) -> dict[str, Any]:
    accounts, provider = request.deps.services.accounts, account.provider
    keys = [key for key in (*provider.keys, provider.management_key) if key is not None and key.hash is not None]
    credits_, heard = await asyncio.gather(
        accounts.credits(provider, _WAIT_S),
        asyncio.gather(*(accounts.key(provider, key, _WAIT_S) for key in keys)),
    )
    accounts.keep_only(request.deps.services.live.current.providers.values())
    return {
        "provider": provider.name,
        "base_url": provider.base_url,
        "questions": sorted(account.source.questions),
        "credits": None if credits_ is None else _credits(credits_, request.now_ms),
        "keys": [
            {
                "name": key.name,
                "kind": "management" if key is provider.management_key else "inference",
                **_key(state, request.now_ms),
            }
            for key, state in zip(keys, heard, strict=True)
            if state is not None
        ],
    }


def _heard(heard: Heard[Any], now_ms: int) -> dict[str, Any]:
    return {
        "heard_at": moment_text(heard.heard_ms),
        "age_s": None if heard.heard_ms is None else max(0, now_ms - heard.heard_ms) // 1000,
        "problem": _NOT_YET if heard.value is None and heard.problem is None else str(heard.problem or "") or None,
    }


def _credits(heard: Heard[AccountCredits], now_ms: int) -> dict[str, Any]:
    value = heard.value
    return {
        **_amount("bought", None if value is None else value.bought_pusd),
        **_amount("used", None if value is None else value.used_pusd),
        **_amount("left", None if value is None else value.left_pusd),
        **_heard(heard, now_ms),
    }


def _key(heard: Heard[KeyStatus], now_ms: int) -> dict[str, Any]:
    value = heard.value
    free = None if value is None else value.free_requests
    return {
        "label": None if value is None else value.label,
        "is_free_tier": None if value is None else value.is_free_tier,
        "spent": None if value is None else _spending(value.used),
        "spent_byok": None if value is None or value.byok_used is None else _spending(value.byok_used),
        "budgets": [] if value is None else [_budget(layer) for layer in value.layers()],
        "free_requests": None if free is None else {"used": free.used, "limit": free.limit, "left": free.left},
        "expires_at": None if value is None else moment_text(moment_ms(value.expires_at)),
        **_heard(heard, now_ms),
        **_unread(heard),
    }


def _unread(heard: Heard[KeyStatus]) -> dict[str, Any]:
    """Return what of an answer makes no sense; the problem says so where there is none that is worse."""
    names = [] if heard.value is None else [*heard.value.unread]
    if not names or heard.problem is not None:
        return {"unread": names}
    return {"unread": names, "problem": f"{', '.join(names)}: the provider's answer makes no sense, so not known."}


def _budget(layer: BudgetLayer) -> dict[str, Any]:
    return {
        "scope": layer.scope,
        **_amount("limit", layer.limit_pusd),
        **_amount("spent", layer.spent_pusd),
        **_amount("left", layer.left_pusd),
        "resets": layer.resets,
        "resets_at": moment_text(moment_ms(layer.resets_at)),
        "includes_byok": layer.includes_byok,
    }


def _spending(spending: Spending) -> dict[str, Any]:
    return {
        **_amount("total", spending.total_pusd),
        **_amount("day", spending.day_pusd),
        **_amount("week", spending.week_pusd),
        **_amount("month", spending.month_pusd),
    }


def _listed_key(key: ListedKey, used_here: str | None) -> dict[str, Any]:
    return {
        "hash": key.hash,
        "name": key.name,
        "label": key.label,
        "used_here": used_here,
        "is_disabled": key.is_disabled,
        **_amount("limit", key.limit_pusd),
        **_amount("left", key.left_pusd),
        "resets": key.resets,
        "spent": _spending(key.used),
        "spent_byok": None if key.byok_used is None else _spending(key.byok_used),
        "created_at": moment_text(moment_ms(key.created_at)),
        "last_used_at": moment_text(moment_ms(key.last_used_at)),
        "expires_at": moment_text(moment_ms(key.expires_at)),
        "unread": [*key.unread],
    }


def _activity(row: ActivityRow) -> dict[str, Any]:
    return {
        "date": row.date.isoformat(),
        "model": row.model,
        "permaslug": row.permaslug,
        "endpoint_id": row.endpoint_id,
        "provider_name": row.provider_name,
        **_amount("spent", row.usage_pusd),
        **_amount("spent_byok", row.byok_usage_pusd),
        "requests": row.requests,
        "prompt_tokens": row.prompt_tokens,
        "completion_tokens": row.completion_tokens,
        "reasoning_tokens": row.reasoning_tokens,
        "cached_tokens": row.cached_tokens,
    }


def _amount(name: str, pusd: int | None) -> Mapping[str, Any]:
    return {f"{name}_usd": None if pusd is None else pusd_to_usd(pusd), f"{name}_pusd": pusd}


async def _listed(heard: Heard[tuple[T, ...]] | None, ask: Callable[[], Awaitable[tuple[T, ...]]]) -> tuple[T, ...]:
    """Return what was heard; raises CallerError where nothing was. heard None: it cannot be asked for, ask says why."""
    if heard is None:
        try:
            return await ask()
        except AccountError as error:
            raise _not_told(error) from None
    if heard.value is None:
        raise _not_told(heard.problem)
    return heard.value


def _not_told(error: AccountError | None) -> CallerError:
    if error is None:
        return CallerError(409, "account_not_told", _NOT_YET)
    wait_s = None if error.retry_after_s is None else max(1, math.ceil(error.retry_after_s))
    return CallerError(409, "account_not_told", str(error), retry_after_s=wait_s)


ROUTES = (
    AdminRoute("GET", "/account", _list, "List the accounts at providers, with their keys", AccountEntry, is_list=True),
    AdminRoute("GET", "/account/{provider}", _show, "Show the account at a provider", AccountEntry),
    AdminRoute("GET", "/account/{provider}/keys", _list_keys, "List the account's keys", AccountKeyEntry, is_list=True),
    AdminRoute(
        "GET",
        "/account/{provider}/activity",
        _list_activity,
        "List what the provider charged on a day",
        AccountActivityEntry,
        query=ActivityFilter,
        is_list=True,
    ),
)
