"""Make the pages ready some seconds after a start, if an operator is still logged in: they will come back.

A proxy at whose start nobody is logged in does nothing of it: it starts as quickly, and stays as small.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from proxy.web.dashboard.page_address import pages_of
from proxy.web.deps import Deps

_AFTER_S: Final = 2.0  # what waits for the start comes first


async def ready_pages(deps: Deps, load_server: Callable[[], Awaitable[None]], after_s: float = _AFTER_S) -> None:
    """Wait, then load the server and the pages, and prepare them, if an operator's session holds."""
    await asyncio.sleep(after_s)
    if not deps.services.live.current.settings.server.dashboard or all(one.is_users for one in deps.sessions.all()):
        return
    await load_server()
    (await pages_of(deps)).begin_preparing(deps)
