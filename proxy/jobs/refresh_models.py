"""Fetch each provider's list of models and prices now and then."""

import asyncio

from proxy.pipeline.parts import Live
from proxy.providers.catalogue import Catalogue

_EVERY_S = 600.0  # OpenRouter's own list may be cached for five minutes; prices move within days
_AFTER_FAILURE_S = 15.0


async def refresh_models(catalogue: Catalogue, live: Live) -> None:
    """Run until cancelled. A failed fetch keeps the old list; the catalogue notes and logs why."""
    while True:
        providers = list(live.current.providers.values())
        await asyncio.gather(*(catalogue.refresh(provider) for provider in providers))
        failed = any(catalogue.listing(provider.name).problem for provider in providers)
        await asyncio.sleep(_AFTER_FAILURE_S if failed else _EVERY_S)
