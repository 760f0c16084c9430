"""Reserve the worst case of the most expensive target, in memory and on disk, before the first byte goes upstream."""

import contextlib
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache, partial
from typing import Any
from zoneinfo import ZoneInfo

from msgspec import Struct
from msgspec.structs import replace

from proxy.core.errors import ApiError
from proxy.core.limit_kinds import pieces_of
from proxy.pipeline.admission.admit import Admission, AdmissionRefused, AdmissionRequest, admit
from proxy.pipeline.admission.allowance import without_quotas
from proxy.pipeline.admission.limit_errors import features_unpriced
from proxy.pipeline.admission.output_bounds import lowered_maxima, takes_no_bound, with_output_bounds, written_bound
from proxy.pipeline.admission.unknown_model import unpriced
from proxy.pipeline.context import RequestContext
from proxy.pipeline.identity.identify import renew
from proxy.pipeline.request.tags import pairs_of
from proxy.pipeline.services import Services
from proxy.pipeline.snapshot import Snapshot
from proxy.pipeline.upstream.hop import Hop
from proxy.pipeline.values.reservation import Reservation
from proxy.pipeline.values.route import Route, Target
from proxy.policy.parameter_form import ParameterForm
from proxy.policy.pricing import BodyFacts, Price, UnboundedError, read_facts, unpriced_features, worst_case_pusd
from proxy.policy.quota import Quota
from proxy.providers.provider import ProviderRow
from proxy.storage.rows import OpenRow
from proxy.wire.body import dump_body

_new_tuple = tuple.__new__  # read from its class it would take longer than the call
QUARTER_MS = 900_000


async def reserve(
    context: RequestContext, route: Route, first: Hop, services: Services, waived: tuple[Quota, ...] = ()
) -> Reservation:
    """Admit the request: its worst case is held in memory, until the Recorder that is made of it ends.

    Limits are those in force at that moment, but for those that are waived. Raises CallerError for a refusal: then
    nothing is held.
    """
    snapshot = in_force = context.snapshot
    admission = None
    while admission is None:
        if services.live.current is not in_force:
            in_force = services.live.current
            renew(context, route, services)
            if waived:
                allowance = without_quotas(context.identity.allowance, waived)
                context.identity = replace(context.identity, allowance=allowance)
        if services.stops.active:
            services.stops.open_route(context, route)
        prices = _known_prices(route, services, snapshot)
        if prices is None and context.identity.allowance.has_hard_cost:
            prices = await _found_prices(context, route, services)
            if services.live.current is not in_force:
                continue
        wanted = _wanted(context, route, prices, services)
        outcome = await admit(wanted, services.limiter, snapshot)
        if isinstance(outcome, AdmissionRefused):
            admission = await _admission(outcome, wanted, context, services, in_force)
        else:
            admission = outcome
    is_made = False
    try:
        streamed = route.body.get("stream") is True
        row = _row(context, route, first, admission, streamed)
        sent = bounded(context, route, admission.max_tokens, wanted.facts, services)
        told = None if admission.max_tokens is None else _told(context, route, sent, admission, wanted.facts, services)
        amount_pusd, tokens = admission.amount_pusd, admission.tokens
        reservation = Reservation(
            row, amount_pusd, sent, context.identity, told, context.id, streamed, tokens, admission.pieces
        )
        is_made = True
    finally:
        if not is_made:
            await services.limiter.release(context.id)
    return reservation


def bounded(
    context: RequestContext, route: Route, max_tokens: int | None, facts: BodyFacts, services: Services
) -> Route:
    """Return the route with the longest answer that is reserved for, as its targets take it; None: any length."""
    if max_tokens is not None:
        route = route.within(max_tokens)
    if route.asked is None or not route.rewrites_maximum:
        return route
    known = partial(known_of, context, services, route)
    return with_output_bounds(route, facts, context.identity.allowance, known)


def _told(
    context: RequestContext, before: Route, route: Route, admission: Admission, facts: BodyFacts, services: Services
) -> Mapping[tuple[str, str], int] | None:
    """Return what the client is told of the bound for each target, as lowered_maxima() has it."""
    if not admission.lowered and (before.own_maximum is None or not route.rewrites_maximum):  # nearly always
        return None
    return lowered_maxima(before, route, facts, partial(known_of, context, services, before))


class TargetQuote(Struct, frozen=True):
    """What a target would be sent as the bound of its answer, and the most that it could charge; None: not known."""

    max_tokens: int | None
    amount_pusd: int | None


class Quote(Struct, frozen=True):
    """What reserve() would do with a request now. targets: those of the route; empty where it would be refused."""

    amount_pusd: int | None
    max_tokens: int | None
    refusal: ApiError | None
    targets: tuple[TargetQuote, ...] = ()


async def quote(context: RequestContext, route: Route, services: Services) -> Quote:
    """Return what a request could cost at most and whether it would be admitted; nothing stays held."""
    try:
        prices = _known_prices(route, services, context.snapshot)
        if prices is None and context.identity.allowance.has_hard_cost:
            prices = await _found_prices(context, route, services)
        wanted = _wanted(context, route, prices, services)
        outcome = await admit(wanted, services.limiter, context.snapshot)
    except ApiError as error:
        return Quote(None, None, error)
    if isinstance(outcome, AdmissionRefused):
        return Quote(None, None, outcome.error)
    await services.limiter.release(context.id)
    sent = bounded(context, route, outcome.max_tokens, wanted.facts, services)
    size_bytes = wanted.facts.size_bytes
    targets = tuple(_target_quote(context, sent, target, size_bytes, services) for target in sent.targets)
    return Quote(outcome.amount_pusd, outcome.max_tokens, None, targets)


def _target_quote(
    context: RequestContext, sent: Route, target: Target, size_bytes: int, services: Services
) -> TargetQuote:
    """Return what goes to one target of a route as it is sent, and what that can cost there.

    size_bytes: of the route, as is reserved for: a bound that is written into a body is no part of the prompt.
    """
    if target.static is not None:
        return TargetQuote(None, 0)
    provider = context.snapshot.provider_of(target)
    prices = [services.model_lists.price(provider, model) for model in (target.model, *target.handed)]
    known = [price for price in prices if price is not None]
    amount_pusd = None
    if len(known) == len(prices):
        with contextlib.suppress(UnboundedError):
            body = sent.body_for(target)
            facts = read_facts(body, min(len(dump_body(body)), size_bytes), sent.endpoint.kind)
            amount_pusd = worst_case_pusd(known, facts)
    return TargetQuote(written_bound(sent, target), amount_pusd)


def _wanted(
    context: RequestContext, route: Route, prices: tuple[Price, ...] | None, services: Services
) -> AdmissionRequest:
    """Build the request for admission; raises CallerError if a hard cost limit needs a bound and there is none."""
    allowance, size_bytes = context.identity.allowance, context.size_bytes
    if prices and (allowance.has_hard_cost or allowance.has_hard_tokens) and route.writes_maximum:
        prices = _held_for(context, route, prices, services)
    if allowance.has_hard_cost or allowance.has_tokens:
        # bytes as sent: every token covers at least one
        size_bytes = context.written_bytes if route.body is context.body else 0
        size_bytes = size_bytes or len(dump_body(route.body))
    targets = route.targets
    body = route.body
    for target in targets:
        if target.handed or ":" in target.model or "@" in target.model:
            body = _naming_all(route)
            break
    facts = read_facts(body, size_bytes, route.endpoint.kind)
    for target in targets:
        if target.defaults or target.handed:
            facts = greater(facts, facts_for(route, target))
    if allowance.has_hard_cost and (names := unpriced_features(facts, prices or ())):
        raise features_unpriced(names)
    places = route.places if services.limiter.model_sets else ()
    return AdmissionRequest(context.id, context.started_ms, allowance, facts, prices, route.use_case, places)


def _naming_all(route: Route) -> dict[str, Any]:
    """Return the body with the models of all targets: some names mean features that cost extra."""
    body = route.body
    names = [name for target in route.targets for name in (target.model, *target.handed) if name != body.get("model")]
    return {**body, "models": names} if names else body


def facts_of(route: Route, target: Target, shared_bytes: int) -> BodyFacts:
    """Read the facts of what goes to one target, with its names of models: some stand for more than a model.

    shared_bytes: the size of the route's body, which most targets get: written anew for each it would take long.
    """
    found = route.body_for(target)
    body = {**found, "model": target.model}
    if target.handed:
        body["models"] = list(target.handed)
    is_shared = found is route.body
    size_bytes = shared_bytes + len(dump_body({"model": target.model})) if is_shared else len(dump_body(body))
    return read_facts(body, size_bytes, route.endpoint.kind)


def facts_for(route: Route, target: Target) -> BodyFacts:
    """Read the facts from the body that goes to one target."""
    body = route.body_for(target)
    return read_facts(body, len(dump_body(body)), route.endpoint.kind)


def known_of(
    context: RequestContext, services: Services, route: Route, target: Target
) -> tuple[Price | None, ParameterForm | None]:
    """Return the price of a target, and how it takes what the proxy writes."""
    provider = context.snapshot.provider_of(target)
    price = services.model_lists.price(provider, target.model)
    if not provider.has_forms and not services.forms.learnt:
        return price, None
    form = services.forms.of(provider, target.model, route.endpoint.kind, services.clock.monotonic_s())
    return price, form


def _held_for(
    context: RequestContext, route: Route, prices: tuple[Price, ...], services: Services
) -> tuple[Price, ...]:
    """Return the prices, with those of targets that take no bound of the answer at the models' own maximum."""
    unbound = {
        price
        for target in route.targets
        if target.static is None
        for price, form in [known_of(context, services, route, target)]
        if price is not None and takes_no_bound(form, route)
    }
    return tuple(replace(price, takes_no_bound=True) if price in unbound else price for price in prices)


def greater(one: BodyFacts, other: BodyFacts) -> BodyFacts:
    """Return what bounds both: two forms of one request, of which either may be sent."""
    lengths = (one.max_output_tokens, other.max_output_tokens)
    found = BodyFacts(
        size_bytes=max(one.size_bytes, other.size_bytes),
        max_output_tokens=None if None in lengths else max(length for length in lengths if length is not None),
        choices=max(one.choices, other.choices),
        generates=one.generates or other.generates,
        data_url_bytes=min(one.data_url_bytes, other.data_url_bytes),
        images=max(one.images, other.images),
        images_out=max(one.images_out, other.images_out),
        whole_context=one.whole_context or other.whole_context,
        has_tools=one.has_tools or other.has_tools,
        has_prediction=one.has_prediction or other.has_prediction,
        wants_image_output=one.wants_image_output or other.wants_image_output,
        models=tuple(dict.fromkeys((*one.models, *other.models))),
        service_tier=one.service_tier or other.service_tier,
        unpriced=tuple(dict.fromkeys((*one.unpriced, *other.unpriced))),
        min_output_tokens=max(one.min_output_tokens, other.min_output_tokens),
        thinks=one.thinks or other.thinks,
        writes_cache=one.writes_cache or other.writes_cache,
    )
    found.pieces = pieces_of(found)
    return found


async def _admission(
    refusal: AdmissionRefused,
    wanted: AdmissionRequest,
    context: RequestContext,
    services: Services,
    in_force: Snapshot,
) -> Admission | None:
    """Try again as open requests end, as long as waiting may help and is worth it; raises the refusal.

    None: the configuration has changed meanwhile, and with it perhaps the limits, or something is stopped.
    """
    deadline_s = context.started_s + context.snapshot.settings.quotas.wait_s
    while True:
        left_s = deadline_s - services.clock.monotonic_s()
        if not _worth_waiting(refusal, context, left_s):
            raise refusal.error
        await services.limiter.changed(left_s)
        if services.live.current is not in_force or services.stops.active:
            return None
        outcome = await admit(wanted, services.limiter, context.snapshot)
        if isinstance(outcome, Admission):
            return outcome
        refusal = outcome


def _worth_waiting(outcome: AdmissionRefused, context: RequestContext, left_s: float) -> bool:
    return outcome.waiting_helps and left_s > 0 and not context.gone


def _known_prices(route: Route, services: Services, snapshot: Snapshot) -> tuple[Price, ...] | None:
    """Return the prices of all targets, and of the models that a provider falls back on by itself.

    None: at least one is not known.
    """
    first = route.targets[0]
    if len(route.targets) == 1 and first.static is None and not first.handed:
        price = services.model_lists.price(snapshot.providers[first.provider], first.model)
        return None if price is None else (price,)
    prices = [services.model_lists.price(provider, model) for provider, model in _priced(route, snapshot)]
    known = tuple(price for price in prices if price is not None)
    return known if len(known) == len(prices) else None


async def _found_prices(context: RequestContext, route: Route, services: Services) -> tuple[Price, ...]:
    """Return the prices under a hard cost limit: the list is refreshed once for a name that it lacks.

    Raises CallerError for a model that has no price then.
    """
    prices = []
    for provider, model in _priced(route, context.snapshot):
        price = services.model_lists.price(provider, model) or await services.model_lists.refresh_for(provider, model)
        if price is None:
            raise unpriced(context, provider.name, model, services)
        prices.append(price)
    return tuple(prices)


def _priced(route: Route, snapshot: Snapshot) -> list[tuple[ProviderRow, str]]:
    """Return every model that may be charged, with its provider."""
    asked = [(target.provider, target.model) for target in route.targets if target.static is None]
    asked += [(target.provider, model) for target in route.targets for model in target.handed]
    return [(snapshot.providers[provider], model) for provider, model in asked]


def _row(context: RequestContext, route: Route, first: Hop, admission: Admission, streamed: bool) -> OpenRow:
    identity, tags = context.identity, context.tags
    columns = (  # in the order of the fields of OpenRow
        context.id,
        context.started_ms,
        day_of_quarter(context.started_ms // QUARTER_MS, context.snapshot.zone),
        identity.user,
        identity.group,
        identity.token_id,
        route.endpoint.name,
        route.requested_model,
        route.use_case,
        tags.session_id,
        pairs_of(tags, route.body) if "metadata" in route.body or "user" in route.body else tags.pairs,
        admission.amount_pusd,
        admission.tokens,
        int(streamed),
        first.provider.name,
        first.key.name,
        first.target.model,
        identity.allowance.groups_above,
        first.key.id,
        admission.pieces.asked,
    )
    return _new_tuple(OpenRow, columns)  # what OpenRow(…) comes to, without the call between


@lru_cache(maxsize=8)
def day_of_quarter(quarter: int, zone: ZoneInfo) -> str:
    """Return the date of a quarter of an hour since 1970: in every zone days begin on one."""
    return datetime.fromtimestamp(quarter * QUARTER_MS // 1000, zone).date().isoformat()
