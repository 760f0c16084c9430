"""The whole journey of one request. Read this first: each step is a file of its own beside this one."""

import asyncio

from proxy.core.errors import ApiError
from proxy.pipeline.admission.bookable_targets import announce_excluded, keep_bookable
from proxy.pipeline.admission.reserve import reserve
from proxy.pipeline.admission.unknown_model import refused_there
from proxy.pipeline.context import RequestContext
from proxy.pipeline.downstream import Reply
from proxy.pipeline.errors import client_gone
from proxy.pipeline.failover import find_answer
from proxy.pipeline.idempotency import once
from proxy.pipeline.identity.identify import identify, under_use_case
from proxy.pipeline.identity.provision import provision
from proxy.pipeline.relay.final_error import FailedRoute, answer_failure
from proxy.pipeline.request.body import body_at_hand, parse_request, receive_body
from proxy.pipeline.request.headers import request_headers
from proxy.pipeline.request.tags import read_tags
from proxy.pipeline.routing.order import order_targets
from proxy.pipeline.routing.route import plan_route
from proxy.pipeline.services import Services
from proxy.pipeline.settlement.recorder import Recorder
from proxy.pipeline.upstream.hops import Hops


async def run(context: RequestContext, services: Services) -> Reply:
    """Answer one request for tokens; raises ApiError where there is no answer to give.

    Authentication comes before the body is read: nobody without a token makes us hold 32 MiB. What reserve() holds
    ends in exactly one place, booking.end(): on success, failure, hang-up and on whatever else is raised.
    """
    snapshot = services.live.current
    identity = identify(context, services, snapshot, context.started_ms)
    raw = body_at_hand(context, snapshot.body_max_bytes)
    if raw is None:
        raw = await receive_body(context, snapshot.settings.server)
        snapshot = services.live.current  # what was changed while the body came holds for it
        identity = identify(context, services, snapshot, services.clock.now_ms())
    body = parse_request(raw, context.endpoint)
    context.asked = body["model"]
    sent = request_headers(context.client.said)
    tags = read_tags(context.client.said, body)
    if tags.idempotency_key is not None:
        joined = await once(context, identity, tags.idempotency_key, body, services, snapshot)
        if joined is not None:
            if services.access is not None:
                services.access.joined(context)
            return joined
    route = plan_route(
        body,
        identity,
        snapshot.presets,
        snapshot.targets,
        tags.use_case,
        snapshot.use_cases,
        context.endpoint,
    )
    if route.use_case is not None:
        identity = under_use_case(context, identity, route.use_case, services, snapshot)
    if identity.allowance.has_hard_cost and len(route.targets) > 1:
        route, left_out = await keep_bookable(route, identity.allowance, services, snapshot)
        announce_excluded(context, left_out)
    route = order_targets(route, len(raw), services, snapshot)
    if identity.is_new:
        await provision(context, identity, services, snapshot)
    walk = Hops(context, route, identity, services, snapshot)
    reservation = await reserve(context, identity, route, walk.place, tags, len(raw), services, snapshot)
    booking = Recorder(context, reservation, services, snapshot)
    status, error = 500, "internal_error"
    try:
        await booking.open()
        if not context.gone:
            answer = await find_answer(context, walk, reservation, sent, booking, services, snapshot)
            if not isinstance(answer, FailedRoute):
                return await answer.run()
            unknown = refused_there(context, walk.attempts, identity.allowance, services, snapshot)
            if unknown is not None:
                raise unknown
            return await answer_failure(context, answer, booking.end)
        raise client_gone()
    except ApiError as failure:
        status, error = failure.status, failure.code
        raise
    except asyncio.CancelledError:
        status, error = 503, "cut"  # the proxy was told twice to stop
        raise
    finally:
        context.when_gone(None)  # a call that knows its relay is a circle, and the garbage collector's work
        try:
            walk.leave()
        finally:
            if booking.verdict is None:
                await booking.end(status, error)
