"""A hop of a route: one target, and the key that an attempt uses."""

from msgspec import Struct
from msgspec.structs import replace

from proxy.pipeline.upstream.parameter_forms import Proof
from proxy.pipeline.upstream.provider_health import ProviderHealth
from proxy.pipeline.values.route import Target
from proxy.providers.deadlines import Deadlines
from proxy.providers.key import Key
from proxy.providers.provider import ProviderRow


class Hop(Struct, eq=False):
    """at is the target's index on the route, key_index that of the key at its provider; -1: a key of the user's own.

    health is the provider's when the place was chosen. What attempts there have found out is kept for the next one of
    a plan: deadlines and stream_deadlines of the first attempt of a request, where nothing of a request changes them;
    proofs and stream_proofs, those of ParameterForms that hold for whole answers and for streams of it. is_followed:
    such an answer is looked at all the same, for another target could give it.
    """

    at: int
    target: Target
    provider: ProviderRow
    key: Key
    key_index: int
    health: ProviderHealth
    deadlines: Deadlines | None = None
    stream_deadlines: Deadlines | None = None
    proofs: set[Proof] | None = None
    stream_proofs: set[Proof] | None = None
    is_followed: bool = False

    def again(self) -> "Hop":
        """Return the place for another attempt of one request, which has less time left."""
        return replace(self, deadlines=None, stream_deadlines=None)
