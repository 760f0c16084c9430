"""What a client is told where nothing was sent because no target can be asked now."""

import math

from proxy.core.errors import ApiError, ProviderError
from proxy.pipeline.context import RequestContext
from proxy.pipeline.upstream.concurrency import Unserved
from proxy.pipeline.upstream.provider_health import Health
from proxy.pipeline.values.route import Route
from proxy.providers.provider import ProviderRow

_TOLD_MAX_S = 60  # some SDKs sleep for as long as they are told


def no_target_error(route: Route, health: Health, context: RequestContext) -> ApiError:
    """Return the error for a route whose targets are all cooling down after failures, or without a valid key."""
    clock, snapshot, own_keys = context.clock, context.snapshot, context.identity.own_keys
    now_s, waits, texts = clock.monotonic_s(), list[float](), list[str]()
    asked_for = True
    for target in route.targets:
        provider = snapshot.provider_of(target)
        found = health.of(provider)
        rests_s = found.rests_s(target.model, now_s)
        if rests_s is not None:
            waits.append(rests_s)
            is_told = found.is_told_to_wait(target.model, now_s)
            texts.append(
                f"{target.model} at {provider.name} {'asked to wait' if is_told else 'is cooling down after failures'}"
            )
            asked_for = asked_for and is_told
        elif (own := own_keys.get(provider.name)) is not None:
            asked_for = False
            texts.append(f"{context.user}'s own key of {provider.name} {own.problem or 'is not valid at this time'}")
        elif (wait_ms := found.ring.waits_ms(clock.now_ms(), target.model)) is not None:
            waits.append(wait_ms / 1000)
            texts.append(f"{provider.name} asked to wait with {target.model}")
        else:
            asked_for = False
            is_used_up = found.used_up(clock.now_ms())
            why = "has room left under its own limits" if is_used_up else "is valid at this time"
            texts.append(f"no key of {provider.name} {why}")
    wait_s = min(max(math.ceil(min(waits, default=0.0)), 1), _TOLD_MAX_S)
    why = f"Nothing was sent: {'; '.join(texts)}."
    if asked_for:
        return ProviderError(429, "upstream_rate_limited", f"{why} Try again later.", retry_after_s=wait_s)
    text = f"{why} Try again later. Operator: /readyz?verbose tells more."
    return ProviderError(503, "upstream_resting", text, retry_after_s=wait_s)


def queue_error(provider: ProviderRow, unserved: Unserved) -> ProviderError:
    """Return the error for a provider whose queue is full or too slow."""
    why = (
        f"{provider.queue_max} requests already wait for it"
        if unserved == "queue_full"
        else f"no place became free within {provider.queue_timeout_s:g} s"
    )
    return ProviderError(
        503,
        "upstream_busy",
        f'Provider "{provider.name}" takes {provider.max_concurrency} requests at once, and {why}. Try again soon.'
        f" Operator: providers.{provider.name}.max_concurrency",
        retry_after_s=1,
    )
