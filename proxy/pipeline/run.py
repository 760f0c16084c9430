"""The whole journey of one request. Read this first: each step is a file of its own beside this one."""

import asyncio

from proxy.core.errors import ApiError
from proxy.pipeline.accept import at_hand, parse, receive
from proxy.pipeline.arrange import arrange
from proxy.pipeline.attempt import request_headers
from proxy.pipeline.call import Call
from proxy.pipeline.client import Reply
from proxy.pipeline.dispatch import dispatch
from proxy.pipeline.enrol import enrol
from proxy.pipeline.failed import tell_failure
from proxy.pipeline.gone import client_gone
from proxy.pipeline.narrow import narrow, tell_left_out
from proxy.pipeline.once import once
from proxy.pipeline.parts import Parts
from proxy.pipeline.record import Booking
from proxy.pipeline.relay import relay
from proxy.pipeline.renew import identify, under_use_case
from proxy.pipeline.reserve import reserve
from proxy.pipeline.route import plan_route
from proxy.pipeline.tags import read_tags
from proxy.pipeline.unknown_model import refused_there
from proxy.pipeline.walk import Walk


async def run(call: Call, parts: Parts) -> Reply:
    """Answer one request for tokens; raises ApiError where there is no answer to give.

    Authentication comes before the body is read: nobody without a token makes us hold 32 MiB. What reserve() holds
    ends in exactly one place, booking.end(): on success, failure, hang-up and on whatever else is raised.
    """
    snapshot = parts.live.current
    identity = identify(call, parts, snapshot, call.started_ms)
    raw = at_hand(call, snapshot.body_max_bytes)
    if raw is None:
        raw = await receive(call, snapshot.settings.server)
        snapshot = parts.live.current  # what was changed while the body came holds for it
        identity = identify(call, parts, snapshot, parts.clock.now_ms())
    body = parse(raw, call.endpoint)
    call.asked = body["model"]
    sent = request_headers(call.client.said)
    tags = read_tags(call.client.said, body)
    if tags.idempotency_key is not None:
        joined = await once(call, identity, tags.idempotency_key, body, parts, snapshot)
        if joined is not None:
            if parts.access is not None:
                parts.access.joined(call)
            return joined
    route = plan_route(
        body,
        identity,
        snapshot.presets,
        snapshot.targets,
        tags.use_case,
        snapshot.use_cases,
        call.endpoint,
    )
    if route.use_case is not None:
        identity = under_use_case(call, identity, route.use_case, parts, snapshot)
    if identity.allowance.has_hard_cost and len(route.targets) > 1:
        route, left_out = await narrow(route, identity.allowance, parts, snapshot)
        tell_left_out(call, left_out)
    route = arrange(route, len(raw), parts, snapshot)
    if identity.is_new:
        await enrol(call, identity, parts, snapshot)
    walk = Walk(call, route, identity, parts, snapshot)
    reservation = await reserve(call, identity, route, walk.place, tags, len(raw), parts, snapshot)
    booking = Booking(call, reservation, parts, snapshot)
    status, error = 500, "internal_error"
    try:
        await booking.open()
        if not call.gone:
            attempt = await dispatch(call, walk, reservation, sent, booking, parts, snapshot)
            if attempt.error is None:
                return await relay(call, attempt, booking.end, snapshot)
            unknown = refused_there(call, walk.attempts, identity.allowance, parts, snapshot)
            if unknown is not None:
                raise unknown
            status, error = attempt.error.status, attempt.error.code
            return await tell_failure(call, walk.attempts, booking.end)
        raise client_gone()
    except ApiError as failure:
        status, error = failure.status, failure.code
        raise
    except asyncio.CancelledError:
        status, error = 503, "cut"  # the proxy was told twice to stop
        raise
    finally:
        call.when_gone(None)  # a call that knows its relay is a circle, and the garbage collector's work
        try:
            walk.leave()
        finally:
            if booking.verdict is None:
                await booking.end(status, error)
