"""Which addresses are pages, and what answers them: read at the first page, for a proxy without viewers needs none."""

import asyncio
import importlib
from typing import Any, Final

from proxy.pipeline.context import RequestContext
from proxy.pipeline.downstream import Reply
from proxy.web.deps import Deps

_PAGES: Final = "proxy.web.dashboard.answer"


def is_page(path: str) -> bool:
    """Return whether a canonical path is one of the dashboard's or of a user's own page."""
    return path in ("/dashboard", "/me") or path.startswith(("/dashboard/", "/me/"))


async def answer_at(
    context: RequestContext, deps: Deps, method: str, path: str, query: str, *, has_dashboard: bool
) -> Reply:
    """Return what answer.py answers."""
    pages = await pages_of(deps)
    reply: Reply = await pages.answer_page(context, deps, method, path, query, has_dashboard=has_dashboard)
    return reply


async def pages_of(deps: Deps) -> Any:
    """Return answer.py; it is imported beside the event loop, so that no request waits for it."""
    if deps.dashboard.pages is None:
        deps.dashboard.pages = await asyncio.to_thread(importlib.import_module, _PAGES)
    return deps.dashboard.pages
