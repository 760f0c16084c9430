"""Which addresses are pages, and what answers them: read at the first page, for a proxy without viewers needs none."""

import asyncio
import importlib
from typing import Any

from proxy.pipeline.context import RequestContext
from proxy.pipeline.downstream import Reply
from proxy.web.deps import Deps


def is_page(path: str) -> bool:
    """Return whether a canonical path is one of the dashboard's or of a user's own page."""
    return path in ("/dashboard", "/me") or path.startswith(("/dashboard/", "/me/"))


async def answer_at(
    context: RequestContext, deps: Deps, method: str, path: str, query: str, *, has_dashboard: bool
) -> Reply:
    """Return what answer.py answers; the pages are imported beside the event loop, so that no request waits for it."""
    module: Any = await asyncio.to_thread(importlib.import_module, "proxy.web.dashboard.answer")
    reply: Reply = await module.answer_page(context, deps, method, path, query, has_dashboard=has_dashboard)
    return reply
