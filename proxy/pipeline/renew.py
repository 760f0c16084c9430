"""renew: who asks, and under which limits, by the configuration that is in force when the request is let in.

Between its head and its admission a request may wait: for its body, for another with the same key, for a price, for
room. What was changed meanwhile, a user disabled, a limit set, holds for it too.
"""

from dataclasses import replace
from functools import partial

from proxy.pipeline.allowance import with_use_case
from proxy.pipeline.authenticate import Identity, authenticate
from proxy.pipeline.call import Call
from proxy.pipeline.parts import Parts, Snapshot
from proxy.pipeline.told import quota_headers


def identify(call: Call, parts: Parts, snapshot: Snapshot, now_ms: int) -> Identity:
    """Return who asks, and have every answer tell what their limits say; raises CallerError for nobody."""
    identity = authenticate(call.client.said, snapshot.directory, now_ms)
    call.user = identity.user
    if identity.allowance.quotas:
        call.told = partial(quota_headers, identity.allowance, parts.desk, call.started_ms)
    return identity


def limited(identity: Identity, use_case: str, snapshot: Snapshot) -> Identity:
    """Return who asks, under the limits of a use case too, where it has any."""
    quotas = snapshot.use_case_quotas.get(use_case)
    if quotas is None:
        return identity
    return replace(identity, allowance=with_use_case(identity.allowance, use_case, quotas))


def under_use_case(call: Call, identity: Identity, use_case: str, parts: Parts, snapshot: Snapshot) -> Identity:
    """Return them under the limits of a use case, and have every answer tell these too."""
    found = limited(identity, use_case, snapshot)
    if found is not identity:
        call.told = partial(quota_headers, found.allowance, parts.desk, call.started_ms)
    return found


def renewed(call: Call, use_case: str | None, parts: Parts, snapshot: Snapshot) -> Identity:
    """Return who asks under a configuration that came into force on the way; raises CallerError where nobody may."""
    identity = identify(call, parts, snapshot, parts.clock.now_ms())
    return identity if use_case is None else under_use_case(call, identity, use_case, parts, snapshot)
