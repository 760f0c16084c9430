"""renew: who asks, and under which limits, by the configuration that is in force when the request is let in.

Between its head and its admission a request may wait: for its body, for another with the same key, for a price, for
room. What was changed meanwhile, a user disabled, a limit set, holds for it too.
"""

from dataclasses import replace
from functools import partial

from proxy.pipeline.admission.allowance import with_use_case
from proxy.pipeline.admission.limit_headers import limit_headers
from proxy.pipeline.context import RequestContext
from proxy.pipeline.identity.authenticate import authenticate
from proxy.pipeline.services import Services
from proxy.pipeline.snapshot import Snapshot
from proxy.pipeline.values.identity import Identity


def identify(context: RequestContext, services: Services, snapshot: Snapshot, now_ms: int) -> Identity:
    """Return who asks, and have every answer tell what their limits say; raises CallerError for nobody."""
    identity = authenticate(context.client.said, snapshot.directory, now_ms)
    context.user = identity.user
    if identity.allowance.quotas:
        context.told = partial(limit_headers, identity.allowance, services.desk, context.started_ms)
    return identity


def limited(identity: Identity, use_case: str, snapshot: Snapshot) -> Identity:
    """Return who asks, under the limits of a use case too, where it has any."""
    quotas = snapshot.use_case_quotas.get(use_case)
    if quotas is None:
        return identity
    return replace(identity, allowance=with_use_case(identity.allowance, use_case, quotas))


def under_use_case(
    context: RequestContext, identity: Identity, use_case: str, services: Services, snapshot: Snapshot
) -> Identity:
    """Return them under the limits of a use case, and have every answer tell these too."""
    found = limited(identity, use_case, snapshot)
    if found is not identity:
        context.told = partial(limit_headers, found.allowance, services.desk, context.started_ms)
    return found


def renewed(context: RequestContext, use_case: str | None, services: Services, snapshot: Snapshot) -> Identity:
    """Return who asks under a configuration that came into force on the way; raises CallerError where nobody may."""
    identity = identify(context, services, snapshot, services.clock.now_ms())
    return identity if use_case is None else under_use_case(context, identity, use_case, services, snapshot)
