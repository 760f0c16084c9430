"""Leave out the targets for which a hard cost limit cannot reserve a worst case, as long as others remain.

That is so without a price, for what has no price in tokens (web search, a file), and where nothing bounds the answer or
the prompt. Where no target remains the route stays as it is, and reserve() refuses it by name.
"""

from collections.abc import Iterable
from typing import NamedTuple

from msgspec.structs import replace

from proxy.pipeline.admission.limit_headers import add_header
from proxy.pipeline.admission.output_bounds import may_leave_out, takes_no_bound
from proxy.pipeline.admission.reserve import facts_of, known_of
from proxy.pipeline.context import RequestContext
from proxy.pipeline.services import Services
from proxy.pipeline.values.allowance import Allowance
from proxy.pipeline.values.route import Route, Target
from proxy.policy.pricing import BodyFacts, Price, UnboundedError, unpriced_features, worst_case_pusd
from proxy.wire.body import dump_body

_HEADER = "x-tollkeeper-left-out"
_HEADER_CHARS_MAX = 1000


class ExcludedTarget(NamedTuple):
    """A target that is left out, and why, in words."""

    target: Target
    reason: str


async def keep_bookable(context: RequestContext, route: Route, services: Services) -> Route:
    """Return the route with the targets that may be asked under a hard cost limit; answers name the others."""
    route, left_out = await bookable_targets(context, route, services)
    announce_excluded(context, left_out)
    return route


async def bookable_targets(
    context: RequestContext, route: Route, services: Services
) -> tuple[Route, tuple[ExcludedTarget, ...]]:
    """Return the route with the targets that may be asked under a hard cost limit, and those that may not."""
    if len(route.targets) == 1:
        return route, ()
    left_out = []
    judge = _Judge(context, route, len(dump_body(route.body)), services)
    for target in route.targets:
        reason = None if target.static is not None else await _reason(judge, target)
        if reason is not None:
            left_out.append(ExcludedTarget(target, reason))
    out = [one.target for one in left_out]
    kept = tuple(target for target in route.targets if target not in out)
    if not left_out or all(target.static is not None for target in kept):
        return route, ()
    return replace(route, targets=kept), tuple(left_out)


def announce_excluded(context: RequestContext, left_out: Iterable[ExcludedTarget]) -> None:
    """Add the targets that were left out to the headers of every answer."""
    words = ", ".join(f"{one.target.provider}/{one.target.model} ({one.reason})" for one in left_out)
    if words:
        add_header(context, _HEADER, words.encode("ascii", "replace").decode()[:_HEADER_CHARS_MAX])


class _Judge(NamedTuple):
    """What each target of a route is checked with; size_bytes is that of the body that they share."""

    context: RequestContext
    route: Route
    size_bytes: int
    services: Services


async def _reason(judge: _Judge, target: Target) -> str | None:
    """Return why no worst case can be reserved for a target; None: one can."""
    context, route, size_bytes, services = judge
    allowance, provider = context.identity.allowance, context.snapshot.provider_of(target)
    prices = []
    for model in (target.model, *target.handed):
        price = services.model_lists.price(provider, model) or await services.model_lists.refresh_for(provider, model)
        if price is None:
            return "no price" if model == target.model else f"no price of {model}"
        prices.append(price)
    facts = facts_of(route, target, size_bytes)
    names = unpriced_features(facts, prices)
    if names:
        return f"no price of {names[0]}"
    price, form = known_of(context, services, route, target)
    if route.writes_maximum and takes_no_bound(form, route):
        if not may_leave_out(replace(route, max_tokens=allowance.max_tokens or 1), allowance, price):
            return "it takes no maximum"
        prices = [replace(one, takes_no_bound=True) for one in prices]
    return _unbounded(prices, facts, allowance)


def _unbounded(prices: list[Price], facts: BodyFacts, allowance: Allowance) -> str | None:
    """Return what leaves prompt or answer without a bound; None: both have one, if only by a token limit."""
    most = facts.max_output_tokens or allowance.max_tokens or (1 if allowance.has_hard_tokens else None)
    try:
        worst_case_pusd(prices, facts, most)
    except UnboundedError as error:
        return str(error)
    return None
