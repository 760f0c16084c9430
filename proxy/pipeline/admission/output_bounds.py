"""The bound of an answer for each target, where the proxy writes it, and what the client is told of it. Pure.

A target's own maximum, and the room that the prompt leaves in its context, are as much as it takes.
"""

from collections.abc import Callable, Mapping

from proxy.pipeline.values.allowance import Allowance
from proxy.pipeline.values.route import Route, Target
from proxy.policy.parameter_form import PLAIN, ParameterForm
from proxy.policy.pricing import BodyFacts, Price, maximum_to_write

Known = Callable[[Target], tuple[Price | None, ParameterForm | None]]
"""Return what is known of a target: its price, and how it takes what the proxy writes."""


def takes_no_bound(form: ParameterForm | None, route: Route) -> bool:
    """Return whether a target accepts no field that bounds the answer."""
    return form is not None and any(name in form.without for name in route.endpoint.maximum)


def may_leave_out(route: Route, allowance: Allowance, price: Price | None) -> bool:
    """Return whether a target may be asked without a bound of the answer: no limit needs one, or the model has one."""
    if route.max_tokens is None:
        return True
    limit = None if price is None else price.output_limit_tokens
    if limit is None or (allowance.max_tokens is not None and allowance.max_tokens < limit):
        return False
    return not allowance.has_hard_tokens or route.max_tokens >= limit


def with_output_bounds(route: Route, facts: BodyFacts, allowance: Allowance, known: Known) -> Route:
    """Return the route, whose bound of the answer the proxy wrote or changed, with it as each target takes it."""
    own = route.own_maximum
    maxima: dict[tuple[str, str], int | None] = {}
    for target in route.targets:
        if target.static is not None:
            continue
        price, form = known(target)
        tokens = written_bound(route, target)
        if tokens is None or (price is None and form is None):
            continue
        if own is not None:  # what the client named is never left out, and it has seen to room for the prompt itself
            fits: int | None = _most(price, form or PLAIN, tokens)
        else:
            fits = _fitting(price, form or PLAIN, facts, tokens)
            if takes_no_bound(form, route) and may_leave_out(route, allowance, price):
                fits = None
        if fits != tokens:
            maxima[target.provider, target.model] = fits
    return route.with_maxima(maxima) if maxima else route


def lowered_maxima(before: Route, route: Route, facts: BodyFacts, known: Known) -> Mapping[tuple[str, str], int] | None:
    """Return what a client is told: the bound written for each target, where it is below what would be without limits.

    before is the route without limits. None: nothing was lowered anywhere.
    """
    own = before.own_maximum
    told = {}
    for target in route.targets:
        if target.static is not None:
            continue
        tokens = written_bound(route, target)
        natural = _unlimited(before, target, facts, known) if own is None else own
        if tokens is not None and (natural is None or tokens < natural):
            told[target.provider, target.model] = tokens
    return told or None


def _unlimited(before: Route, target: Target, facts: BodyFacts, known: Known) -> int | None:
    """Return the bound for a target of which the client named none: that of a default, else the model's own."""
    price, form = known(target)
    tokens = written_bound(before, target)
    if tokens is None and price is not None:
        tokens = price.output_limit_tokens
    return None if tokens is None else _fitting(price, form or PLAIN, facts, tokens)


def _most(price: Price | None, form: ParameterForm, tokens: int) -> int:
    """Return a bound, or the target's own maximum where that is less."""
    limits = (tokens, form.most, None if price is None else price.output_limit_tokens)
    return min(limit for limit in limits if limit is not None)


def _fitting(price: Price | None, form: ParameterForm, facts: BodyFacts, tokens: int) -> int | None:
    if price is not None:
        return maximum_to_write(price, facts, tokens, most=form.most, context=form.context)
    return tokens if form.most is None else min(tokens, form.most)


def written_bound(route: Route, target: Target) -> int | None:
    """Return the bound that would be written for a target; None: there is none."""
    body = route.body_for(target)
    written = [body[name] for name in route.endpoint.maximum if type(body.get(name)) is int]
    return max(written, default=None)
