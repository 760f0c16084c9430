"""Find who asks, and under which limits, by the configuration in force.

Between its head and its admission a request may wait: for its body, for another with the same key, for a price, for
room. What was changed meanwhile, a user disabled, a limit set, holds for it too.
"""

from msgspec.structs import replace

from proxy.pipeline.admission.allowance import with_models, with_use_case
from proxy.pipeline.admission.limit_headers import LimitHeaders, ToldHeaders, tell_limits
from proxy.pipeline.context import RequestContext
from proxy.pipeline.identity.authenticate import authenticate
from proxy.pipeline.services import Services
from proxy.pipeline.snapshot import Snapshot
from proxy.pipeline.values.identity import Identity
from proxy.pipeline.values.route import Route


def identify(context: RequestContext, services: Services, now_ms: int) -> None:
    """Find who asks, and have every answer tell what their limits say.

    Raises CallerError for nobody, and OwnError for somebody who is stopped.
    """
    request_headers, directory = context.downstream.request_headers, services.live.current.directory
    found = request_headers.found
    if found is not None and found[0] is directory and now_ms < found[2]:
        identity = found[1].identity  # as authenticate() has found for the request before
    else:
        identity = authenticate(request_headers, directory, now_ms)
    context.identity, context.user = identity, identity.user
    if identity.allowance.quotas:
        context.told = LimitHeaders(identity.allowance, services.limiter, context.started_ms)
    if services.stops.active:
        services.stops.check(context)


def limited(identity: Identity, use_case: str, snapshot: Snapshot) -> Identity:
    """Return who asks, under the limits of a use case too, where it has any."""
    quotas = snapshot.use_case_quotas.get(use_case)
    if quotas is None:
        return identity
    return replace(identity, allowance=with_use_case(identity.allowance, use_case, quotas))


def limit_to_use_case(context: RequestContext, use_case: str, services: Services) -> None:
    """Put who asks under the limits of a use case too, and have every answer tell these as well."""
    found = limited(context.identity, use_case, services.live.current)
    if found is not context.identity:
        context.identity = found
        tell_limits(context, LimitHeaders(found.allowance, services.limiter, context.started_ms))


def limited_to(identity: Identity, route: Route) -> Identity:
    """Return who asks, under the limits on the models that may answer on a route."""
    allowance = with_models(identity.allowance, route.places)
    return identity if allowance is identity.allowance else replace(identity, allowance=allowance)


def limit_to_models(context: RequestContext, route: Route, services: Services) -> None:
    """Put who asks under the limits on the models that may answer, and have every answer tell these as well."""
    found = limited_to(context.identity, route)
    if found is not context.identity:
        context.identity = found
        tell_limits(context, LimitHeaders(found.allowance, services.limiter, context.started_ms))


def renew(context: RequestContext, route: Route, services: Services) -> None:
    """Find who asks under a configuration that came into force on the way; raises CallerError where nobody may."""
    before = context.told
    identify(context, services, services.clock.now_ms())
    if route.use_case is not None:
        limit_to_use_case(context, route.use_case, services)
    if context.identity.allowance.model_quotas:
        limit_to_models(context, route, services)
    if isinstance(before, ToldHeaders):
        limits = context.told.limits if isinstance(context.told, ToldHeaders) else context.told
        context.told = ToldHeaders(limits, before.others)
