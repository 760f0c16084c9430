"""The whole journey of one request. Read this first: each step is a file of its own, in the room of its kind."""

import asyncio

from proxy.core.errors import CallerError
from proxy.pipeline.admission.bookable_targets import keep_bookable
from proxy.pipeline.admission.eased import open_route
from proxy.pipeline.admission.limiter import HELD
from proxy.pipeline.admission.reserve import reserve
from proxy.pipeline.admission.spent_limit import NONE_WAIVED, after_refusal
from proxy.pipeline.context import RequestContext
from proxy.pipeline.downstream import Reply
from proxy.pipeline.errors import draining
from proxy.pipeline.failover import find_answer
from proxy.pipeline.idempotency import idempotency
from proxy.pipeline.identity.identify import identify, limit_to_models, limit_to_use_case
from proxy.pipeline.identity.provision import provision
from proxy.pipeline.plan import keep_plan, planned_hops
from proxy.pipeline.request.body import body_at_hand, parse_request, receive_body
from proxy.pipeline.routing.auto import pick_models
from proxy.pipeline.routing.order import order_targets
from proxy.pipeline.routing.route import plan_route
from proxy.pipeline.routing.targets import AUTO
from proxy.pipeline.services import Services
from proxy.pipeline.settlement.recorder import Recorder
from proxy.pipeline.upstream.hops import Hops
from proxy.pipeline.values.reservation import Reservation
from proxy.pipeline.values.route import Route


async def run(context: RequestContext, services: Services) -> Reply:
    """Answer one request for tokens; raises ApiError where there is no answer to give."""
    await respond(context, services)
    return context.answer


async def respond(context: RequestContext, services: Services) -> None:
    """Do the same, and leave the answer in the context."""
    if services.draining:
        raise draining()
    services.in_flight.add(context)  # shutdown waits until it has ended
    try:
        context.snapshot = services.live.current
        identify(context, services, context.started_ms)  # before the body: nobody without a token makes us hold 32 MiB
        raw = body_at_hand(context)
        if raw is None:
            raw = await receive_body(context)
            context.snapshot = services.live.current  # what was changed while the body came holds for it
            identify(context, services, services.clock.now_ms())
        parse_request(context, raw)
        if services.repeated is not None:
            services.repeated.note(context.identity, raw, context.started_ms)
        del raw  # a stream may be long, and it is read
        if context.tags.idempotency_key is None:
            context.answer = await answer(context, services)
            return
        if services.stops.active:
            services.stops.open_route(
                context, _route_of(context, services)
            )  # what is stopped is refused before the answer of another is joined
        async with idempotency(context, services) as earlier:
            context.answer = await answer(context, services) if earlier is None else earlier
    except asyncio.CancelledError:
        if context.stopped is None:
            raise
        raise context.stopped from None
    finally:
        services.in_flight.remove(context)


async def answer(context: RequestContext, services: Services) -> Reply:
    """Reserve, send, relay: from reserve() on all ends in one settlement, after success, failure, hang-up and cut."""
    hops, reservation, holding = planned_hops(context, services)
    if hops is None or reservation is None or (holding is not HELD and not await holding):
        hops, reservation = await _reserve(context, hops, services)
    recorder = Recorder(context, reservation, services)
    opening = recorder.open()
    if opening is not None:
        await opening
    try:
        try:
            relay = await find_answer(context, hops, recorder, services)
            reply = await relay.run()
        finally:
            context.on_gone = None  # a context that knows its relay is a circle, and the garbage collector's work
            hops.leave()
    except BaseException as error:
        await recorder.end_after(error)
        raise
    if recorder.settlement is None:
        await recorder.end_after(None)
    return reply


async def _reserve(context: RequestContext, planned: Hops | None, services: Services) -> tuple[Hops, Reservation]:
    """Find the way of a request, if that is not planned, and reserve its worst case there; raises ApiError."""
    hops = await _find_way(context, services) if planned is None else planned
    try:
        reservation = await reserve(context, hops.route, hops.place, services)
    except CallerError as refusal:
        return await _reserve_after_refusal(context, hops.route, refusal, services)
    if planned is None:
        keep_plan(context, hops, reservation, services)
    return hops, reservation


async def _find_way(context: RequestContext, services: Services) -> Hops:
    """Return the way of a request at its first place; raises ApiError where it has none."""
    route = _route_of(context, services)
    if services.stops.active:
        route = await open_route(context, route, services)
    if route.use_case is not None:
        limit_to_use_case(context, route.use_case, services)
    if context.identity.allowance.model_quotas:
        limit_to_models(context, route, services)
    if context.identity.allowance.has_hard_cost and len(route.targets) > 1:
        route = await keep_bookable(context, route, services)
    if len(route.targets) > 1 or route.only_first:
        route = order_targets(context, route, services)
    if context.identity.is_new:
        await provision(context, services)
    return Hops(context, route, services)


async def _reserve_after_refusal(
    context: RequestContext, route: Route, refusal: CallerError, services: Services
) -> tuple[Hops, Reservation]:
    """Reserve for what follows a limit that has no room; raises CallerError where nothing does."""
    waived = NONE_WAIVED
    while True:
        route, waived = await after_refusal(context, route, refusal, waived, services)
        hops = Hops(context, route, services)
        try:
            return hops, await reserve(context, route, hops.place, services, waived.quotas)
        except CallerError as another:
            refusal = another


def _route_of(context: RequestContext, services: Services) -> Route:
    """Return the route as it was asked for; raises ApiError."""
    route = plan_route(context.body, context.identity, context.snapshot.routes, context.tags.use_case, context.endpoint)
    if route.targets[0] is AUTO:
        route = pick_models(context, route, services)
    return route
