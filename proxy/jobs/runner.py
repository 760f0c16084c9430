"""Keep the background jobs alive: one that fails or ends is logged and restarted after a pause."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

log = logging.getLogger("tollkeeper.jobs")

_PAUSE_S = 5.0  # between a failure and the next start, so that a broken job does not eat the loop


class JobRunner:
    """Jobs by name. problems: why those that are not running failed."""

    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[None]] = []
        self._closed = False
        self.problems: dict[str, str] = {}

    def start(self, name: str, job: Callable[[], Awaitable[None]]) -> None:
        """Run a job that never ends by itself."""
        self._tasks.append(asyncio.create_task(self._supervise(name, job), name=name))

    async def _supervise(self, name: str, job: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await job()
                problem = "it has ended by itself"
            except Exception as error:
                log.exception("job.failed", extra={"job": name})
                problem = repr(error)
            except asyncio.CancelledError:  # of something that the job waited for: nobody has told us to stop
                if self._closed:
                    raise
                log.exception("job.failed", extra={"job": name})
                problem = "what it waited for was cancelled"
            self.problems[name] = problem
            await asyncio.sleep(_PAUSE_S)
            self.problems.pop(name, None)

    async def close(self) -> None:
        self._closed = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
