"""Fetch each provider's list of models and prices now and then."""

import asyncio
from collections.abc import Callable

from proxy.pipeline.snapshot import Live
from proxy.providers.model_lists import ModelLists

_AFTER_FAILURE_S = 15.0
_LOOK_S = 5.0  # how soon a clock that stepped is compared with a provider's, and a new provider is asked


async def refresh_models(model_lists: ModelLists, live: Live, clock_problem: Callable[[], str | None]) -> None:
    """Run until cancelled, each list at its own pace. A failed fetch keeps the old list; it is noted and logged why.

    A provider that is disabled is not asked. A clock step makes it fetch at once: the Date header of the answer
    shows the right time.
    """
    now_s = asyncio.get_running_loop().time
    due_s: dict[tuple[str, str], float] = {}  # by name and address
    known = clock_problem()
    while True:
        every = {(one.name, one.base_url): one for one in live.current.providers.values()}
        enabled = {place: one for place, one in every.items() if one.rules is None or one.rules.off is None}
        asked = {place: one for place, one in enabled.items() if due_s.get(place, 0.0) <= now_s()}
        await asyncio.gather(*(model_lists.refresh(provider) for provider in asked.values()))
        due_s = {place: at_s for place, at_s in due_s.items() if place in enabled}
        for place, provider in asked.items():
            failed = model_lists.listing(provider.name).problem
            due_s[place] = now_s() + (_AFTER_FAILURE_S if failed else provider.models_refresh_s)
        await asyncio.sleep(_LOOK_S)
        if clock_problem() != known:
            known, due_s = clock_problem(), {}
