"""GET /v1/me/limits and /v1/me/usage: a user's own figures."""

import asyncio
from collections.abc import Mapping

from proxy.core.clock import iso_utc
from proxy.core.errors import CallerError
from proxy.core.limit_figures import amount_fields
from proxy.core.money import pusd_to_usd
from proxy.pipeline.context import RequestContext
from proxy.pipeline.downstream import Reply
from proxy.pipeline.identity.authenticate import identify
from proxy.policy.quota import LimitRow
from proxy.policy.quota.window import window_at
from proxy.web.deps import Deps
from proxy.web.json_reply import json_reply
from proxy.web.server.aiohttp_downstream import aiohttp_request

_WINDOWS = ("day", "week", "month", "total")


def limit_json(row: LimitRow) -> dict[str, object]:
    """Return one limit: money as decimal strings in USD with ``_pusd`` integers beside them, counts as integers."""
    return {
        "scope": row.scope,
        "kind": row.kind,
        "window": row.window,
        "mode": row.mode,
        "models": list(row.models) or None,
        **amount_fields(row.kind, row._asdict(), ("limit", "used", "reserved", "remaining")),
        "resets_at": None if row.resets_at_ms is None else iso_utc(row.resets_at_ms),
    }


async def my_limits(context: RequestContext, deps: Deps) -> Reply:
    """List every window that holds for the user, in the order in which refusals are told."""
    identity = identify(context, deps.services.live.current.directory)
    rows = await deps.services.limiter.limits(identity.allowance.all_quotas, context.started_ms)
    body: Mapping[str, object] = {
        "user": identity.user,
        "group": identity.group,
        "models": identity.allowance.models,
        "max_tokens": identity.allowance.max_tokens,
        "limits": [limit_json(row) for row in rows],
    }
    return json_reply(context, body)


async def my_usage(context: RequestContext, deps: Deps) -> Reply:
    """Answer with what the user spent by model in ``?window=`` day (default), week, month or total."""
    identity = identify(context, deps.services.live.current.directory)
    window = aiohttp_request(context).query.get("window", "day")
    if window not in _WINDOWS:
        raise CallerError(400, "invalid_value", f"window must be one of {', '.join(_WINDOWS)}.", param="window")
    snapshot = deps.services.live.current
    start_ms = window_at(window, snapshot.zone, context.started_ms).start_ms
    rows = await asyncio.to_thread(deps.services.reports.usage_by_model, identity.user, start_ms)
    cost_pusd = sum(row.cost_pusd for row in rows)
    body = {
        "user": identity.user,
        "window": window,
        "since": None if window == "total" else iso_utc(start_ms),
        "requests": sum(row.requests for row in rows),
        "cost": pusd_to_usd(cost_pusd),
        "cost_pusd": cost_pusd,
        "models": [row.as_json() for row in rows],
    }
    return json_reply(context, body)
