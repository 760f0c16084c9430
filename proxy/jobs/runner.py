"""Keep the background jobs alive: one that fails is logged and started again after a pause."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

log = logging.getLogger("tollkeeper.jobs")

_PAUSE_S = 5.0  # between a failure and the next start, so that a broken job does not eat the loop


class JobRunner:
    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, name: str, job: Callable[[], Awaitable[None]]) -> None:
        """Run a job that never ends by itself."""
        self._tasks.append(asyncio.create_task(self._supervise(name, job), name=name))

    async def _supervise(self, name: str, job: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await job()
            except Exception:
                log.exception("job.failed", extra={"job": name})
            await asyncio.sleep(_PAUSE_S)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
