"""Make ready, behind the first page that somebody looks at, what the next ones need.

A proxy that nobody looks at compiles no templates and keeps no people; whoever logs in types for longer than it takes.
"""

import asyncio

from proxy.core.errors import LedgerError
from proxy.web.dashboard.templates import compile_templates
from proxy.web.deps import Deps


async def prepare(deps: Deps) -> None:
    """Compile the templates, and read all people and limits once."""
    await asyncio.to_thread(compile_templates)
    try:
        await deps.people.read()
        await deps.every_limit.rows(deps.services.clock.now_ms())
    except LedgerError:  # the page that needs them says so
        return
