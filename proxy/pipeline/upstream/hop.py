"""A hop of a route: one target, and the key that an attempt uses."""

from msgspec import Struct

from proxy.pipeline.upstream.parameter_forms import Proof
from proxy.pipeline.upstream.provider_health import ProviderHealth
from proxy.pipeline.values.route import Target
from proxy.providers.deadlines import Deadlines
from proxy.providers.key import Key
from proxy.providers.provider import ProviderRow


class Hop(Struct, eq=False):
    """at is the target's index on the route, key_index that of the key at its provider; -1: a key of the user's own.

    health is the provider's when the place was chosen. What attempts there have found out is kept for the next one of
    a plan: deadlines where nothing of a request changes them, and, of a route with no other hop, proofs and
    stream_proofs, those of ParameterForms that hold for whole answers and for streams of it.
    """

    at: int
    target: Target
    provider: ProviderRow
    key: Key
    key_index: int
    health: ProviderHealth
    deadlines: Deadlines | None = None
    proofs: set[Proof] | None = None
    stream_proofs: set[Proof] | None = None
