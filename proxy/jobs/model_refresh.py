"""Fetch each provider's list of models and prices now and then."""

import asyncio
from collections.abc import Callable

from proxy.pipeline.snapshot import Live
from proxy.providers.model_lists import ModelLists

_EVERY_S = 600.0  # OpenRouter's own list may be cached for five minutes; prices move within days
_AFTER_FAILURE_S = 15.0
_LOOK_S = 5.0  # how soon a clock that stepped is compared with a provider's


async def refresh_models(model_lists: ModelLists, live: Live, clock_problem: Callable[[], str | None]) -> None:
    """Run until cancelled. A failed fetch keeps the old list; the catalogue notes and logs why.

    A provider that is disabled is not asked. A clock step makes it fetch at once: the Date header of the answer
    shows the right time.
    """
    while True:
        every = live.current.providers.values()
        providers = [provider for provider in every if provider.rules is None or provider.rules.off is None]
        await asyncio.gather(*(model_lists.refresh(provider) for provider in providers))
        failed = any(model_lists.listing(provider.name).problem for provider in providers)
        left_s = _AFTER_FAILURE_S if failed else _EVERY_S
        known = clock_problem()
        while left_s > 0 and clock_problem() == known:
            await asyncio.sleep(min(_LOOK_S, left_s))
            left_s -= _LOOK_S
