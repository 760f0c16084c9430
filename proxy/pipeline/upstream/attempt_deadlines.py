"""The time-outs of an attempt: the target's or the provider's, none longer than what the route has left."""

from functools import lru_cache

from msgspec.structs import replace

from proxy.pipeline.values.route import Target
from proxy.providers.deadlines import Deadlines
from proxy.providers.provider import ProviderRow


def deadlines_at(target: Target, provider: ProviderRow) -> Deadlines:
    """Return the time-outs that are configured for a target."""
    if target.deadlines is not None:
        return target.deadlines
    return provider.deadlines_for(target.model) if provider.model_deadlines else provider.deadlines


@lru_cache(maxsize=256)
def capped(deadlines: Deadlines, left_s: float, *, streamed: bool) -> Deadlines:
    """Shorten what comes before the content of a stream, or all of an answer in one piece."""
    return replace(
        deadlines,
        connect_s=min(deadlines.connect_s, left_s),
        header_s=min(deadlines.header_s, left_s),
        first_token_s=min(deadlines.first_token_s, left_s),
        total_s=deadlines.total_s if streamed else min(deadlines.total_s, left_s),
    )
