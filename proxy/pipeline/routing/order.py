"""Order the targets of a route for trying them, and leave out those that cannot serve the request."""

import random

from msgspec.structs import replace

from proxy.pipeline.context import RequestContext
from proxy.pipeline.services import Services
from proxy.pipeline.snapshot import Snapshot
from proxy.pipeline.values.route import Route, Target
from proxy.policy.pricing import read_facts
from proxy.policy.target_order import Candidate, Order, RankedTarget, order, read_needs

PLAIN_BYTES = 16_384  # at 8 bytes a token a prompt of so many fits into every model's context
_DEMANDS = frozenset(("tools", "functions", "response_format"))


def order_targets(context: RequestContext, route: Route, services: Services) -> Route:
    """Return the route with its targets in the order in which they are asked."""
    if len(route.targets) == 1:
        return replace(route, targets=(_alone(route.targets[0]),)) if route.only_first else route
    if route.select == "ordered" and not route.only_first and keeps_order(route, context.size_bytes):
        return route
    return ordered_targets(context, route, services)[0]


def ordered_targets(context: RequestContext, route: Route, services: Services) -> tuple[Route, Order]:
    """Return it with the reasons; their indices are those of the targets that were handed in."""
    asked = [target for target in route.targets if target.static is None]
    needs = read_needs(route.body, read_facts(route.body, context.size_bytes, route.endpoint.kind))
    candidates = [_candidate(target, services, context.snapshot) for target in asked]
    found = order(route.select, candidates, needs, random.random())  # noqa: S311 - it shares requests out, no secret
    placed = tuple(asked[one.position] for one in found.placed)
    static = tuple(target for target in route.targets if target.static is not None)
    targets = placed + static
    if not route.only_first:
        return replace(route, targets=targets), found
    others = tuple(RankedTarget(one.position, "fallback is off") for one in found.placed[1:])
    return replace(route, targets=(_alone(targets[0]),)), Order(found.placed[:1], found.left_out + others, found.note)


def _alone(target: Target) -> Target:
    """Return a target without the models that its provider would fall back on by itself."""
    return replace(target, handed=()) if target.handed else target


def keeps_order(route: Route, size_bytes: int) -> bool:
    """Return whether every model of an ordered route can certainly serve the request, and none is drawn by weight."""
    if route.endpoint.kind != "chat" or size_bytes > PLAIN_BYTES or not _DEMANDS.isdisjoint(route.body):
        return False
    for message in route.body["messages"]:  # all() and any() would take three times as long
        if message.get("content").__class__ is list:
            return False
    for target in route.targets:  # noqa: SIM110
        if target.weight is not None:
            return False
    return True


def _candidate(target: Target, services: Services, snapshot: Snapshot) -> Candidate:
    provider = snapshot.providers[target.provider]
    facts = services.model_lists.facts(provider, target.model)
    health = services.health.of(provider)
    recent = health.known(target.model)
    return Candidate(
        f"{target.model} at {provider.name}",
        services.model_lists.price(provider, target.model),
        facts.context_tokens,
        facts.supports,
        None if recent is None else recent.latency_ms,
        None if recent is None else recent.error_rate,
        health.state(target.model),
        target.weight,
    )
