"""What was decided of a plain request, kept for the next one of its connection.

A plain request asks for one model by the model's own name. Where such a request goes depends on its head, on the
configuration and on the state of the provider alone, and a client sends the same head again and again: so what the
steps of the first one found holds for the next, as long as nothing that they look at has changed.

Where no limit is on cost or tokens, what is set aside for a plain chat depends on its length and on the maximum that it
names alone: then all else of its reservation is that of the first one too.
"""

from collections.abc import Awaitable
from operator import attrgetter
from typing import Any

from msgspec import Struct

from proxy.core.done import NOTHING_LEFT
from proxy.core.limit_kinds import NO_PIECES, NONE_ASKED
from proxy.core.money import MAX_PUSD
from proxy.pipeline.admission.reserve import QUARTER_MS, day_of_quarter
from proxy.pipeline.context import RequestContext
from proxy.pipeline.services import Services
from proxy.pipeline.snapshot import Snapshot
from proxy.pipeline.upstream.hop import Hop
from proxy.pipeline.upstream.hops import Hops
from proxy.pipeline.values.allowance import Allowance
from proxy.pipeline.values.identity import Identity
from proxy.pipeline.values.reservation import Reservation
from proxy.pipeline.values.route import Route, Target
from proxy.policy.pricing import NOT_PLAIN, PlainTerms, Price, plain_maximum, plain_terms, plain_worst_case_pusd
from proxy.policy.quota import Amounts, LimitExceeded
from proxy.storage.rows import OpenRow
from proxy.wire.endpoint import Endpoint

_fields = attrgetter(*Route.__struct_fields__)
_new_tuple = tuple.__new__  # read from its class it would take longer than the call
_IN_ROW = frozenset(("metadata", "session_id", "user"))  # fields of a body that go into the row
_FIELDS = OpenRow._fields
_WHO = slice(_FIELDS.index("user"), _FIELDS.index("reserved_pusd"))
_THERE = slice(_FIELDS.index("target_provider"), None)


class PlainAdmission(Struct, eq=False):
    """What reservations of plain chats under one plan have in common.

    who, there: columns of OpenRow before and behind those that differ. terms: made of price, which is looked up each
    time; None: they bound nothing, or there is no price.
    """

    who: tuple[Any, ...]
    there: tuple[Any, ...]
    price: Price | None = None
    terms: PlainTerms | None = None


class Plan(Struct, eq=False):
    """Where requests with one head go that ask for model, and under what: when any of that is another, it is over.

    generation: of the states of providers, of which place has its own. admission None: what is set aside is worked out
    each time.
    """

    snapshot: Snapshot
    identity: Identity
    endpoint: Endpoint
    generation: int
    model: str
    targets: tuple[Target, ...]
    place: Hop
    admission: PlainAdmission | None


Planned = tuple[Hops | None, Reservation | None, Awaitable[LimitExceeded | None]]
"""The way of a request; None: it has to be found. For a plain chat also what reserve() comes to, and what holds it:
where a limit has no room nothing is held, and reserve() says why. None: reserve() has more to work out."""
_NO_PLAN: Planned = (None, None, NOTHING_LEFT)


def planned_hops(context: RequestContext, services: Services) -> Planned:
    """Return the way of a request that its connection's plan holds for, and its reservation."""
    plan, body = context.downstream.request_headers.plan, context.body
    if (
        plan is None
        or plan.model != body["model"]
        or plan.snapshot is not context.snapshot
        or plan.identity is not context.identity
        or plan.endpoint is not context.endpoint
        or plan.generation != services.health.generation
        or services.stops.active
        or "models" in body
        or "fallbacks" in body
        or not plan.place.health.is_plain()
    ):
        return _NO_PLAN
    route = Route(plan.targets, body, plan.model, None, None, "ordered", None, None, None, None, False, plan.endpoint)
    admission, limiter, place = plan.admission, services.limiter, plan.place
    amount_pusd = None
    if (
        admission is not None
        and not limiter.model_sets
        and services.live.current is context.snapshot
        and _IN_ROW.isdisjoint(body)
        and (asked := plain_maximum(body, "chat")) != NOT_PLAIN
    ):
        price = services.model_lists.price(place.provider, place.target.model)
        if price is not admission.price:
            admission.price, admission.terms = price, None if price is None else plain_terms(price)
        if admission.terms is not None:
            amount_pusd = plain_worst_case_pusd(admission.terms, context.size_bytes, asked)
    hops = Hops(context, route, services, place)
    if amount_pusd is None or amount_pusd > MAX_PUSD:
        return hops, None, NOTHING_LEFT
    id_, now_ms, identity, streamed = context.id, context.started_ms, context.identity, body.get("stream") is True
    day = day_of_quarter(now_ms // QUARTER_MS, context.snapshot.zone)
    columns = (id_, now_ms, day, *admission.who, amount_pusd, None, int(streamed), *admission.there)
    row = _new_tuple(OpenRow, columns)
    reservation = Reservation(row, amount_pusd, route, identity, None, id_, streamed, None, NONE_ASKED)
    amounts = _new_tuple(Amounts, (amount_pusd, 0, 1, 0, 0, True, NO_PIECES))
    allowance = identity.allowance
    return hops, reservation, limiter.reserve(id_, allowance.scopes, now_ms, amounts, allowance.quotas)


def keep_plan(context: RequestContext, hops: Hops, reservation: Reservation, services: Services) -> None:
    """Keep what was found for a request, if it is a plain one and the next would find the same."""
    place, snapshot, identity, body = hops.place, context.snapshot, context.identity, context.body
    model, target, allowance = body["model"], place.target, context.identity.allowance
    plain = Route((target,), body, model, None, endpoint=context.endpoint)
    if (
        _fields(hops.route) == _fields(plain)
        and snapshot.routes.targets.get(model) is target  # by its own name: auto picks anew each time
        and target.is_plain
        and target.static is None
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
        admission = _admission_of(context, reservation, services)
        plan = Plan(snapshot, identity, context.endpoint, generation, model, hops.route.targets, place, admission)
        context.downstream.request_headers.plan = plan


def _admission_of(context: RequestContext, reservation: Reservation, services: Services) -> PlainAdmission | None:
    """Return what the next reservation has in common with this one; None where limits, or the body, decide more."""
    columns: tuple[Any, ...] = reservation.row
    body = context.body
    if (
        services.live.current is not context.snapshot
        or _bounds_answers(context.identity.allowance)
        or context.endpoint.kind != "chat"
        or plain_maximum(body, "chat") == NOT_PLAIN
        or not _IN_ROW.isdisjoint(body)
    ):
        return None
    return PlainAdmission(columns[_WHO], columns[_THERE])


def _bounds_answers(allowance: Allowance) -> bool:
    """Return whether a limit counts cost or tokens, or bounds the answer: then more is worked out for a request."""
    has_cost = allowance.has_hard_cost or allowance.has_soft
    return has_cost or allowance.has_tokens or allowance.max_tokens is not None
