"""What stops with another effect than to refuse do to a request: other targets, a preset, or a turn.

Only while something is stopped does anybody come here. As of a limit that is spent: of a model or a provider targets
outside of it come first, and only where none is left the effect itself.
"""

from collections.abc import Container, Iterable
from math import ceil
from typing import NamedTuple

from msgspec.structs import replace

from proxy.core.errors import ApiError, CallerError, OwnError
from proxy.pipeline.admission.bookable_targets import ExcludedTarget, announce_excluded
from proxy.pipeline.admission.limit_headers import add_header
from proxy.pipeline.admission.spent_limit import DOWNGRADED_HEADER, TURN_MOST_S, downgraded_route
from proxy.pipeline.context import RequestContext
from proxy.pipeline.errors import client_gone
from proxy.pipeline.routing.auto import pick_models
from proxy.pipeline.routing.route import plan_route
from proxy.pipeline.routing.targets import AUTO
from proxy.pipeline.services import Services
from proxy.pipeline.stops import CODE
from proxy.pipeline.values.identity import Identity
from proxy.pipeline.values.route import Route
from proxy.policy.stop import Stop, stop_of_target


class Eased(NamedTuple):
    """A route without targets that others can stand in for, these, and what is left to be done for the request."""

    route: Route
    left_out: tuple[ExcludedTarget, ...]
    downgrade: Stop | None
    slow: tuple[Stop, ...]


async def open_route(context: RequestContext, route: Route, services: Services) -> Route:
    """Return the route as what is stopped lets it go on; raises ApiError where it does not."""
    stops = services.stops
    listed = stops.listed(context)
    if listed:
        route = _without_listed(context, listed, services)
    route = stops.open_route(context, route)
    concerning = _concerning(context, services)
    if not concerning:
        return route
    eased = easing_of(route, concerning)
    announce_excluded(context, eased.left_out)
    route = eased.route
    if eased.downgrade is not None:
        route = _downgraded(context, eased.downgrade, services)
        eased = easing_of(stops.open_route(context, route), concerning)
        announce_excluded(context, eased.left_out)
        route = eased.route
    for stop in eased.slow:
        await _wait_for_turn(context, stop, services)
    return stops.open_route(context, route) if eased.slow else route


def _without_listed(context: RequestContext, names: Container[str], services: Services) -> Route:
    """Return the route anew without presets that the body lists to fall back on."""
    body, snapshot = context.endpoint.without_listed(context.body, names), context.snapshot
    route = plan_route(body, context.identity, snapshot.routes, context.tags.use_case, context.endpoint)
    return pick_models(context, route, services) if route.targets[0] is AUTO else route


def easing_for(identity: Identity, route: Route, context: RequestContext, services: Services) -> Eased:
    """Return what would be done for somebody's request now."""
    stops, preset = services.stops, route.preset
    found = tuple(
        stop
        for stop in stops.easing()
        if _is_of_targets(stop) or stops.concerns_everyone(stop, identity, context.snapshot, preset)
    )
    return easing_of(route, found)


def _concerning(context: RequestContext, services: Services) -> tuple[Stop, ...]:
    """Return what slows or downgrades a request, or may do so for its targets; the oldest first."""
    stops = services.stops
    return tuple(stop for stop in stops.easing() if _is_of_targets(stop) or stops.concerns_all(stop, context))


def _is_of_targets(stop: Stop) -> bool:
    return stop.kind in ("model", "provider")


def easing_of(route: Route, stops: Iterable[Stop]) -> Eased:
    """Return what is to be done; of several that downgrade the oldest does, and all that slow do so one by one."""
    left_out: list[ExcludedTarget] = []
    downgrade: Stop | None = None
    slow: list[Stop] = []
    for stop in stops:
        if _is_of_targets(stop):
            route, out = _without(route, stop)
            left_out += out
            if out or not _is_all_of(route, stop):
                continue
        if stop.effect == "slow":
            slow.append(stop)
        elif downgrade is None and route.preset != stop.preset:
            downgrade = stop
    return Eased(route, tuple(left_out), downgrade, tuple(slow))


def _without(route: Route, stop: Stop) -> tuple[Route, tuple[ExcludedTarget, ...]]:
    """Return the route without the targets that a stop concerns, and these; unchanged where no other would answer."""
    counted = tuple(
        target for target in route.targets if target.static is None and _is_of(target.provider, target.model, stop)
    )
    kept = tuple(target for target in route.targets if target not in counted)
    if all(target.static is not None for target in kept):
        return route, ()
    kept = tuple(
        replace(target, handed=tuple(model for model in target.handed if not _is_of(target.provider, model, stop)))
        if target.handed
        else target
        for target in kept
    )
    reason = f"{stop.what} is set to {stop.outcome.text}"
    return replace(route, targets=kept), tuple(ExcludedTarget(target, reason) for target in counted)


def _is_of(provider: str, model: str, stop: Stop) -> bool:
    return stop_of_target((stop,), provider, model) is not None


def _is_all_of(route: Route, stop: Stop) -> bool:
    real = [target for target in route.targets if target.static is None]
    return bool(real) and all(_is_of(target.provider, target.model, stop) for target in real)


def _downgraded(context: RequestContext, stop: Stop, services: Services) -> Route:
    """Return the route of a stop's preset; raises OwnError 503 where that cannot serve the request."""
    problem = "There is no such preset any more"
    try:
        route = downgraded_route(context, context.identity, context.snapshot, stop.preset)
        if route is not None and route.targets[0] is AUTO:
            route = pick_models(context, route, services)
    except CallerError as error:
        route, problem = None, f"It cannot serve this one: {error.message.rstrip('.')}"
    if route is None:
        text = (
            f'{stop.requests} go by preset "{stop.preset}" for now{_why(stop)}. {problem}. Operator: tollkeeper stops'
        )
        raise OwnError(503, CODE, text, should_retry=False)
    context.downgraded = True
    add_header(context, DOWNGRADED_HEADER, f"{stop.what}{_why(stop)}".encode("ascii", "replace").decode())
    return route


async def _wait_for_turn(context: RequestContext, stop: Stop, services: Services) -> None:
    """Wait until it is the request's turn; raises CallerError 429 where too many wait before it."""
    is_taken, wait_s = services.pace.take(stop.id, stop.a_minute, services.clock.monotonic_s(), TURN_MOST_S)
    if not is_taken:
        raise turn_refusal(stop, wait_s)
    if wait_s > 0:
        await services.stops.wait_for_turn(stop, context, wait_s)
    if context.gone:
        raise client_gone()


def turn_refusal(stop: Stop, wait_s: float) -> ApiError:
    """Return what a request is told for which there is no turn near enough."""
    after_s = max(1, ceil(wait_s))
    return CallerError(
        429,
        "rate_limit_exceeded",
        f"{stop.requests} are slowed to {stop.a_minute} a minute by the operator{_why(stop)}, and others wait already."
        f" Try again in {after_s} s. Operator: tollkeeper stops",
        type_="rate_limit_exceeded",
        retry_after_s=after_s,
        headers={"retry-after-ms": str(after_s * 1000)},
    )


def _why(stop: Stop) -> str:
    return "" if stop.reason is None else f" ({stop.reason})"
