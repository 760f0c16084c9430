"""Reserve more before an attempt that follows one which may be billed."""

from collections.abc import Sequence

from proxy.core.errors import ApiError
from proxy.core.limit_kinds import NO_PIECES
from proxy.pipeline.admission.admit import refusal_of
from proxy.pipeline.admission.reserve import facts_for, greater
from proxy.pipeline.context import RequestContext
from proxy.pipeline.services import Services
from proxy.pipeline.values.reservation import Reservation
from proxy.pipeline.values.route import Route, Target
from proxy.policy.pricing import Price, UnboundedError, read_facts, worst_case_pusd
from proxy.policy.quota import Amounts
from proxy.storage.rows import Reserved


def bound_pusd(context: RequestContext, route: Route, targets: Sequence[Target], services: Services) -> int | None:
    """Return the most that one call to the most expensive of these targets can cost; None: its price is unknown."""
    worst = [_worst_pusd(context, route, target, services) for target in targets if target.static is None]
    known = [pusd for pusd in worst if pusd is not None]
    return max(known, default=0) if len(known) == len(worst) else None


def _worst_pusd(context: RequestContext, route: Route, target: Target, services: Services) -> int | None:
    provider = context.snapshot.provider_of(target)
    prices: list[Price] = []
    for model in (target.model, *target.handed):
        price = services.model_lists.price(provider, model)
        if price is None:
            return None
        prices.append(price)
    try:
        return worst_case_pusd(prices, facts_for(route, target))
    except UnboundedError:
        return None


def shortfall(left: Reserved, next_pusd: int | None, first: Reserved, pieces: tuple[int, ...] = NO_PIECES) -> Amounts:
    """Return what one more attempt lacks when left is what no attempt has taken.

    next_pusd: the worst case of the targets that may follow; where it is not known, that of the whole route (first).
    Tokens are bounded alike for all targets of a route; first has those that one takes more (raised_tokens).
    pieces: those that one more attempt takes, where the last one may have taken its own.
    """
    bound = first.cost_pusd if next_pusd is None else next_pusd
    return Amounts(
        cost_pusd=0 if left.cost_pusd is None else max(0, (bound or 0) - left.cost_pusd),
        tokens=0 if left.tokens is None else max(0, (first.tokens or 0) - left.tokens),
        requests=0,
        is_priced=left.cost_pusd is not None,
        pieces=pieces,
    )


def raised_tokens(route: Route, target: Target) -> int:
    """Return how many more tokens a target may write than were reserved: it takes no bound as small as that."""
    if route.maxima is None:
        return 0
    before = greater(facts_for(route.unraised(), target), read_facts(route.body, 0, route.endpoint.kind))
    now = route.maxima.get((target.provider, target.model))
    if now is None or before.max_output_tokens is None:
        return 0
    return max(0, now - before.max_output_tokens) * before.choices


async def raise_reservation(
    context: RequestContext, reservation: Reservation, more: Amounts, services: Services
) -> ApiError | None:
    """Hold more in all windows of the request, or return which limit has no room and change nothing."""
    if not more.cost_pusd and not more.tokens and not any(more.pieces):
        return None
    refused = await services.limiter.raise_hold(reservation.id, more, reservation.identity.allowance.quotas)
    if refused is None:
        return None
    return refusal_of(refused, reservation.row.started_ms, services.limiter, context.snapshot)
