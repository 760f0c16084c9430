"""GET /v1/key and /v1/credits: a user's own figures in OpenRouter's shape; never those of the provider's key.

Amounts are JSON numbers in USD with all their digits, as OpenRouter writes them.
"""

import asyncio
from datetime import UTC
from typing import Any
from zoneinfo import ZoneInfo

import orjson

from proxy.core.clock import iso_utc
from proxy.core.money import PUSD_PER_USD, pusd_to_usd
from proxy.pipeline.context import RequestContext
from proxy.pipeline.downstream import Reply
from proxy.pipeline.identity.authenticate import credential, hash_of_token, identify
from proxy.pipeline.values.identity import Identity
from proxy.policy.quota import LimitRow
from proxy.policy.quota.window import window_bounds
from proxy.providers.key import OWN
from proxy.web.deps import Deps
from proxy.web.json_reply import json_reply

_UTC = ZoneInfo(str(UTC))  # OpenRouter's days, weeks (from Monday) and months are those of UTC
_RESETS = {"day": "daily", "week": "weekly", "month": "monthly"}  # the words that OpenRouter has
_UNLIMITED_PUSD = 10**6 * PUSD_PER_USD  # the shape of /credits cannot express "no limit"


async def show_key(context: RequestContext, deps: Deps) -> Reply:
    """Answer with the user's limit and usage, over all of their tokens."""
    directory = deps.services.live.current.directory
    identity = identify(context, directory)
    row = directory.find(hash_of_token(context.downstream.request_headers))
    starts_ms = [0, *(window_bounds(window, _UTC, context.started_ms)[0] for window in _RESETS)]
    total, day, week, month = await _spent(deps, identity, starts_ms)
    budgets = [(limit, _budget(limit)) for limit in await _cost_limits(context, deps, identity)]
    limit, effective = min(budgets, key=lambda pair: pair[0].remaining, default=(None, None))
    token = credential(context.downstream.request_headers.headers)
    data: dict[str, Any] = {
        "label": f"{token[:7]}...{token[-3:]}",
        "limit": None if limit is None else _usd(limit.limit),
        "limit_remaining": None if limit is None else _usd(limit.remaining),
        "limit_reset": None if limit is None else _RESETS.get(limit.window),
        "include_byok_in_limit": True,
        "usage": _usd(total),
        "usage_daily": _usd(day),
        "usage_weekly": _usd(week),
        "usage_monthly": _usd(month),
        **await _byok(deps, identity, starts_ms),
        "is_free_tier": False,
        "is_management_key": False,
        "is_provisioning_key": False,
        "creator_user_id": identity.user,
        "expires_at": None if row is None or row.expires_ms is None else iso_utc(row.expires_ms),
        "rate_limit": {"requests": -1, "interval": "10s", "note": "deprecated"},
        "free_model_daily_requests": {"used": -1, "limit": -1, "remaining": -1},  # not known here
        "budgets": [budget for _, budget in budgets],
        "effective_budget": effective,
        "organization_id": None,
        "workspace_id": None,
        "allowed_data_regions": [],  # not known here
    }
    return json_reply(context, {"data": data})


async def show_credits(context: RequestContext, deps: Deps) -> Reply:
    """Answer with all that the user ever spent, and with that plus what the tightest limit leaves as the total.

    Without a limit on cost the balance is a million dollars.
    """
    identity = identify(context, deps.services.live.current.directory)
    (total,) = await _spent(deps, identity, [0])
    left = min((limit.remaining for limit in await _cost_limits(context, deps, identity)), default=_UNLIMITED_PUSD)
    data = {"total_credits": _usd(total + left), "total_usage": _usd(total)}
    return json_reply(context, {"data": data})


async def _spent(deps: Deps, identity: Identity, starts_ms: list[int]) -> list[int]:
    return await asyncio.to_thread(deps.services.reports.spent_since, identity.user, starts_ms)


async def _byok(deps: Deps, identity: Identity, starts_ms: list[int]) -> dict[str, Any]:
    """Return the usage with keys of the user's own, which counts towards limits all the same."""
    names = ("byok_usage", "byok_usage_daily", "byok_usage_weekly", "byok_usage_monthly")
    amounts = [0] * len(names)
    if identity.own_keys:
        amounts = await asyncio.to_thread(deps.services.reports.spent_with, identity.user, OWN, starts_ms)
    return dict(zip(names, map(_usd, amounts), strict=True))


async def _cost_limits(context: RequestContext, deps: Deps, identity: Identity) -> list[LimitRow]:
    """Return every cost limit that applies to the user: own, the group's, everyone's together."""
    rows = await deps.services.limiter.limits(identity.allowance.quotas, context.started_ms)
    return [row for row in rows if row.kind == "cost"]


def _budget(limit: LimitRow) -> dict[str, Any]:
    """Return a limit as OpenRouter shows a budget; what is reserved counts as spent until it is settled."""
    return {
        "scope": "key_limit" if limit.scope.startswith("user:") else "workspace",
        "limit_usd": _usd(limit.limit),
        "spend_usd": _usd(limit.used + limit.reserved),
        "remaining_usd": _usd(limit.remaining),
        "reset_interval": _RESETS.get(limit.window),
        "resets_at": None if limit.resets_at_ms is None else iso_utc(limit.resets_at_ms),
        "include_byok": True,
        "guardrail_id": None,
        "budget_id": None,
    }


def _usd(pusd: int) -> orjson.Fragment:
    return orjson.Fragment(pusd_to_usd(pusd))
