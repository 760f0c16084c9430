"""What follows when a limit has no room for a request, beside refusing it: other targets, a preset, or a turn.

Only who was refused comes here, so that it costs others nothing. In this order: of a limit on a set of models, targets
outside of it; then what the limit's on_spent says.
"""

from math import ceil
from typing import NamedTuple

from msgspec.structs import replace

from proxy.config.limit import Limit, plain_text
from proxy.core.errors import ApiError, CallerError
from proxy.core.latch import Latch
from proxy.pipeline.admission.allowance import with_models, without_quotas
from proxy.pipeline.admission.bookable_targets import ExcludedTarget, announce_excluded, keep_bookable
from proxy.pipeline.admission.limit_errors import whose
from proxy.pipeline.admission.limit_headers import LimitHeaders, add_header, tell_limits
from proxy.pipeline.context import RequestContext
from proxy.pipeline.errors import client_gone
from proxy.pipeline.identity.identify import renew
from proxy.pipeline.routing.auto import pick_models
from proxy.pipeline.routing.order import order_targets
from proxy.pipeline.routing.route import plan_route
from proxy.pipeline.routing.targets import AUTO
from proxy.pipeline.services import Services
from proxy.pipeline.snapshot import Snapshot
from proxy.pipeline.values.allowance import Allowance
from proxy.pipeline.values.identity import Identity
from proxy.pipeline.values.route import Route, Target
from proxy.policy.quota import Quota, may_serve

TURN_MOST_S = 30.0  # the longest wait for a turn: clients wait longer, and not many connections are held for it
DOWNGRADED_HEADER = "x-tollkeeper-downgraded"


class Waived(NamedTuple):
    """The limits that a request need not hold any more: it waited for its turn, or was downgraded for them."""

    quotas: tuple[Quota, ...] = ()
    downgraded: tuple[Quota, ...] = ()


NONE_WAIVED = Waived()


class RefusalStep(NamedTuple):
    """How a request goes on that a limit refused: its route, and what it need not hold any more."""

    route: Route
    waived: Waived


def refusing_quota(allowance: Allowance, refusal: ApiError) -> Quota | None:
    """Return the limit that a refusal tells of; None: no limit refused."""
    told = refusal.limit
    if told is None:
        return None
    wanted = (told.scope, told.kind, told.limit, told.window, told.mode, told.models)
    return next((quota for quota in allowance.quotas if quota[:6] == wanted), None)


def left_by(quota: Quota, route: Route) -> tuple[tuple[Target, ...], tuple[ExcludedTarget, ...]]:
    """Return the targets of a route that a spent limit does not count, and those that it does; none where all are."""
    if not quota.models:
        return (), ()
    reason = f"{limit_text(quota)} is spent"
    out = [target for target in route.targets if target.static is None and _is_counted(target, quota)]
    kept = tuple(target for target in route.targets if target not in out)
    if not out or all(target.static is not None for target in kept):
        return (), ()
    return kept, tuple(ExcludedTarget(target, reason) for target in out)


def _is_counted(target: Target, quota: Quota) -> bool:
    return any(may_serve(quota.models, target.provider, model) for model in (target.model, *target.handed))


def downgraded_route(context: RequestContext, identity: Identity, snapshot: Snapshot, preset: str) -> Route | None:
    """Return the route of a preset in place of what was asked for; None where there is no such preset any more.

    Whether the user may ask for it does not matter: the operator sends them there. Raises CallerError where the preset
    cannot serve the request.
    """
    if preset not in snapshot.presets:
        return None
    asked = context.body["model"]
    body = {**context.endpoint.without_others(context.body), "model": preset}
    freed = replace(identity, allowance=replace(identity.allowance, models=None))
    route = plan_route(body, freed, snapshot.routes, context.tags.use_case, context.endpoint)
    return replace(route, requested_model=asked)


def limit_text(quota: Quota) -> str:
    """Return a limit in words: cost $5/day of user "anna" on anthropic/*."""
    amount = plain_text(Limit(quota.kind, quota.amount, quota.window))
    return f"{quota.kind} {amount} of {whose(quota)}"


async def after_refusal(
    context: RequestContext, route: Route, refusal: CallerError, waived: Waived, services: Services
) -> RefusalStep:
    """Return how the request goes on; raises the refusal where nothing follows it."""
    quota = refusing_quota(context.identity.allowance, refusal)
    if quota is None:
        raise refusal
    kept, out = left_by(quota, route)
    if kept:
        route = replace(route, targets=kept)
        _limit_anew(context, route, services)
        announce_excluded(context, out)
        return RefusalStep(route, waived)
    if quota.on_spent.action == "slow":
        await _wait_for_turn(context, quota, refusal, services)
        waived = waived._replace(quotas=(*waived.quotas, quota))
        _waive(context, waived)
        return RefusalStep(route, waived)
    if quota.on_spent.action == "downgrade" and quota not in waived.downgraded:
        found = await _downgraded(context, quota, waived, refusal, services)
        if found is not None:
            return RefusalStep(found, waived._replace(downgraded=(*waived.downgraded, quota)))
    raise refusal


def _waive(context: RequestContext, waived: Waived) -> None:
    """Leave limits out of what holds for a request."""
    allowance = without_quotas(context.identity.allowance, waived.quotas)
    context.identity = replace(context.identity, allowance=allowance)


def _limit_anew(context: RequestContext, route: Route, services: Services) -> None:
    """Put the request under the limits of the targets that are left alone, and have every answer tell these."""
    allowance = with_models(context.identity.allowance, route.places)
    context.identity = replace(context.identity, allowance=allowance)
    tell_limits(context, LimitHeaders(allowance, services.limiter, context.started_ms))


async def _wait_for_turn(context: RequestContext, quota: Quota, refusal: CallerError, services: Services) -> None:
    """Wait until it is the request's turn; raises CallerError 429 where too many wait before it."""
    key = (quota.counted_in, quota.kind, quota.window)
    is_taken, wait_s = services.pace.take(key, quota.on_spent.a_minute, services.clock.monotonic_s(), TURN_MOST_S)
    if not is_taken:
        after_s = max(1, ceil(wait_s))
        raise CallerError(
            429,
            "rate_limit_exceeded",
            f"{limit_text(quota)} is spent: {quota.on_spent.a_minute} requests a minute are let in beyond it, and"
            f" others wait already. Try again in {after_s} s.",
            type_="rate_limit_exceeded",
            retry_after_s=after_s,
            headers={"retry-after-ms": str(after_s * 1000)},
            limit=refusal.limit,
        )
    if wait_s > 0:
        await context.wait_for(Latch(), wait_s)  # ended by time or by a client that goes
    if context.gone:
        raise client_gone()


async def _downgraded(
    context: RequestContext, quota: Quota, waived: Waived, refusal: CallerError, services: Services
) -> Route | None:
    try:
        route = downgraded_route(context, context.identity, context.snapshot, quota.on_spent.preset)
    except CallerError:  # the preset is not made for such a request: the limit says what is wrong
        raise refusal from None
    if route is None:
        return None
    if route.targets[0] is AUTO:
        route = pick_models(context, route, services)
    renew(context, route, services)
    _waive(context, waived)
    if services.stops.active:
        route = services.stops.open_route(context, route)
    if context.identity.allowance.has_hard_cost and len(route.targets) > 1:
        route = await keep_bookable(context, route, services)
    route = order_targets(context, route, services)
    context.downgraded = True
    add_header(context, DOWNGRADED_HEADER, limit_text(quota).encode("ascii", "replace").decode())
    return route
