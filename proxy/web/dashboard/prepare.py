"""Make ready, behind the first page that somebody looks at, what the next ones need.

A proxy that nobody looks at compiles no templates and keeps no people; whoever logs in types for longer than it takes.
"""

import asyncio

from proxy.core.errors import ApiError, LedgerError
from proxy.storage.audit import PROXY
from proxy.web.admin.route import Operator, Role
from proxy.web.dashboard.admin_calls import AdminCalls
from proxy.web.dashboard.pages.overview import overview_sums
from proxy.web.dashboard.templates import compile_templates
from proxy.web.dashboard.view import Look
from proxy.web.deps import Deps


def begin_preparing(deps: Deps) -> None:
    """Begin it once; whoever looks meanwhile does not wait for it."""
    if deps.dashboard.preparing is None:
        deps.dashboard.preparing = asyncio.ensure_future(prepare(deps))


async def prepare(deps: Deps) -> None:
    """Compile the templates, read all people and limits, and sum what the first page shows."""
    await asyncio.to_thread(compile_templates)
    now_ms = deps.services.clock.now_ms()
    try:
        await deps.people.read()
        await deps.every_limit.rows(now_ms)
        await overview_sums(Look({}, AdminCalls(deps, Operator(PROXY, Role.VIEWER)), now_ms, deps))
    except (LedgerError, ApiError):  # the page that needs them says so
        return
