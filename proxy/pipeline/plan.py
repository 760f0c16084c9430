"""What was decided of a plain request, kept for the next one of its connection.

A plain request asks for one model by the model's own name, or for a preset that adds nothing to what the client wrote
and whose targets are asked in their order. Where such a request goes depends on its head, on the
configuration and on the state of the provider alone, and a client sends the same head again and again: so what the
steps of the first one found holds for the next, as long as nothing that they look at has changed.

What is set aside for a plain chat depends on its length and on the maximum that it names alone: all else of its
reservation is that of the first one too (admission/plain_admission.py).
"""

from collections.abc import Awaitable
from operator import attrgetter
from typing import Any

from msgspec import Struct

from proxy.pipeline.admission.limiter import HELD
from proxy.pipeline.admission.plain_admission import PlainAdmission, plain_admission, reserve_plain
from proxy.pipeline.context import RequestContext
from proxy.pipeline.routing.order import PLAIN_BYTES, keeps_order
from proxy.pipeline.services import Services
from proxy.pipeline.snapshot import Snapshot
from proxy.pipeline.upstream.hop import Hop
from proxy.pipeline.upstream.hops import Hops
from proxy.pipeline.values.identity import Identity
from proxy.pipeline.values.preset import PresetRow
from proxy.pipeline.values.reservation import Reservation
from proxy.pipeline.values.route import Route, Target
from proxy.wire.endpoint import CHAT, Endpoint

_PLANS_MAX = 8  # of one head: a client that asks more models in turn has them found anew
_fields = attrgetter(*Route.__struct_fields__)


class Plan(Struct, eq=False):
    """Where requests with one head go that ask for model, and under what: when any of that is another, it is over.

    preset: None: model is the name of a model. generation: of the states of providers, of which place has its own.
    admission None: what is set aside is worked out each time.
    """

    snapshot: Snapshot
    identity: Identity
    endpoint: Endpoint
    generation: int
    model: str
    preset: PresetRow | None
    targets: tuple[Target, ...]
    place: Hop
    admission: PlainAdmission | None


Planned = tuple[Hops | None, Reservation | None, Awaitable[bool]]
"""The way of a request; None: it has to be found. For a plain chat also what reserve() comes to, and what holds it:
where that is False nothing is held, and reserve() says why. None: reserve() has more to work out."""
_NO_PLAN: Planned = (None, None, HELD)


def planned_hops(context: RequestContext, services: Services) -> Planned:
    """Return the way of a request that its connection's plan holds for, and its reservation."""
    shape = context.shape
    plan: Plan | None = None if shape is None else shape.plan
    is_of_shape = plan is not None
    if plan is None:
        plan = _plan_for(context)
        if plan is None:
            return _NO_PLAN
    if (
        plan.snapshot is not context.snapshot
        or plan.identity is not context.identity
        or plan.endpoint is not context.endpoint
        or plan.generation != services.health.generation
        or services.stops.active
        or not plan.place.health.is_plain()
    ):
        if shape is not None:
            shape.plan = None
        return _NO_PLAN
    route = _route(plan.preset, plan.targets, context.body, plan.model, plan.endpoint)
    is_alone = len(plan.targets) == 1
    # of all that keeps_order() looks at, bodies of one shape differ in their length alone
    if not is_alone and (context.size_bytes > PLAIN_BYTES or not (is_of_shape or keeps_order(route, 0))):
        return _NO_PLAN
    if shape is not None and not is_of_shape:
        shape.plan = plan
    held = None if plan.admission is None else reserve_plain(context, plan.admission, route, services)
    if held is not None:
        reservation, holding = held
        return Hops(context, route, services, plan.place), reservation, holding
    # a target of several may have to be left out
    return (Hops(context, route, services, plan.place), None, HELD) if is_alone else _NO_PLAN


def _plan_for(context: RequestContext) -> Plan | None:
    """Return the plan for the model of a body that names no other one."""
    body = context.body
    plan: Plan | None = context.downstream.request_headers.plans.get(body["model"])
    return None if plan is None or "models" in body or "fallbacks" in body else plan


def _route(
    preset: PresetRow | None, targets: tuple[Target, ...], body: dict[str, Any], model: str, endpoint: Endpoint
) -> Route:
    """Return what plan_route() does for a plain request."""
    if preset is None and endpoint is CHAT:  # which is what a route has by itself
        return Route(targets, body, model, None)
    if preset is None:
        return Route(targets, body, model, None, None, "ordered", None, None, None, None, False, endpoint)
    deadline_s, checks = preset.deadline_s, preset.checks
    name, moves_on = preset.name, preset.check_moves_on
    return Route(targets, body, model, None, name, "ordered", body, None, deadline_s, checks, moves_on, endpoint)


def keep_plan(context: RequestContext, hops: Hops, reservation: Reservation, services: Services) -> None:
    """Keep what was found for a request, if it is a plain one and the next would find the same."""
    place, snapshot, identity, body = hops.place, context.snapshot, context.identity, context.body
    model, targets, allowance = body["model"], hops.route.targets, context.identity.allowance
    preset = snapshot.routes.presets.get(model)
    if preset is None:
        is_named = snapshot.routes.targets.get(model) is targets[0]  # by its own name: auto picks anew each time
    else:
        is_named = preset.targets is targets and not preset.defaults and preset.system is None
    if (
        is_named
        and _fields(hops.route) == _fields(_route(preset, targets, body, model, context.endpoint))
        and all(target.is_plain for target in targets)
        and place.target is targets[0]
        and place.target.static is None
        and place.key_index == 0
        and place.health.is_plain()
        and allowance.preferences is None
        and not allowance.model_quotas
        and not identity.is_new
        and not services.stops.active
        and "models" not in body
        and "fallbacks" not in body
    ):
        generation = services.health.generation
        admission = plain_admission(context, targets, reservation, services)
        plan = Plan(snapshot, identity, context.endpoint, generation, model, preset, targets, place, admission)
        plans, shape = context.downstream.request_headers.plans, context.downstream.request_headers.shape
        if shape is not None:
            shape.plan = None
        if len(plans) >= _PLANS_MAX or any(other.snapshot is not snapshot for other in plans.values()):
            plans.clear()  # an old configuration is held no longer than needed
        plans[model] = plan
