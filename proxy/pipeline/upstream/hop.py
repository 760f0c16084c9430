"""A hop of a route: one target, and the key that an attempt uses."""

from msgspec import Struct

from proxy.pipeline.upstream.provider_health import ProviderHealth
from proxy.pipeline.values.route import Target
from proxy.providers.key import Key
from proxy.providers.provider import ProviderRow


class Hop(Struct, eq=False):
    """at is the target's index on the route, key_index that of the key at its provider; -1: a key of the user's own.

    health is the provider's when the place was chosen.
    """

    at: int
    target: Target
    provider: ProviderRow
    key: Key
    key_index: int
    health: ProviderHealth
